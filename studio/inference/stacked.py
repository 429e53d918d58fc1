"""LoRA in a batch of mixed rows: the adapters' matrices stacked to one product, and a mask of which are a row's own.

peft takes each adapter's rows out of the batch and puts their share back, some ten small operations an adapter and
layer; stacked it is two products, whatever the mixture. What it leaves out: LoRA of another kind (DoRA, biases, layers
that are not linear) and many adapters at once, which peft answers as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.nn import functional

BASE = "__base__"
"""peft's name for a row without adapter."""

_MOST_RANKS = 128
"""Stacked ranks beyond which each row would be multiplied by too much that is not its own."""


@dataclass(frozen=True)
class _Part:
    """What an adapter has in a layer: its slot, rank and scaling."""

    slot: str
    rank: int
    scaling: float


@dataclass(frozen=True, eq=False)
class _Stack:
    """The adapters of a layer: `down` of shape (ranks, inputs), `up` of shape (outputs, ranks)."""

    parts: tuple[_Part, ...]
    down: torch.Tensor
    up: torch.Tensor


class Mixture:
    """Which adapter each row of the batch at hand has, and the stacks that such a mixture needs."""

    def __init__(self) -> None:
        self._rows: list[str] | None = None
        self._slots: tuple[str, ...] = ()
        self._masks: dict[tuple[_Part, ...], torch.Tensor] = {}
        self._stacks: dict[int, tuple[tuple[str, ...], _Stack | None]] = {}

    def give(self, rows: Sequence[str] | None) -> None:
        """The adapters of the rows of the next passes, a slot each; None: the base answers all."""
        rows = None if rows is None else list(rows)
        if rows != self._rows:
            self._rows, self._masks = rows, {}
            self._slots = tuple(sorted(set(rows or ()) - {BASE}))

    def forget(self, slot: str) -> None:
        """An adapter leaves memory."""
        self._stacks = {at: found for at, found in self._stacks.items() if slot not in found[0]}

    def take_over(self, layer: Any) -> None:
        """Let a LoRA layer answer by this mixture."""
        layer.forward = partial(self._forward, layer, layer.forward)

    def _forward(self, layer: Any, usual: Callable[..., Any], x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self._slots:
            return layer.base_layer(x, *args, **kwargs)
        stack = self._stack(layer)
        if stack is None:
            return usual(x, *args, adapter_names=list(self._rows or ()), **kwargs)
        out = layer.base_layer(x, *args, **kwargs)
        return self._added(stack, x, out) if stack.parts else out

    def _added(self, stack: _Stack, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """The base's answer, shape (rows, …, outputs), and the adapters' to it."""
        inner = functional.linear(x.to(stack.down.dtype), stack.down)
        inner = inner * self._mask(stack).view(-1, *[1] * (x.ndim - 2), inner.shape[-1])
        if torch.is_grad_enabled() or out.dtype != inner.dtype or not out.is_contiguous():
            return out + functional.linear(inner, stack.up).to(out.dtype)
        out.view(-1, out.shape[-1]).addmm_(inner.view(-1, inner.shape[-1]), stack.up.t())
        return out

    def _mask(self, stack: _Stack) -> torch.Tensor:
        """Each row's scaling of each rank, 0 where that is another's: shape (rows or 1, ranks)."""
        found = self._masks.get(stack.parts)
        if found is None:
            rows = [self._slots[0]] if set(self._rows or ()) == set(self._slots[:1]) else self._rows or []
            scalings = [[part.scaling * (part.slot == row) for part in stack.parts] for row in rows]
            ranks = torch.tensor([part.rank for part in stack.parts])
            mask = torch.tensor(scalings).repeat_interleave(ranks, dim=1)
            found = self._masks[stack.parts] = mask.to(stack.down)
        return found

    def _stack(self, layer: Any) -> _Stack | None:
        slots, found = self._stacks.get(id(layer), ((), None))
        if slots != self._slots:
            found = _stacked(layer, self._slots)
            self._stacks[id(layer)] = (self._slots, found)
        return found


def _stacked(layer: Any, slots: Sequence[str]) -> _Stack | None:
    """The stack of those adapters that are in a layer; None where peft has to answer."""
    own = [slot for slot in slots if slot in layer.lora_A]
    odd = type(layer) is not Linear or any(slot in layer.lora_variant or layer.lora_bias.get(slot) for slot in own)
    if odd or sum(layer.r[slot] for slot in own) > _MOST_RANKS:
        return None
    downs, ups = ([half[slot].weight.detach() for slot in own] for half in (layer.lora_A, layer.lora_B))
    if len({tensor.dtype for tensor in (*downs, *ups)}) > 1:
        return None
    parts = tuple(_Part(slot, layer.r[slot], float(layer.scaling[slot])) for slot in own)
    if len(own) == 1:
        return _Stack(parts, downs[0], ups[0])
    nothing = torch.empty(0)
    return _Stack(parts, torch.cat(downs) if own else nothing, torch.cat(ups, dim=1) if own else nothing)
