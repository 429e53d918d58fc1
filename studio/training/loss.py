"""The loss: cross-entropy over answer tokens, with the vocabulary's logits computed nowhere else.

On small models the output layer is a quarter of the work and most of the memory; prompts need none of it. A model that
does more than `head(body(tokens))` (Gemma softcaps its logits, Granite scales them) is found out by trying, once, and
then goes through its own forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from studio.training.data import IGNORED, Row, collate

AnswerLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(input_ids, attention_mask, labels), each [rows, tokens], to the summed loss in nats."""

_TREATED = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that do more to their logits; with small weights the trial would not notice a soft cap."""


def answer_loss(model: Any) -> AnswerLoss:
    """The cheapest correct way to the summed loss of `model` (a causal language model, with or without adapter)."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(base, base.base_model_prefix, None)
    head = base.get_output_embeddings()
    treated = any(getattr(base.config, name, None) is not None for name in _TREATED)
    if treated or body is None or head is None or body is base or not _composes(base, body, head):
        return lambda ids, mask, labels: plain_loss(model, ids, mask, labels)

    def loss(ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        hidden = body(input_ids=ids, attention_mask=_needed(mask), use_cache=False).last_hidden_state
        targets = labels[:, 1:]
        chosen = targets != IGNORED
        return _summed(head(hidden[:, :-1][chosen]), targets[chosen])

    return loss


def plain_loss(model: Any, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """The summed loss through the model's own forward: right for every model (and wrapper), at full price."""
    logits = model(input_ids=ids, attention_mask=_needed(mask), use_cache=False).logits
    targets = labels[:, 1:]
    chosen = targets != IGNORED
    return _summed(logits[:, :-1][chosen], targets[chosen])


@torch.no_grad()
def mean_loss(
    model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Callable[[], None] = lambda: None
) -> float:
    """Mean loss in nats an answer token over `rows`, without touching any random state.

    `check` is called between batches and may raise. The model's training mode is put back as it was.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    loss = answer_loss(model)
    total, count = 0.0, 0
    ordered = sorted(rows, key=len)
    try:
        for start in range(0, len(ordered), batch_size):
            check()
            batch = collate(ordered[start : start + batch_size], pad_id)
            ids, mask, labels = (batch[key].to(device) for key in ("input_ids", "attention_mask", "labels"))
            total += float(loss(ids, mask, labels))
            count += int((labels[:, 1:] != IGNORED).sum())
    finally:
        model.train(was_training)
    return total / max(count, 1)


def _summed(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def _needed(mask: Tensor) -> Tensor | None:
    """No mask where there is no padding: attention is then causal and nothing else, which has a faster kernel."""
    return None if bool(mask.all()) else mask


@torch.no_grad()
def _composes(base: Any, body: Any, head: Any) -> bool:
    was_training = base.training
    base.eval()
    try:
        ids = torch.arange(4, device=next(base.parameters()).device).unsqueeze(0)
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        ours, theirs = head(hidden).float(), base(input_ids=ids, use_cache=False).logits.float()
        return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    except (AttributeError, TypeError):
        return False
    finally:
        base.train(was_training)
