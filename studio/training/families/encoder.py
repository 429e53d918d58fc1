"""Encoder classification (BERT, MiniLM): the prompt's text to one label, or to any number of them.

The labels are the answers' texts in the training rows, in alphabetical order. The prompt is one text without the
system prompt (`one_text`); of a conversation the last trained answer is the label. The head of a base model that was
never trained on these labels is random: its answers are guesses and its loss is about ln(number of labels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from studio.contract.chat import Message
from studio.contract.spec import TrainSpec
from studio.models.classify import classified, text_ids
from studio.models.heads import LabelSet
from studio.models.loading import LoadedBase
from studio.training.data import Row, Split
from studio.training.families import Batch, BatchLoss, FamilyWays
from studio.training.families.common import LeftOut, check_room, measured, on_device, padded, read_rows
from studio.training.families.labels import label_parts
from studio.training.loss import RowLoss


def read(base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool = False) -> Split:
    """The rows of a split: `labels` is the class number, or a 0 or 1 for each class. Raises BadFile."""
    known, number_of = LabelSet(base.labels, base.several), {name: at for at, name in enumerate(base.labels)}

    def make(number: int, turns: list[Message], answer: str) -> Row:
        parts = label_parts(answer, known)
        new = [part for part in parts if part not in number_of]
        if new:
            raise LeftOut(f"their label is not among those of the training rows (such as '{new[0][:40]}')")
        ids = text_ids(base.tokenizer, turns)
        check_room(ids, max_length, spec, max_length)
        ids = ids[:max_length]  # cut at the end, as whoever asks the model cuts it
        classes = [number_of[part] for part in parts]
        labels = np.isin(np.arange(len(base.labels)), classes) if base.several else classes
        return Row(number, np.asarray(ids, dtype=np.int32), np.asarray(labels, dtype=np.int32))

    return read_rows(spec, name, keep_messages, make)


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask` [rows, longest]; `labels` [rows] of class numbers, or [rows, classes] of 0, 1."""
    labels = torch.from_numpy(np.stack([row.labels for row in rows]))
    return {
        "input_ids": padded([row.ids for row in rows], pad_id),
        "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        "labels": labels.float() if labels.shape[1] > 1 else labels[:, 0].long(),
    }


def label_losses(model: Any, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """The loss of each decision in nats: [rows] of one label each, or [rows, classes] of any number."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()
    if batch["labels"].dim() > 1:
        return functional.binary_cross_entropy_with_logits(logits, batch["labels"], reduction="none")
    return functional.cross_entropy(logits, batch["labels"], reduction="none", label_smoothing=smoothing)


def plain_loss(model: Any, batch: Batch, smoothing: float) -> Tensor:
    """The summed loss of a batch."""
    return label_losses(model, batch, smoothing).sum()


def loss(model: Any, smoothing: float) -> BatchLoss:
    """The summed loss of a batch."""
    return lambda batch: plain_loss(model, batch, smoothing)


def row_losses(
    model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Callable[[], None] = lambda: None
) -> list[RowLoss]:
    """The loss of each row in nats; its targets are its decisions: one, or one for each class."""

    def one(batch: Sequence[Row], device: torch.device) -> list[RowLoss]:
        each = label_losses(model, on_device(collate(batch, pad_id), device)).double().reshape(len(batch), -1)
        return [RowLoss(float(row.sum()), len(row)) for row in each]

    return measured(model, rows, batch_size, check, one)


def answers(model: Any, base: LoadedBase, rows: Sequence[Row], tokens: int) -> list[str]:
    """The label of each row's text; several are joined by ", "."""
    return [verdict.text for verdict in classified(model, base.tokenizer, [row.messages[:-1] for row in rows])]


WAYS = FamilyWays("encoder", read, collate, loss, plain_loss, row_losses, answers)
