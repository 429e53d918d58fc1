"""What a model folder must hold before anything is loaded from it: config.json and every one of its safetensors."""

from __future__ import annotations

import json
from pathlib import Path

from studio.errors import BadModel

_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that a model folder is loaded from (the index decides where there is one)."""
    index = folder / _INDEX
    if index.is_file():
        return sorted({folder / name for name in _shards(index)})
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))


def check_folder(folder: Path, name: str) -> None:
    """Raise BadModel, with the one thing that is wrong, unless `folder` holds config.json and all its safetensors."""
    if (folder / "adapter_config.json").is_file():
        # transformers would silently go and load the base that the adapter names.
        raise BadModel(f"'{name}' is an adapter, not a base model: give the folder of the base model.")
    try:
        files = weight_files(folder)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise BadModel(f"'{name}' has a damaged {_INDEX}: copy the model again.") from None
    if not files:
        pickled = any(any(folder.glob(pattern)) for pattern in _PICKLES)
        reason = "only safetensors weights are loaded" if pickled else "it has no *.safetensors file"
        raise BadModel(f"'{name}' cannot be loaded: {reason}.")
    for file in files:
        if not file.is_file():
            raise BadModel(f"'{name}' is incomplete: {file.name} is missing.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadModel(f"'{name}' is no model folder: it has no config.json.") from None
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise BadModel(f"'{name}' has a damaged config.json: copy the model again.")


def _shards(index: Path) -> list[str]:
    names = {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise ValueError("a shard outside of the model folder")
    return sorted(names)
