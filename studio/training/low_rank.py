"""LoRA layers computed in place: the low-rank product is added into the base's result, with no copies between.

peft's own forward makes three tensors of the layer's size for it and its backward as many again; the sums are the same.
What it leaves out: everything but plain LoRA without dropout on plain weights (those layers keep peft's forward).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Product(torch.autograd.Function):
    """x @ weight + scale * (x @ a.T) @ b.T, [tokens, in] to [tokens, out]; `weight` [in, out] does not learn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        low_a, low_b = a.to(weight.dtype), b.to(weight.dtype)
        inner = x @ low_a.t()
        out = x @ weight if bias is None else torch.addmm(bias, x, weight)
        out.addmm_(inner, low_b.t(), alpha=scale)
        ctx.save_for_backward(x, weight, low_a, low_b, inner)
        ctx.scale, ctx.learns = scale, a.dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        grad = grads[0]
        behind = (grad @ b).mul_(ctx.scale)
        to_x = (grad @ weight.t()).addmm_(behind, a) if ctx.needs_input_grad[0] else None
        to_a = (behind.t() @ x).to(ctx.learns)
        to_b = (grad.t() @ inner).mul_(ctx.scale).to(ctx.learns)
        return to_x, None, None, to_a, to_b, None


def quicken(model: Any) -> int:
    """Give the plain LoRA layers of `model` the forward above; how many there are. Weights keep their names."""
    from peft.tuners.lora.layer import Linear

    quick = _quick_class()
    found = 0
    for module in model.modules():
        if type(module) is Linear and type(module.base_layer).__name__ in ("Linear", "Conv1D"):
            module.__class__ = quick
            found += 1
    return found


def _quick_class() -> Any:
    """A subclass, not a new `forward` on each layer: one piece of code is compiled once for all of them."""
    from peft.tuners.lora.layer import Linear

    if not _made:

        class QuickLinear(Linear):
            def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
                name = self.active_adapters[0] if self.active_adapters else ""
                plain = not (self.disable_adapters or self.merged or args or kwargs) and len(self.active_adapters) == 1
                if not plain or name not in self.lora_A or name in self.lora_variant or self.lora_bias[name]:
                    return super().forward(x, *args, **kwargs)
                frozen: Any = self.base_layer
                weight, bias, dropout = frozen.weight, frozen.bias, self.lora_dropout[name]
                if not isinstance(dropout, nn.Identity) or weight.requires_grad or not weight.is_floating_point():
                    return super().forward(x, *args, **kwargs)
                across = weight if self.fan_in_fan_out else weight.t()
                flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
                with torch.autocast(x.device.type, enabled=False):
                    out = _Product.apply(
                        flat, across, bias, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
                    )
                return out.view(*x.shape[:-1], -1)

        _made.append(QuickLinear)
    return _made[0]


_made: list[Any] = []
