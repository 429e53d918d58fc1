"""The settings of an adapter, made of what a stranger wrote into its adapter_config.json: known and harmless ones only.

What it leaves out: methods that the trainer does not have, and settings that would change weights of the base, run a
regular expression of the author's, or load something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from peft import IA3Config, LoraConfig, PeftConfig, PromptTuningConfig, VeraConfig

from studio.contract.spec import Family
from studio.errors import BadInput
from studio.inference.places import ADAPTER_CONFIG, Place

MOST_LABELS = 10_000
_MOST_RANK, _MOST_TOKENS, _MOST_MODULES = 4096, 4096, 20_000
_FILE_LIMIT = 16 << 20
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,200}")
_TASKS: dict[Family, str] = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM", "encoder": "SEQ_CLS"}
_REFUSED = (
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "layers_to_transform",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "velora_config",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
_TAKEN: dict[str, tuple[type[PeftConfig], tuple[str, ...]]] = {
    "LORA": (
        LoraConfig,
        ("r", "lora_alpha", "use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern"),
    ),
    "VERA": (VeraConfig, ("r", "fan_in_fan_out", "projection_prng_key", "save_projection")),
    "IA3": (IA3Config, ("feedforward_modules", "fan_in_fan_out")),
    "PROMPT_TUNING": (PromptTuningConfig, ("num_virtual_tokens",)),
}
"""Of each method its class, and the settings that are taken over beside the modules."""


def read_adapter_config(place: Place, family: Family) -> PeftConfig:
    """The adapter's settings. Raises BadInput when they are not those of a method that is served."""
    try:
        return adapter_config(_read(place, ADAPTER_CONFIG), family)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"The adapter settings of run '{place.run}' cannot be used: {ADAPTER_CONFIG} is no plain adapter."
        ) from error


def adapter_config(fields: Mapping[str, Any], family: Family) -> PeftConfig:
    """A config of the known, harmless settings. Raises ValueError, KeyError or TypeError for any other."""
    make, names = _TAKEN[fields["peft_type"]]
    heads = _modules(fields.get("modules_to_save") or [])
    refused = [name for name in _REFUSED if fields.get(name)]
    if refused or fields.get("bias", "none") != "none" or (heads and family != "encoder"):
        raise ValueError(f"unsupported adapter settings {refused}")
    taken = {name: fields[name] for name in names if fields.get(name) is not None}
    _check_numbers(taken)
    if make is not PromptTuningConfig:
        taken["target_modules"] = _modules(fields.get("target_modules"))
        taken["exclude_modules"] = _modules(fields.get("exclude_modules") or []) or None
    if make is IA3Config:
        taken["feedforward_modules"] = _modules(fields.get("feedforward_modules") or [])
    if make is VeraConfig:
        taken.pop("exclude_modules")
    if heads:
        taken["modules_to_save"] = heads
    return make(task_type=_TASKS[family], inference_mode=True, **taken)


def read_labels(place: Place) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Of an encoder's adapter the model settings beside it, and its labels in order. Raises BadInput."""
    try:
        fields = _read(place, "config.json")
        return fields, labels_of(fields)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"The labels of run '{place.run}' cannot be read in its config.json: train it again.") from error


def labels_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of `id2label` by number. Raises ValueError unless the numbers are 0, 1, 2 … and not too many."""
    named = fields.get("id2label", {})
    count = len(named)
    if not 0 < count <= MOST_LABELS or {str(key) for key in named} != {str(number) for number in range(count)}:
        raise ValueError("id2label is no list of labels")
    return tuple(str(named[str(number)] if str(number) in named else named[number]) for number in range(count))


def _read(place: Place, name: str) -> dict[str, Any]:
    path = place.folder / name
    if path.stat().st_size > _FILE_LIMIT:
        raise ValueError("too long")
    fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict):
        raise ValueError("no object")
    return fields


def _modules(names: Any) -> list[str]:
    # A string would be a regular expression of the adapter's author; saved adapters hold the list of names instead.
    if not isinstance(names, list) or len(names) > _MOST_MODULES or not all(_MODULE.fullmatch(name) for name in names):
        raise ValueError("unsupported target modules")
    return list(dict.fromkeys(names))


def _check_numbers(taken: Mapping[str, Any]) -> None:
    patterns = [taken.get("rank_pattern") or {}, taken.get("alpha_pattern") or {}]
    _modules([name for pattern in patterns for name in pattern])
    ranks = [taken["r"], *patterns[0].values()] if "r" in taken else []
    tokens = [taken["num_virtual_tokens"]] if "num_virtual_tokens" in taken else []
    for limit, numbers in ((_MOST_RANK, ranks), (_MOST_TOKENS, tokens)):
        if not all(type(number) is int and 1 <= number <= limit for number in numbers):
            raise ValueError("unsupported rank")
    alphas = [taken.get("lora_alpha", 1), *patterns[1].values()]
    if not all(type(alpha) in (int, float) for alpha in alphas) or type(taken.get("projection_prng_key", 0)) is not int:
        raise ValueError("unsupported number")
    if not all(type(taken.get(name, False)) is bool for name in ("use_rslora", "use_dora", "fan_in_fan_out")):
        raise ValueError("unsupported switch")
