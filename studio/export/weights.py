"""Adapter and merged folders: what peft and transformers read without the studio.

Settings of an adapter are made anew from the harmless ones that the engine serves with, so nothing a stranger wrote
into a run's folder travels on. What it leaves out: GGUF (gguf_file.py) and the card.
"""

from __future__ import annotations

import copy
import gc
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.contract.chat import PLAIN_TEMPLATE
from studio.contract.export import ExportSpec
from studio.contract.spec import Family
from studio.errors import BadInput
from studio.export.asking import Studio
from studio.inference.configs import read_adapter_config, read_labels
from studio.inference.places import Place
from studio.models.hashes import ADAPTER_WEIGHTS
from studio.models.heads import MULTI, LabelSet
from studio.models.hub import is_hub_id
from studio.models.loading import load_base

_TO_MERGE = {"LORA", "VERA", "IA3"}


@dataclass(frozen=True)
class Source:
    """What is exported: the weights of a run (`place`; None: the base alone) on the base in `base`."""

    place: Place | None
    base: Path
    family: Family

    @property
    def adapter(self) -> bool:
        """Whether the run has learnt an adapter."""
        return self.place is not None and not self.place.whole


def check_format(source: Source, wanted: str) -> None:
    """Raise BadInput, before any work, for what cannot be made of this run."""
    if wanted == "adapter" and source.place is None:
        raise BadInput("The base model has no adapter: export it as merged or gguf.")
    if wanted == "adapter" and not source.adapter:
        raise BadInput("This run has trained all weights, so it has no adapter: export it as merged or gguf.")
    if wanted.startswith("gguf") and source.family != "causal":
        raise BadInput("GGUF is for models that write text from left to right: export this run as adapter or merged.")
    if wanted != "adapter" and source.adapter and source.place is not None:
        kind = getattr(read_adapter_config(source.place, source.family).peft_type, "value", "")
        if kind not in _TO_MERGE:
            raise BadInput("Prompt tuning has no weights to merge into the base model: export this run as adapter.")


def write_adapter(folder: Path, source: Source, base_model: str, tokenizer: Any) -> None:
    """peft's own folder with the tokenizer. Raises BadInput for settings that are not served, OSError."""
    place = source.place
    assert place is not None
    folder.mkdir(parents=True, exist_ok=True)
    config = read_adapter_config(place, source.family)
    # A path of this machine means nothing elsewhere, but `AutoPeftModel` finds the base by it here.
    config.base_model_name_or_path = base_model if is_hub_id(base_model) and "/" in base_model else str(source.base)
    config.save_pretrained(str(folder))
    shutil.copyfile(place.folder / ADAPTER_WEIGHTS, folder / ADAPTER_WEIGHTS)
    if source.family == "encoder":
        fields, _ = read_labels(place)
        (folder / "config.json").write_text(json.dumps(fields, indent=2), encoding="utf-8")
    write_tokenizer(folder, tokenizer, source.family)


def merged_model(spec: ExportSpec, source: Source, scratch: Path) -> Any:
    """The whole model in memory in float32 on the CPU: of a full run its own, of an adapter's run base and adapter
    merged, else the base. `scratch` is a folder to work in."""
    place = source.place
    if place is None or place.whole:
        name = spec.base_model if place is None else str(place.folder)
        return load_base(spec.models, name, "cpu", "float32").model
    from peft import PeftModel

    labels = None
    if source.family == "encoder":
        fields, names = read_labels(place)
        known = LabelSet(names, fields.get("problem_type") == MULTI)

        def labels() -> LabelSet:
            return known

    base = load_base(spec.models, spec.base_model, "cpu", "float32", labels=labels)
    write_adapter(scratch, source, spec.base_model, base.tokenizer)
    tuned: Any = PeftModel.from_pretrained(base.model, str(scratch), local_files_only=True)
    model = tuned.merge_and_unload(safe_merge=True)
    shutil.rmtree(scratch)
    return model


def stored_dtype(model: Any, source: Source) -> torch.dtype:
    """The number format that the weights have on the disk."""
    from studio.models.loading import read_config

    folder = source.place.folder if source.place is not None and source.place.whole else source.base
    told = getattr(read_config(folder, folder.name), "dtype", None)
    return told if isinstance(told, torch.dtype) else torch.float32


def write_merged(folder: Path, model: Any, dtype: torch.dtype, studio: Studio) -> None:
    """transformers' own folder: safetensors, tokenizer, chat template, generation settings. Raises OSError."""
    whole = model if dtype == torch.float32 else copy.deepcopy(model).to(dtype)
    whole.config.dtype = dtype
    for name in ("_name_or_path", "_model_name_or_path"):
        if hasattr(whole.config, name):
            setattr(whole.config, name, "")  # a path of this machine
    if studio.family != "encoder":
        whole.generation_config = generation(model, studio)
    whole.save_pretrained(str(folder), max_shard_size="5GB")
    write_tokenizer(folder, studio.tokenizer, studio.family)
    del whole
    gc.collect()


def write_tokenizer(folder: Path, tokenizer: Any, family: Family) -> None:
    """The tokenizer with the chat template that the run was trained with."""
    own = tokenizer
    if family != "causal" and tokenizer.chat_template == PLAIN_TEMPLATE:
        own = copy.deepcopy(tokenizer)  # the studio's stand-in, which such a model never sees
        own.chat_template = None
    own.save_pretrained(str(folder))


def generation(model: Any, studio: Studio) -> Any:
    """Greedy, as the studio evaluates, and ended by every token that ends an answer there."""
    from transformers import GenerationConfig

    had, config = model.generation_config, model.config
    named = {name: getattr(had, name, None) for name in ("bos_token_id", "decoder_start_token_id")}
    if named["decoder_start_token_id"] is None:
        named["decoder_start_token_id"] = getattr(config, "decoder_start_token_id", None)
    ends = list(studio.ends) or getattr(had, "eos_token_id", None)
    return GenerationConfig(do_sample=False, eos_token_id=ends, pad_token_id=studio.tokenizer.pad_token_id, **named)
