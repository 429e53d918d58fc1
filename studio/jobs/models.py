"""What can be said of a base model without loading it: whether it is usable, and how large it is."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from studio.contract.spec import STARTER
from studio.errors import BadModel

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_HEADER_LIMIT = 100_000_000


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
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(_checked_folder(folder.resolve()))
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
    config = _config(folder)
    count = sum(_parameters(file) for file in sorted(folder.glob("*.safetensors")))
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 0)
    return Shape(
        parameters=count,
        layers=int(config.get("num_hidden_layers") or config.get("n_layer") or 0),
        hidden=hidden,
        intermediate=int(config.get("intermediate_size") or 4 * hidden),
        vocabulary=int(config.get("vocab_size") or 0),
    )


def _checked_folder(folder: Path) -> Path:
    _config(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        other = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        why = "only pickled weights, which can run code" if other else "no weights"
        raise BadModel(f"The folder {folder} has {why}: put its *.safetensors files there.")
    for file in weights:
        _parameters(file)
    return folder


def _config(folder: Path) -> dict[str, int]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadModel(f"The folder {folder} has no config.json: it is not a model folder.") from None
    except (OSError, ValueError) as error:
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
            header = json.loads(stream.read(length))
            end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
            if file.stat().st_size < 8 + length + end:
                raise ValueError("file cut short")
            return sum(prod(entry["shape"]) for key, entry in header.items() if key != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise BadModel(f"{file} is damaged ({error}): download it again.") from None
