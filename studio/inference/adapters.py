"""The shelf of LoRA adapters of one base model: found by run id, checked, loaded once, replaced when changed.

An adapter is data that somebody trained, so its folder is checked before peft sees it: only safetensors, only plain
LoRA settings, only inside the runs folder. Layers are told which row of a batch uses which adapter through `rows`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load

from studio.contract.events import newest
from studio.contract.spec import SPEC_FILE, read_train_spec
from studio.errors import BadInput, NotFound
from studio.models.hashes import ADAPTER_WEIGHTS

BASE = "__base__"
"""peft's name for a row without adapter."""

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONFIG = "adapter_config.json"
_PLAIN = {
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
    "use_dora",
    "fan_in_fan_out",
    "rank_pattern",
    "alpha_pattern",
}
_REFUSED = (
    "modules_to_save",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
)
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,200}")


@dataclass(frozen=True)
class Adapter:
    """One loaded adapter: run id, SHA-256 of its weights, and the name under which peft knows it."""

    run: str
    hash: str
    slot: str
    stamp: tuple[int, int] = field(repr=False, default=(0, 0))


class AdapterShelf:
    """Adapters of `model`, at most `keep` of them after `trim`. Not for use by several threads at once."""

    def __init__(self, model: Any, base_model: str, base_hash: str, runs: Path, keep: int = 32) -> None:
        self.rows: Sequence[str] | None = None
        self._model = model
        self._base_model = base_model
        self._base_hash = base_hash
        self._runs = runs
        self._keep = keep
        self._device = next(model.parameters()).device
        self._peft: PeftModel | None = None
        self._loaded: dict[str, Adapter] = {}
        self._stale: list[str] = []
        self._hooked: set[int] = set()
        self._count = 0

    @property
    def loaded(self) -> list[Adapter]:
        """Adapters in memory, the one used last at the end."""
        return list(self._loaded.values())

    def available(self, limit: int = 1000) -> list[str]:
        """Run ids that have an adapter on the disk, sorted, at most `limit`."""
        try:
            names = sorted(path.name for path in self._runs.iterdir() if _RUN_ID.fullmatch(path.name))
        except OSError:
            return []
        return [name for name in names if (self._runs / name / "adapter" / ADAPTER_WEIGHTS).is_file()][:limit]

    def folder(self, run: str) -> Path:
        """The adapter's folder. Raises NotFound (no such run, no adapter yet) or BadInput (pickled weights)."""
        if not _RUN_ID.fullmatch(run):
            raise NotFound("There is no such model: give 'base' or the id of a finished run.")
        folder = self._runs / run / "adapter"
        weights = folder / ADAPTER_WEIGHTS
        inside = weights.resolve().is_relative_to(self._runs.resolve() / run)
        if inside and weights.is_file() and (folder / _CONFIG).is_file():
            return folder
        if (folder / "adapter_model.bin").exists():
            raise BadInput(f"The adapter of run '{run}' is a pickle (adapter_model.bin); only safetensors are loaded.")
        raise NotFound(f"Run '{run}' has no adapter: pick one that has taken all its steps, or resume this one.")

    def get(self, run: str) -> Adapter:
        """The adapter of `run`, loaded now if it is not in memory or has changed. Raises NotFound or BadInput."""
        folder = self.folder(run)
        stamp = _stamp(folder)
        known = self._loaded.pop(run, None)
        if known is None or known.stamp != stamp:
            # Hashed and loaded from the same bytes: the file may be replaced by its trainer at any moment.
            content = (folder / ADAPTER_WEIGHTS).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            same = known is not None and known.hash == digest
            if known is not None and not same:
                self._stale.append(known.slot)
            slot = known.slot if known is not None and same else self._load(run, folder, content)
            known = Adapter(run, digest, slot, stamp)
        self._loaded[run] = known
        return known

    def trim(self) -> None:
        """Take replaced adapters, and the least used of too many, out of memory. Call it between batches only."""
        while len(self._loaded) > self._keep:
            oldest = next(iter(self._loaded))
            self._stale.append(self._loaded.pop(oldest).slot)
        # peft cannot go down to no adapter at all and up again, so the last one stays until the next is loaded.
        spare = 0 if self._loaded else 1
        while self._peft is not None and len(self._stale) > spare:
            self._peft.delete_adapter(self._stale.pop(0))

    def _load(self, run: str, folder: Path, content: bytes) -> str:
        config = self._config(run, folder)
        try:
            state = {name: tensor.to(self._device) for name, tensor in load(content).items()}
        except SafetensorError as error:
            raise BadInput(f"The adapter file of run '{run}' is damaged: train the run again or restore it.") from error
        slot = f"slot{self._count}"
        self._count += 1
        fits = self._place(slot, config, state)
        # Also behind a failure: an empty adapter left in the layers must not answer for the base.
        self._hook_layers()
        if not fits:
            raise BadInput(f"The adapter of run '{run}' does not fit the base model '{self._base_model}'.")
        return slot

    def _place(self, slot: str, config: LoraConfig, state: dict[str, torch.Tensor]) -> bool:
        """Put the weights into the layers; False, with nothing left that a row could use, when they do not fit."""
        try:
            # Empty (meta) weights first: the model's own are then taken as they are, without a random fill or a copy.
            if self._peft is None:
                self._peft = get_peft_model(
                    self._model, config, slot, autocast_adapter_dtype=False, low_cpu_mem_usage=True
                )
            else:
                self._peft.add_adapter(slot, config, low_cpu_mem_usage=True, autocast_adapter_dtype=False)
            result: Any = set_peft_model_state_dict(self._peft, state, adapter_name=slot, low_cpu_mem_usage=True)
        except (ValueError, RuntimeError, KeyError):
            fits = False
        else:
            missing = [key for key in result.missing_keys if f".{slot}." in key]
            fits = not missing and not result.unexpected_keys
        if self._peft is not None:
            self._peft.eval().requires_grad_(False)
        if not fits and self._peft is not None and slot in self._peft.peft_config:
            self._stale.append(slot)
        return fits

    def _hook_layers(self) -> None:
        layers: list[Any] = [layer for layer in self._model.modules() if isinstance(layer, LoraLayer)]
        for layer in layers:
            if id(layer) not in self._hooked:
                self._hooked.add(id(layer))
                layer.register_forward_pre_hook(self._name_rows, with_kwargs=True)

    def _name_rows(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        # PeftModel.forward does the same, but walks over all modules at every token to set and remove its hooks.
        kwargs["adapter_names"] = self.rows if self.rows is not None else [BASE] * len(args[0])
        return args, kwargs

    def _config(self, run: str, folder: Path) -> LoraConfig:
        self._check_base(run)
        try:
            fields = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
            return _plain_config(fields)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise BadInput(
                f"The adapter settings of run '{run}' cannot be used: {_CONFIG} is no plain LoRA."
            ) from error

    def _check_base(self, run: str) -> None:
        folder = self._runs / run
        trained_hash = newest(folder, "base_hash")
        if trained_hash == self._base_hash:
            return  # the same weights, under whatever name or path
        trained_on = read_train_spec(folder).base_model if (folder / SPEC_FILE).is_file() else self._base_model
        if trained_hash is not None and trained_on == self._base_model:
            raise BadInput(
                f"Run '{run}' was trained on other weights of '{trained_on}' than those loaded now: put the old ones "
                "back, or train the run again."
            )
        if trained_on != self._base_model:
            raise BadInput(f"Run '{run}' was trained on '{trained_on}', but this engine holds '{self._base_model}'.")


def _plain_config(fields: dict[str, Any]) -> LoraConfig:
    """A LoraConfig of the known, harmless settings. Raises ValueError for any that would change other weights."""
    refused = [name for name in _REFUSED if fields.get(name)]
    if refused or fields.get("peft_type") != "LORA" or fields.get("bias", "none") != "none":
        raise ValueError(f"unsupported adapter settings {refused}")
    patterns = [*(fields.get("rank_pattern") or {}), *(fields.get("alpha_pattern") or {})]
    modules = fields.get("target_modules")
    # A string would be a regular expression of the adapter's author; saved adapters hold the list of names instead.
    if not isinstance(modules, list) or not all(_MODULE.fullmatch(name) for name in [*modules, *patterns]):
        raise ValueError("unsupported target modules")
    ranks = [fields["r"], *(fields.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and 1 <= rank <= 4096 for rank in ranks):
        raise ValueError("unsupported rank")
    known = {name: value for name, value in fields.items() if name in _PLAIN and value is not None}
    return LoraConfig(task_type="CAUSAL_LM", inference_mode=True, lora_dropout=0.0, **known)


def _stamp(folder: Path) -> tuple[int, int]:
    stat = (folder / ADAPTER_WEIGHTS).stat()
    return stat.st_mtime_ns, stat.st_size
