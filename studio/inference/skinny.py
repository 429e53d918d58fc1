"""Faster linear layers on a CPU: weights packed once for oneDNN, where that is measured to be faster than torch's own.

Decoding multiplies each weight matrix by a few rows, which torch's float32 product (MKL) does badly on some CPUs: the
starter model's layers took 1.5 to 2.5 times as long for 4 to 32 rows (torch 2.13, AMD). Measured at load, not assumed.
Packing needs the weights' memory once more, so it stays out where that is scarce. A row's result is the same bits alone
and in company, as a single row is computed as two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psutil
import torch
from torch.nn import functional

_PROBE_ROWS = 8
_PROBE_LAYERS = 8
_PROBE_NUMBERS = 1 << 18
_WORTH = 1.15
_SPARE = 2.0
"""Packed weights may take one part in so many of the memory that is free."""


class Packed:
    """The weight of a linear layer in oneDNN's own order. Raises RuntimeError or AttributeError without oneDNN."""

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight
        self._version = weight._version
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _PROBE_ROWS)

    def __deepcopy__(self, memo: dict[int, Any]) -> Packed:
        return self  # twins of a model share its tensors

    def is_of(self, weight: torch.Tensor) -> bool:
        """Whether that is the weight that was packed, unchanged since."""
        return weight is self._weight and weight._version == self._version

    def product(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """What torch.nn.functional.linear computes, for x of shape (..., inputs) with at least one row."""
        inputs = x.shape[-1]
        flat = x.reshape(-1, inputs)
        # One row alone is summed up in another order than several.
        rows = flat if len(flat) > 1 else torch.cat([flat, flat])
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, bias, "none", [], "")
        return out[: len(flat)].reshape(*x.shape[:-1], out.shape[-1])


def speed_up(model: torch.nn.Module) -> bool:
    """Give the float32 CPU linear layers of `model` packed weights; False where that is no faster, or memory scarce."""
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear and _fits(layer.weight)]
    probes = [layer for layer in layers if layer.weight.numel() >= _PROBE_NUMBERS][:_PROBE_LAYERS]
    size = sum(layer.weight.nbytes for layer in layers)
    if not probes or size * _SPARE > psutil.virtual_memory().available or not _worth_it(probes):
        return False
    packed: dict[torch.Tensor, Packed] = {}  # tied layers share theirs
    for layer in layers:
        if layer.weight not in packed:
            packed[layer.weight] = Packed(layer.weight)
        layer.forward = partial(packed_linear, layer, packed[layer.weight])  # type: ignore[method-assign]
    return True


def packed_linear(layer: Any, packed: Packed, x: torch.Tensor) -> torch.Tensor:
    """What torch.nn.Linear computes, for x of shape (..., inputs): by packed weights where they are the layer's own and
    no gradient is asked for."""
    usual = torch.is_grad_enabled() or x.dtype != torch.float32 or not x.numel() or not packed.is_of(layer.weight)
    return functional.linear(x, layer.weight, layer.bias) if usual else packed.product(x, layer.bias)


def _fits(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and not weight.is_inference()


@torch.inference_mode()
def _worth_it(layers: Sequence[torch.nn.Linear]) -> bool:
    """Several layers in turn, as their weights come from memory and not from the processor's cache in use."""
    try:
        pairs = [(torch.ones(_PROBE_ROWS, layer.weight.shape[1]), layer, Packed(layer.weight)) for layer in layers]
        packed, usual = _least_seconds(
            lambda: [one.product(x, None) for x, _, one in pairs],
            lambda: [functional.linear(x, layer.weight) for x, layer, _ in pairs],
        )
    except (RuntimeError, AttributeError):  # a build of torch without oneDNN
        return False
    return usual > _WORTH * packed


def _least_seconds(*works: Callable[[], object], times: int = 9) -> list[float]:
    """The least processor time of each, tried by turns: on a busy machine the clock says little."""
    least = [float("inf")] * len(works)
    for _ in range(times):
        for place, work in enumerate(works):
            start = time.process_time()
            work()
            least[place] = min(least[place], time.process_time() - start)
    return least
