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
    """A layer whose tensors are views of larger ones: tokens are written behind, rows below, and rows that leave are
    overwritten by others, so that only what is new is copied."""

    keys: Any
    values: Any
    _rooms: tuple[Any, Any]
    _rows: int
    _start: int
    _end: int

    @classmethod
    def of(cls, layer: Any) -> RoomyLayer:
        """The same content with room behind it."""
        made = cls()
        made.dtype, made.device, made.is_initialized = layer.dtype, layer.device, True
        made._rooms = (layer.keys, layer.values)
        made._show(len(layer.keys), 0, layer.keys.shape[-2])
        return made

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See DynamicLayer."""
        more = key_states.shape[-2]
        if self._end + more > self._rooms[0].shape[-2]:
            self._move(len(self._rooms[0]), self._end - self._start, more)
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[: self._rows, :, self._end : self._end + more] = states
        self._show(self._rows, self._start, self._end + more)
        return self.keys, self.values

    def choose(self, chosen: torch.Tensor, first: int) -> None:
        """Keep some rows, from position `first` on."""
        start, places = self._start + first, torch.arange(len(chosen), device=chosen.device)
        moved = chosen != places
        if moved.any():
            for room in self._rooms:
                room[places[moved], :, start : self._end] = room[chosen[moved], :, start : self._end]
        self._show(len(chosen), start, self._end)

    def join(self, other: RoomyLayer) -> None:
        """Take the other's rows below these; the shorter ones are padded on the left."""
        width, fresh = max(self._end - self._start, other._end - other._start), other.keys.shape[-2]
        rows = self._rows + other._rows
        if rows > len(self._rooms[0]) or width > self._end:
            self._move(max(rows, len(self._rooms[0]) * 5 // 4), width)
        start = self._end - width
        for room, states in zip(self._rooms, (other.keys, other.values), strict=True):
            room[: self._rows, :, start : self._start] = 0
            room[self._rows : rows, :, start : self._end - fresh] = 0
            room[self._rows : rows, :, self._end - fresh : self._end] = states
        self._show(rows, start, self._end)

    def _move(self, rows: int, width: int, more: int = 0) -> None:
        """To rooms for so many rows, with this content at the end of the first `width` positions."""
        positions = width + max(_LEAST_ROOM, width // 4, more)
        moved = []
        for room, states in zip(self._rooms, (self.keys, self.values), strict=True):
            larger = room.new_empty((rows, room.shape[1], positions, room.shape[3]))
            larger[: self._rows, :, width - states.shape[-2] : width] = states
            moved.append(larger)
        self._rooms = (moved[0], moved[1])
        self._show(self._rows, width - (self._end - self._start), width)

    def _show(self, rows: int, start: int, end: int) -> None:
        self._rows, self._start, self._end = rows, start, end
        self.keys, self.values = (room[:rows, :, start:end] for room in self._rooms)


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
