"""Weights laid aside on the disk: those that stand packed in memory are needed a second time only now and then.

They become a mapping of a file without a name, which the system reads again where somebody does ask (an adapter of
another kind, a comparison), and drops when memory is short. What it leaves out: the packing itself (skinny.py).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

_MOST_BYTES = 8 << 30
"""Written at each start of an engine: more would keep the person waiting longer than the memory is worth."""


def lay_aside(model: torch.nn.Module, folder: Path) -> int:
    """Move the weights of layers that answer by another product to the disk of `folder`: the bytes moved, 0 where that
    is not to be had (no room, too many, a system without it). Weights that other modules look into stay."""
    layers: list[Any] = [layer for layer in model.modules() if _is_packed(layer)]
    packed = {id(layer) for layer in layers}
    looked_into = {id(own) for other in model.modules() if id(other) not in packed for own in other.parameters(False)}
    weights = {id(layer.weight): layer.weight for layer in layers}
    moved = [weight for key, weight in weights.items() if key not in looked_into]
    size = sum(weight.nbytes for weight in moved)
    room = _room(size, folder) if 0 < size <= _MOST_BYTES else None
    if room is None:
        return 0
    start = 0
    with torch.no_grad():
        for weight in moved:
            place = torch.frombuffer(room, dtype=weight.dtype, count=weight.numel(), offset=start).view(weight.shape)
            weight.data = place.copy_(weight)
            start += weight.nbytes
    room.madvise(mmap.MADV_DONTNEED)  # of a shared mapping: what was written stays in the file
    return size


def _is_packed(module: Any) -> bool:
    return type(module) is torch.nn.Linear and "forward" in vars(module)


def _room(size: int, folder: Path) -> mmap.mmap | None:
    """So many bytes of a nameless file. Reserved first: a write to a mapping cannot say that the disk is full."""
    if not hasattr(os, "posix_fallocate") or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError:
        return None
