"""Which layers of an architecture an adapter is put on.

"auto" for LoRA and its kin is every linear layer of the body (Dettmers et al. 2023 found that more layers matter more
than a higher rank); for IA³ the keys, values and inner feed-forward layers of its paper, as peft lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from studio.contract.spec import TrainSpec
from studio.errors import BadSpec
from studio.models.heads import head_names
from studio.models.loading import LoadedBase

ATTENTION = {
    *("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query", "key", "value", "query_key_value"),
    *("c_attn", "q", "k", "v", "o", "q_lin", "k_lin", "v_lin", "out_lin", "Wqkv", "Wo", "query_proj", "key_proj"),
    *("value_proj", "in_proj", "SelfAttention"),
}
"""Names of the linear layers of attention in the architectures of transformers."""

_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")


def for_lora(base: LoadedBase, spec: TrainSpec) -> str | list[str]:
    """The `target_modules` of LoRA and its kin. Raises BadSpec where no layer has a wanted name."""
    wanted = spec.target_modules.strip()
    if wanted in ("auto", "all-linear"):
        # peft's own word leaves out the output layer of a model that writes, but not every kind of head.
        return "all-linear" if base.family == "causal" else linear_layers(base.model)
    if wanted == "attention":
        found = sorted({name.rsplit(".", 1)[-1] for name in linear_layers(base.model)} & ATTENTION)
        if not found:
            raise BadSpec(f"No attention layer of '{base.name}' is known by name: set target_modules to all-linear.")
        return found
    return _named(wanted, base)


def for_ia3(base: LoadedBase, spec: TrainSpec) -> tuple[list[str] | None, list[str] | None]:
    """The `target_modules` and `feedforward_modules` of IA³; None for peft's own by architecture."""
    from peft.utils import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
        TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    )

    wanted, kind = spec.target_modules.strip(), base.model.config.model_type
    inside = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(kind)
    if wanted == "auto" and kind in TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING:
        return list(TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING[kind]), list(inside or [])
    if wanted in ("auto", "all-linear"):
        chosen = linear_layers(base.model)
    elif wanted == "attention":
        chosen = [name for name in linear_layers(base.model) if name.rsplit(".", 1)[-1] in ATTENTION]
    else:
        chosen = _named(wanted, base)
    return chosen, [name for name in chosen if inside and _matches(name, inside)]


def linear_layers(model: Any) -> list[str]:
    """Full names of the linear layers of a model's body: without its head and its output layer."""
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    heads = tuple(f"{name}." for name in head_names(model)) if output is None else ()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not output and not f"{name}.".startswith(heads or "?")
    ]


def _named(wanted: str, base: LoadedBase) -> list[str]:
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    layers = linear_layers(base.model)
    for name in names or [wanted]:
        if not _NAME.fullmatch(name) or not any(_matches(layer, [name]) for layer in layers):
            known = sorted({layer.rsplit(".", 1)[-1] for layer in layers})
            raise BadSpec(f"No layer of '{base.name}' is called '{name[:60]}' (target_modules): {', '.join(known)}.")
    return names


def _matches(layer: str, names: Iterable[str]) -> bool:
    """As peft matches a list: the whole name, or its end behind a dot."""
    return any(layer == name or layer.endswith(f".{name}") for name in names)
