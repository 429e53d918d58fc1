"""The shelf of adapters that share the base's own batch: found by run id, checked, loaded once, replaced when changed.

Those are LoRA without DoRA, whose layers ask `mixture` which row of a batch uses which adapter, and prompt tuning: a
few vectors in front of a row. What it leaves out: the products (stacked.py) and all other methods (others.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PromptTuningConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load

from studio.errors import BadInput
from studio.inference.configs import read_adapter_config
from studio.inference.places import Place, Stamp, check_base, find
from studio.inference.reading import tokenizer_of
from studio.inference.stacked import BASE, Mixture
from studio.models.answers import stop_ids
from studio.models.hashes import ADAPTER_WEIGHTS
from studio.models.loading import LoadedBase

PROMPT_WEIGHTS = "prompt_embeddings"
"""peft's name for the vectors of prompt tuning."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """One loaded adapter: run id, SHA-256 of its weights, the name under which peft knows it, its virtual tokens, the
    tokenizer that it is asked with and the tokens that end its answers."""

    run: str
    hash: str
    slot: str
    prefix: torch.Tensor | None = field(repr=False)
    tokenizer: Any = field(repr=False)
    ends: frozenset[int] = field(repr=False)
    stamp: Stamp = field(repr=False)


def shares_batch(config: PeftConfig, family: str) -> bool:
    """Whether rows of an adapter can be answered in one batch with rows of the base and of others like it."""
    plain_lora = isinstance(config, LoraConfig) and not config.use_dora
    return family != "encoder" and (plain_lora or isinstance(config, PromptTuningConfig))


class AdapterShelf:
    """Adapters of a base in memory, at most `keep` of them after `trim`. Not for use by several threads at once."""

    def __init__(self, base: LoadedBase, runs: Path, keep: int = 32) -> None:
        self.mixture = Mixture()
        self._model = base.model
        self._base = base
        self._runs = runs
        self._keep = keep
        self._device = next(base.model.parameters()).device
        self._peft: PeftModel | None = None
        self._loaded: dict[str, Adapter] = {}
        self._stale: list[str] = []
        self._hooked: set[int] = set()
        self._count = 0

    @property
    def loaded(self) -> list[Adapter]:
        """Adapters in memory, the one used last at the end."""
        return list(self._loaded.values())

    def get(self, run: str) -> Adapter:
        """The adapter of `run`, loaded now if it is not in memory or has changed. Raises NotFound or BadInput."""
        return self.take(find(self._runs, run))

    def knows(self, place: Place, stamp: Stamp) -> bool:
        """Whether these very weights are in memory."""
        known = self._loaded.get(place.run)
        return known is not None and known.stamp == stamp

    def take(self, place: Place, config: PeftConfig | None = None) -> Adapter:
        """Like `get`, of an adapter that was found and maybe read already."""
        run, stamp = place.run, place.stamp()
        known = self._loaded.pop(run, None)
        if known is None or known.stamp != stamp:
            # Hashed and loaded from the same bytes: the file may be replaced by its trainer at any moment.
            content, digest = read_weights(place)
            if known is not None and known.hash == digest:
                known = replace(known, stamp=stamp)
            else:
                if known is not None and known.slot != BASE:
                    self._stale.append(known.slot)
                tokenizer = tokenizer_of(place, self._base.tokenizer)
                slot, prefix = self._load(place, config, content)
                ends = frozenset(stop_ids(self._model, tokenizer))
                known = Adapter(run, digest, slot, prefix, tokenizer, ends, stamp)
        self._loaded[run] = known
        return known

    def trim(self, held: Collection[str] = ()) -> None:
        """Take replaced adapters, and the least used of too many, out of memory, but for the slots `held`, whose rows
        are being written. Call it between steps only."""
        while len(self._loaded) > self._keep:
            oldest = next(iter(self._loaded))
            slot = self._loaded.pop(oldest).slot
            self._stale += [slot] if slot != BASE else []
        # peft cannot go down to no adapter at all and up again, so the last one stays until the next is loaded.
        spare = 0 if any(adapter.slot != BASE for adapter in self._loaded.values()) else 1
        unused = [slot for slot in self._stale if slot not in held]
        while self._peft is not None and unused and len(self._stale) > spare:
            self._stale.remove(slot := unused.pop(0))
            self.mixture.forget(slot)
            self._peft.delete_adapter(slot)

    def _load(self, place: Place, config: PeftConfig | None, content: bytes) -> tuple[str, torch.Tensor | None]:
        """The adapter's slot and virtual tokens."""
        check_base(place, self._base.name, self._base.weights_hash)
        config = config or read_adapter_config(place, self._base.family)
        state = tensors(place, content, self._device)
        if isinstance(config, PromptTuningConfig):
            prefix = virtual_tokens(state, config, self._model, misfit(place, self._base))
            if state:
                raise misfit(place, self._base)
            return BASE, prefix
        if not isinstance(config, LoraConfig) or config.use_dora:
            raise misfit(place, self._base)
        slot = f"slot{self._count}"
        self._count += 1
        fits = self._place(slot, config, state)
        # Also behind a failure: an empty adapter left in the layers must not answer for the base.
        self._hook_layers()
        if not fits:
            raise misfit(place, self._base)
        return slot, None

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
                self.mixture.take_over(layer)


def read_weights(place: Place) -> tuple[bytes, str]:
    """An adapter's file, and the SHA-256 (hex) of its content."""
    content = (place.folder / ADAPTER_WEIGHTS).read_bytes()
    return content, hashlib.sha256(content).hexdigest()


def tensors(place: Place, content: bytes, device: torch.device) -> dict[str, torch.Tensor]:
    """The tensors of an adapter's file. Raises BadInput where it is damaged."""
    try:
        return {name: tensor.to(device) for name, tensor in load(content).items()}
    except (SafetensorError, KeyError) as error:  # KeyError: a number format that torch does not have
        raise BadInput(
            f"The adapter file of run '{place.run}' is damaged: train the run again or restore it."
        ) from error


def virtual_tokens(
    state: dict[str, torch.Tensor], config: PromptTuningConfig, model: Any, refusal: BadInput
) -> torch.Tensor:
    """The vectors in front of a prompt, shape (tokens, width), taken out of `state`. Raises `refusal`."""
    found = state.pop(PROMPT_WEIGHTS, None)
    width = model.get_input_embeddings().weight.shape[1]
    # An encoder-decoder's file has as many again for the decoder, which prompt tuning never shows it.
    if found is None or found.ndim != 2 or found.shape[1] != width or len(found) < config.num_virtual_tokens:
        raise refusal
    return found[: config.num_virtual_tokens]


def misfit(place: Place, base: LoadedBase) -> BadInput:
    """What is said of an adapter whose tensors are not those of its settings on this base."""
    return BadInput(f"The adapter of run '{place.run}' does not fit the base model '{base.name}'.")
