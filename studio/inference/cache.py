"""The key-value cache of a running batch: room to grow in place, rows that leave, rows that join on the way.

transformers' own cache copies everything at each token. Joining needs caches of plain layers, each position kept; those
with sliding windows or states of another kind are left as they are (`roomy` says False), and their batches run to their
end. Shapes are (rows, heads, positions, width), prompts padded on the left.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from transformers.cache_utils import DynamicCache, DynamicLayer

_LEAST_ROOM = 32


class RoomyLayer(DynamicLayer):
    """A layer whose tensors are views of larger ones, into which the next tokens are written."""

    keys: Any
    values: Any

    @classmethod
    def of(cls, layer: Any) -> RoomyLayer:
        """The same content with room behind it."""
        made = cls()
        made.dtype, made.device, made.is_initialized = layer.dtype, layer.device, True
        made._take(layer.keys, layer.values)
        return made

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See DynamicLayer."""
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            self._take(self.keys, self.values, key_states.shape[-2])
        self._key_room[:, :, start:end] = key_states
        self._value_room[:, :, start:end] = value_states
        self._show(end)
        return self.keys, self.values

    def choose(self, chosen: torch.Tensor, first: int) -> None:
        """Keep some rows, from position `first` on."""
        self._take(self.keys[:, :, first:][chosen], self.values[:, :, first:][chosen])

    def join(self, other: RoomyLayer) -> None:
        """Take the other's rows below these; the shorter ones are padded on the left."""
        self._take(_below(self.keys, other.keys), _below(self.values, other.values))

    def _take(self, keys: torch.Tensor, values: torch.Tensor, more: int = 1) -> None:
        width = keys.shape[-2]
        room = max(_LEAST_ROOM, width // 4, more)
        self._key_room, self._value_room = (functional.pad(one, (0, 0, 0, room)) for one in (keys, values))
        self._show(width)

    def _show(self, width: int) -> None:
        self.keys, self.values = self._key_room[:, :, :width], self._value_room[:, :, :width]


def roomy(cache: Any) -> bool:
    """Give a cache layers with room, where all of its layers are plain ones; whether it has such layers now."""
    if type(cache) is not DynamicCache:
        return False
    if all(type(layer) is DynamicLayer and layer.is_initialized for layer in cache.layers):
        cache.layers[:] = [RoomyLayer.of(layer) for layer in cache.layers]
    return all(type(layer) is RoomyLayer for layer in cache.layers)


def choose(cache: Any, chosen: torch.Tensor, first: int) -> None:
    """Keep some rows of a roomy cache, from position `first` on."""
    for layer in cache.layers:
        layer.choose(chosen, first)


def join(cache: Any, other: Any) -> None:
    """Put the rows of a roomy cache below those of another. `other` is used up."""
    for layer, more in zip(cache.layers, other.layers, strict=True):
        layer.join(more)


def pad_left(one: torch.Tensor, width: int) -> torch.Tensor:
    """A mask of shape (rows, positions) with zeros in front, up to `width` positions."""
    return functional.pad(one, (width - one.shape[1], 0))


def _below(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    width = max(upper.shape[-2], lower.shape[-2])
    return torch.cat([functional.pad(one, (0, 0, width - one.shape[-2], 0)) for one in (upper, lower)])
