"""What can be said of a base model without loading it: whether it is usable, and how large it is."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from studio.contract.spec import STARTER
from studio.errors import BadModel

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_HEADER_LIMIT = 100_000_000
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Shape:
    """Size of a causal language model: parameters, and the widths that memory depends on."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int


STARTER_SHAPE = Shape(parameters=134_515_008, layers=30, hidden=576, intermediate=1536, vocabulary=49_152)
"""SmolLM2-135M, as its config.json and weights have it."""


def check_base_model(name: str) -> str:
    """The name in the form that a spec keeps: `starter`, an absolute folder, or a Hub id. Raises BadModel."""
    name = name.strip()
    if not name or name.lower() == STARTER:
        return STARTER
    if folder := _folder(name):
        return str(_checked_folder(folder))
    if name.startswith((".", "/", "~")) or "\\" in name or "\0" in name:
        raise BadModel(f"There is no folder {name}: name a folder with config.json and *.safetensors, or 'starter'.")
    if not _HUB_ID.fullmatch(name):
        raise BadModel(f"'{name}' is neither a folder nor a Hub id such as HuggingFaceTB/SmolLM2-135M-Instruct.")
    return name


def model_shape(models: Path, name: str) -> Shape | None:
    """Size of a base model from its files, or None when they are not on this machine yet. Raises BadModel."""
    folder = models / STARTER if name == STARTER else Path(name)
    if name == STARTER and not folder.is_dir():
        return STARTER_SHAPE
    if not folder.is_dir():
        return None
    count = sum(_parameters(file) for file in sorted(folder.glob("*.safetensors")))
    hidden = _number(folder, "hidden_size", "n_embd")
    return Shape(
        parameters=count,
        layers=_number(folder, "num_hidden_layers", "n_layer"),
        hidden=hidden,
        intermediate=_number(folder, "intermediate_size") or 4 * hidden,
        vocabulary=_number(folder, "vocab_size"),
    )


def _folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, a home that is not there, a NUL
        return None


def _checked_folder(folder: Path) -> Path:
    _config(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        other = any(file.suffix in _PICKLED for file in folder.iterdir())
        why = "only pickled weights, which can run code" if other else "no weights"
        raise BadModel(f"The folder {folder} has {why}: put its *.safetensors files there.")
    for file in weights:
        _parameters(file)
    return folder


def _number(folder: Path, *names: str) -> int:
    """The first of these settings that the config has, 0 without any. Raises BadModel for one that is no number."""
    config = _config(folder)
    value = next((config[name] for name in names if config.get(name) is not None), 0)
    if not isinstance(value, int) or value < 0:
        raise BadModel(f"{folder / 'config.json'} has no usable {names[0]}: {str(value)[:50]}.")
    return value


def _config(folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadModel(f"The folder {folder} has no config.json: it is not a model folder.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadModel(f"{path} cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise BadModel(f"{path} is not a model's config.")
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def _parameters(file: Path) -> int:
    """Number of weights in a safetensors file, from its header alone (8 bytes of length, then JSON)."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError("header too long")
            header = dict[str, Any](json.loads(stream.read(length)))
            entries = [entry for key, entry in header.items() if key != "__metadata__"]
            if file.stat().st_size < 8 + length + max((entry["data_offsets"][1] for entry in entries), default=0):
                raise ValueError("file cut short")
            return int(sum(prod(entry["shape"]) for entry in entries))
    except (OSError, ValueError, LookupError, TypeError, RecursionError, struct.error) as error:
        raise BadModel(f"{file} is damaged ({error}): download it again.") from None
