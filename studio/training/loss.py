"""The loss: cross-entropy over answer tokens, with the vocabulary's logits computed nowhere else.

On small models the output layer is a quarter of the work and most of the memory; prompts need none of it. A model that
does more than `head(body(tokens))` (Gemma softcaps its logits, Granite scales them) is found out by trying, once, and
then goes through its own forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from studio.training.data import IGNORED, Row, collate
from studio.training.head_loss import loss_of
from studio.training.packing import hidden_states, lay, packing_of

AnswerLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(input_ids, attention_mask, labels), each [rows, tokens], to the summed loss in nats."""

_TREATED = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that do more to their logits; with small weights the trial would not notice a soft cap."""


def answer_loss(model: Any, smoothing: float = 0.0, reduction: str = "sum") -> AnswerLoss:
    """The cheapest correct way to the summed loss of `model` (a causal language model, with or without adapter).

    `smoothing`: the share of each target's weight that is spread over the vocabulary (Szegedy et al. 2016, section 7).
    `reduction` "none" gives the loss of each target instead of the sum, row by row. Rows are packed into one sequence
    where `packing.prepare` has found that to be right.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(base, base.base_model_prefix, None)
    head = base.get_output_embeddings()
    treated = any(getattr(base.config, name, None) is not None for name in _TREATED) or _prompted(model)
    if treated or body is None or head is None or body is base or not _composes(base, body, head):
        return lambda ids, mask, labels: plain_loss(model, ids, mask, labels, smoothing, reduction)
    packing = packing_of(model)

    def packed(ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        laid = lay(ids, mask, labels, packing is not None and packing.share)
        return loss_of(head, hidden_states(body, laid)[laid.sources], laid.targets, smoothing, reduction)

    def apart(ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        hidden = body(input_ids=ids, attention_mask=_needed(mask), use_cache=False).last_hidden_state
        targets = labels[:, 1:]
        chosen = targets != IGNORED
        return loss_of(head, hidden[:, :-1][chosen], targets[chosen], smoothing, reduction)

    return packed if packing else apart


def plain_loss(
    model: Any, ids: Tensor, mask: Tensor, labels: Tensor, smoothing: float = 0.0, reduction: str = "sum"
) -> Tensor:
    """The summed loss through the model's own forward: right for every model (and wrapper), at full price."""
    logits = model(input_ids=ids, attention_mask=_needed(mask), use_cache=False).logits[:, -ids.shape[1] :]
    targets = labels[:, 1:]
    chosen = targets != IGNORED
    return _reduced(logits[:, :-1][chosen], targets[chosen], smoothing, reduction)


@torch.no_grad()
def mean_loss(
    model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Callable[[], None] = lambda: None
) -> float:
    """Mean loss in nats an answer token over `rows`, without touching any random state.

    `check` is called between batches and may raise. The model's training mode is put back as it was.
    """
    return overall(row_losses(model, rows, pad_id, batch_size, check))


@dataclass(frozen=True)
class RowLoss:
    """The summed loss of one row in nats, and how many of its tokens are targets."""

    total: float
    targets: int

    @property
    def mean(self) -> float:
        """Nats a target token."""
        return self.total / max(self.targets, 1)


def overall(losses: Sequence[RowLoss]) -> float:
    """Mean loss in nats a target token over all rows."""
    return sum(one.total for one in losses) / max(sum(one.targets for one in losses), 1)


@torch.no_grad()
def row_losses(
    model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Callable[[], None] = lambda: None
) -> list[RowLoss]:
    """The loss of each row, in the order given; as `mean_loss` otherwise."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    loss = answer_loss(model, reduction="none")
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found = [RowLoss(0.0, 0)] * len(rows)
    try:
        for start in range(0, len(order), batch_size):
            check()
            numbers = order[start : start + batch_size]
            batch = collate([rows[number] for number in numbers], pad_id)
            ids, mask, labels = (batch[key].to(device) for key in ("input_ids", "attention_mask", "labels"))
            targets = (labels[:, 1:] != IGNORED).sum(dim=1).tolist()
            for number, own in zip(numbers, loss(ids, mask, labels).split(targets), strict=True):
                found[number] = RowLoss(float(own.double().sum()), len(own))
    finally:
        model.train(was_training)
    return found


def _reduced(logits: Tensor, targets: Tensor, smoothing: float, reduction: str) -> Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction=reduction, label_smoothing=smoothing)


def _prompted(model: Any) -> bool:
    """Whether learnt tokens stand before each row (prompt tuning): the adapter's own forward alone puts them there."""
    adapter = getattr(model, "active_peft_config", None)
    return adapter is not None and bool(adapter.is_prompt_learning)


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
