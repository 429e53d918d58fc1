"""torch.compile for the layers of a model, and whether a run is long enough for it to pay.

One layer is compiled, with lengths left open, and its code serves all layers: that takes about a thirtieth of compiling
a model of thirty layers whole. What it leaves out: the attention of packed rows (it differs with each batch) and the
output layer, which are one large product each.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from studio.contract.spec import TrainSpec

SAVING = {"cpu": 0.05, "cuda": 0.25}
"""Share of a step's time that compiled layers save, measured on the starter (tests/bench/bench_train.py --compile);
on CUDA assumed from what fusing saves there in general."""

SECONDS = {"cpu": 40.0, "cuda": 60.0}
"""What compiling costs at the start of a run, on two cores as measured; on CUDA assumed."""


@dataclass(frozen=True)
class Choice:
    """Whether to compile, and why, in a few words for the run's log."""

    on: bool
    reason: str


def choose(spec: TrainSpec, device: torch.device, expected_seconds: float) -> Choice:
    """Decide for a run that would take `expected_seconds` of steps as it is (0 = unknown)."""
    if spec.compile == "off" or not can_compile(device):
        return Choice(False, "switched off" if spec.compile == "off" else "no compiler on this machine")
    if spec.compile == "on":
        return Choice(True, "switched on")
    saved, cost = expected_seconds * SAVING[device.type], SECONDS[device.type]
    return Choice(saved > cost, f"would save about {saved:.0f} s and takes about {cost:.0f} s")


def can_compile(device: torch.device) -> bool:
    """Whether torch's compiler has what it needs: a C++ compiler for the CPU, Triton for CUDA."""
    if device.type == "cpu":
        return any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return device.type == "cuda" and find_spec("triton") is not None


def compile_layers(model: Any) -> int:
    """Have the repeated layers of `model` compiled when they first train; how many. Measuring and answering stay eager.

    The first layer stays as it is: where nothing below it learns it takes other gradients, so it would be compiled
    apart, for a thirtieth of the steps' time. A layer that cannot be compiled runs as it is, too.
    """
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.optimize_ddp = False  # it would cut a model at DDP's buckets, and these are single layers
    layers = repeated_layers(model)[1:]
    for layer in layers:
        layer._compiled_call_impl = _when_training(layer)
    return len(layers)


def _when_training(layer: nn.Module) -> Callable[..., Any]:
    eager: Callable[..., Any] = layer._call_impl
    compiled: Callable[..., Any] = torch.compile(eager, dynamic=True)
    return lambda *given, **named: (compiled if torch.is_grad_enabled() else eager)(*given, **named)


def seconds_eager(parameters: int, tokens: int, device: torch.device, dtype: torch.dtype) -> float:
    """About how long steps over `tokens` take without compiling.

    Four operations a frozen weight and token (forward, and the gradient of the input), at the speed of a large product
    measured here and now, of which layers reach a part.
    """
    size = 768 if device.type == "cpu" else 8192
    left = torch.full((size, size), 0.5, dtype=dtype, device=device)
    best = min(_product_seconds(left) for _ in range(4))
    reached = 0.6 if device.type == "cpu" else 0.4
    return 4.0 * parameters * tokens * best / (2.0 * size**3 * reached)


def _product_seconds(left: torch.Tensor) -> float:
    began = time.perf_counter()
    float((left @ left)[0, 0])  # reading a number waits for the device
    return max(time.perf_counter() - began, 1e-9)


def repeated_layers(model: Any) -> list[nn.Module]:
    """The longest list of modules of one class, such as the decoder's layers."""
    lists = [
        list(one) for one in model.modules() if isinstance(one, nn.ModuleList) and len({type(m) for m in one}) == 1
    ]
    return max(lists, key=len, default=[])
