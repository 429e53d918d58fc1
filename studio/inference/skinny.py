"""Faster linear layers for a few rows on a CPU: pairs of rows as `weight @ rows.T`, which the matrix library threads.

Decoding multiplies each weight matrix by one to four rows, and `rows @ weight.T` of so few runs on one thread on some
CPUs: two rows of the starter model's layers took 3 to 8 times as long (torch 2.13, MKL, AMD). Measured at load, not
assumed. A row's result is the same bits alone and in company, as every product is of two rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional

_MOST_ROWS = 4
_WORTH = 1.3
_PROBE_NUMBERS = 1 << 18


def speed_up(model: torch.nn.Module) -> bool:
    """Give the float32 CPU linear layers of `model` the faster product for few rows; False where it is none."""
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear and _fits(layer.weight)]
    probe = next((layer for layer in layers if layer.weight.numel() >= _PROBE_NUMBERS), None)
    if probe is None or not _worth_it(probe.weight):
        return False
    for layer in layers:
        layer.forward = partial(few_rows_linear, layer)  # type: ignore[method-assign]
    return True


def few_rows_linear(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """What torch.nn.Linear computes, for x of shape (..., inputs); up to four rows go in pairs."""
    inputs = x.shape[-1]
    rows = x.numel() // inputs if inputs else 0
    if not 0 < rows <= _MOST_ROWS or x.dtype != torch.float32:
        return functional.linear(x, layer.weight, layer.bias)
    flat = x.reshape(rows, inputs)
    if rows % 2:
        flat = torch.cat([flat, flat[-1:]])
    pairs = [_pair(layer.weight, flat[start : start + 2]) for start in range(0, len(flat), 2)]
    out = (pairs[0] if len(pairs) == 1 else torch.cat(pairs))[:rows]
    if layer.bias is not None:
        out = out + layer.bias
    return out.reshape(*x.shape[:-1], out.shape[-1])


def _pair(weight: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    return torch.mm(weight, two.t()).t().contiguous()


def _fits(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32


@torch.inference_mode()
def _worth_it(weight: torch.Tensor) -> bool:
    two = torch.ones(2, weight.shape[1])
    usual = _best_seconds(lambda: functional.linear(two, weight))
    return usual > _WORTH * _best_seconds(lambda: _pair(weight, two))


def _best_seconds(work: Callable[[], object], times: int = 9) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
