"""Cross-entropy of the output layer without keeping its logits: the gradient is worked out chunk by chunk on the way.

Logits of a thousand targets over fifty thousand tokens take 200 MB, and twice that again in the backward pass. What it
leaves out: output layers that are no plain linear map (`loss_of` then goes the ordinary way).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK_NUMBERS = 2**24
"""Logits in memory at a time (64 MB in float32)."""


class _SummedLoss(torch.autograd.Function):
    """Sum over targets of -log softmax(hidden @ weight.T)[target], smoothed as torch's cross_entropy does it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        learns = ctx.needs_input_grad[1]
        hidden_grad, weight_grad = torch.empty_like(hidden), torch.zeros_like(weight) if learns else None
        size = max(1, CHUNK_NUMBERS // weight.shape[0])
        for start in range(0, len(targets), size):
            own, wanted = hidden[start : start + size], targets[start : start + size].unsqueeze(1)
            logits = (own @ weight.t()).float()
            norm = logits.logsumexp(1, keepdim=True)
            loss = norm - (1 - smoothing) * logits.gather(1, wanted)
            if smoothing:
                loss = loss - smoothing * logits.mean(1, keepdim=True)
            total += loss.sum()
            grad = logits.sub_(norm).exp_()
            if smoothing:
                grad -= smoothing / weight.shape[0]
            grad.scatter_add_(1, wanted, grad.new_full(wanted.shape, smoothing - 1))
            grad = grad.to(weight.dtype)
            hidden_grad[start : start + size] = grad @ weight
            if weight_grad is not None:
                weight_grad.addmm_(grad.t(), own)
        ctx.save_for_backward(hidden_grad, weight_grad)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_grad, weight_grad = ctx.saved_tensors
        factor = grads[0].to(hidden_grad.dtype)
        return hidden_grad * factor, None if weight_grad is None else weight_grad * factor, None, None


@lru_cache(maxsize=1)
def _liger() -> Callable[..., Any] | None:
    """liger-kernel's fused loss, where it is installed and says the same as ours on a small problem (CUDA only)."""
    if find_spec("liger_kernel") is None:
        return None
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss as Fused

        hidden = torch.linspace(-1, 1, 16 * 32, device="cuda").reshape(16, 32).requires_grad_()
        weight = torch.linspace(-1, 1, 64 * 32, device="cuda").reshape(64, 32).cos()
        targets = torch.arange(16, device="cuda") * 3
        ours = _SummedLoss.apply(hidden, weight, targets, 0.0)
        liger = Fused(reduction="sum")(weight, hidden, targets)
        slope, other = (torch.autograd.grad(loss, hidden)[0] for loss in (ours, liger))
        alike = torch.allclose(liger, ours, rtol=1e-3) and torch.allclose(other, slope, rtol=1e-2, atol=1e-3)
        return Fused if alike else None
    except Exception:  # a kernel that cannot be built fails in many ways, and ours does the same work
        return None


def loss_of(head: Any, hidden: Tensor, targets: Tensor, smoothing: float = 0.0, reduction: str = "sum") -> Tensor:
    """Loss in nats of `targets` [n] foretold from `hidden` [n, width] by the output layer, "sum" or "none" (each)."""
    plain = type(head) is nn.Linear and head.bias is None and len(targets) > 0
    if reduction == "sum" and plain and torch.is_grad_enabled():
        with torch.autocast(hidden.device.type, enabled=False):
            liger = _liger() if hidden.is_cuda else None
            if liger is not None:
                own = hidden.to(head.weight.dtype)
                return liger(reduction="sum", label_smoothing=smoothing)(head.weight, own, targets)  # type: ignore[no-any-return]
            summed: Tensor = _SummedLoss.apply(hidden.to(head.weight.dtype), head.weight, targets, smoothing)
        return summed
    return functional.cross_entropy(head(hidden).float(), targets, reduction=reduction, label_smoothing=smoothing)
