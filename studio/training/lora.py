"""The adapter: LoRA on every linear layer of the body, kept in float32, saved as safetensors and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from studio.contract.spec import TrainSpec
from studio.errors import BadModel
from studio.models.disk import sync
from studio.models.hashes import ADAPTER_WEIGHTS

ADAPTER_FOLDER = "adapter"
ADAPTER_CONFIG = "adapter_config.json"


def attach_lora(model: Any, spec: TrainSpec) -> Any:
    """Wrap `model` with a fresh adapter that changes nothing yet (B is zero). Raises BadModel where LoRA cannot go."""
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,  # type: ignore[arg-type]  # peft only divides it by r
        lora_dropout=spec.lora_dropout,
        target_modules="all-linear",
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        # autocast_adapter_dtype keeps the adapter in float32 under a bfloat16 base: small updates would round away.
        tuned = get_peft_model(model, config, autocast_adapter_dtype=True)
    except (ValueError, TypeError) as error:
        raise BadModel(f"LoRA cannot be attached to '{spec.base_model}' ({error}): choose another base.") from error
    # peft puts the local folder here, which names nothing on another machine.
    config.base_model_name_or_path = spec.base_model
    return tuned


def write_adapter(model: Any, folder: Path) -> None:
    """Write adapter_model.safetensors and adapter_config.json into `folder`. Raises OSError or SafetensorError."""
    # save_embedding_layers: 'auto' would ask the hub for the base's config.
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    for path in folder.iterdir():
        if path.name not in {ADAPTER_WEIGHTS, ADAPTER_CONFIG}:
            path.unlink()


def save_adapter(model: Any, run_dir: Path) -> Path:
    """Put the finished adapter at `<run_dir>/adapter`, whole or not at all; the folder."""
    temporary = run_dir / f".{ADAPTER_FOLDER}.tmp"
    folder = run_dir / ADAPTER_FOLDER
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        write_adapter(model, temporary)
        sync(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
