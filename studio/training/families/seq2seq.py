"""Seq2seq models (T5, BART): the prompt is read by the encoder, the answer is what the decoder writes.

The prompt is one text: `one_text` of its turns, or the tokenizer's own chat template where it has one. Of a
conversation the last trained answer is the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from studio.contract.chat import Message
from studio.contract.spec import TrainSpec
from studio.models.loading import LoadedBase
from studio.models.seq2seq import answer_ids, question_ids, start_token, written
from studio.training.data import IGNORED, Row, Split
from studio.training.families import Batch, BatchLoss, FamilyWays
from studio.training.families.common import check_room, measured, on_device, padded, read_rows
from studio.training.loss import RowLoss


@dataclass(frozen=True)
class Pair(Row):
    """`ids` are the encoder's, `labels` the decoder's targets: two sequences, each with its end token."""

    def __len__(self) -> int:
        return len(self.ids) + len(self.labels)


def read(base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool = False) -> Split:
    """The rows of a split; `max_length` counts prompt and answer together. Raises BadFile."""

    def make(number: int, turns: list[Message], answer: str) -> Pair:
        labels = answer_ids(base.tokenizer, answer)
        ids, room = question_ids(base.tokenizer, turns), max_length - len(labels)
        if not check_room(ids, room, spec, max_length):
            ids = ids[len(ids) - room :]
        return Pair(number, np.asarray(ids, dtype=np.int32), np.asarray(labels, dtype=np.int32))

    return read_rows(spec, name, keep_messages, make)


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` [rows, longest prompt], `labels` [rows, longest answer], padded on the right."""
    mask = padded([[1] * len(row.ids) for row in rows], 0)
    ids = padded([row.ids for row in rows], pad_id)
    return {"input_ids": ids, "attention_mask": mask, "labels": padded([row.labels for row in rows], IGNORED)}


def token_losses(model: Any, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """The loss of each answer token in nats, [rows, longest answer], 0 at padding."""
    labels = batch["labels"]
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=_begun(model, labels),
        use_cache=False,
    ).logits.float()
    return functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none", label_smoothing=smoothing
    )


def plain_loss(model: Any, batch: Batch, smoothing: float) -> Tensor:
    """The summed loss of a batch."""
    return token_losses(model, batch, smoothing).sum()


def loss(model: Any, smoothing: float) -> BatchLoss:
    """The summed loss of a batch; every position of a decoder is an answer's, so there is no cheaper way."""
    return lambda batch: plain_loss(model, batch, smoothing)


def row_losses(
    model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Callable[[], None] = lambda: None
) -> list[RowLoss]:
    """The loss of each row in nats over its answer's tokens."""

    def one(batch: Sequence[Row], device: torch.device) -> list[RowLoss]:
        sums = token_losses(model, on_device(collate(batch, pad_id), device)).double().sum(1)
        return [RowLoss(float(total), len(row.labels)) for total, row in zip(sums, batch, strict=True)]

    return measured(model, rows, batch_size, check, one)


def answers(model: Any, base: LoadedBase, rows: Sequence[Row], tokens: int) -> list[str]:
    """Greedy answers of at most `tokens` tokens."""
    return written(model, base.tokenizer, [row.messages[:-1] for row in rows], tokens)


def _begun(model: Any, labels: Tensor) -> Tensor:
    """What the decoder has read before each target: the start token, then the answer without its last token."""
    begun = labels.new_full(labels.shape, start_token(model))
    begun[:, 1:] = labels[:, :-1]
    return begun.masked_fill(begun == IGNORED, 0)  # behind the last target, where nothing is measured


WAYS = FamilyWays("seq2seq", read, collate, loss, plain_loss, row_losses, answers)
