"""What differs between causal, seq2seq and encoder models, as a handful of functions each; the recipe is the same.

A prompt of several turns, with a system turn or a context is one text for every family: the chat template's (see
seq2seq.py and encoder.py for models that have none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor

from studio.contract.spec import Family, TrainSpec
from studio.models.loading import LoadedBase
from studio.training.data import Row, Split
from studio.training.loss import RowLoss

Batch = Mapping[str, Tensor]
BatchLoss = Callable[[Batch], Tensor]
"""A batch of `collate` to its summed loss in nats."""

__all__ = ["Batch", "BatchLoss", "FamilyWays", "of"]


class Read(Protocol):
    """Rows of a split of `spec.snapshot` with at most `max_length` tokens; `keep_messages` for rows that are shown."""

    def __call__(
        self, base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool = False
    ) -> Split: ...


class RowLosses(Protocol):
    """The loss of each row, in the order given; `check` is called between batches and may raise."""

    def __call__(
        self, model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Callable[[], None] = ...
    ) -> list[RowLoss]: ...


@dataclass(frozen=True)
class FamilyWays:
    """The functions of one family.

    `collate`: rows and pad id to a batch, whose `labels` hold -100 where there is no target. `loss`: the cheapest
    correct summed loss of a model, with label smoothing; `plain_loss`: the same of one batch through the model's own
    forward, for wrapped models. `answers`: what a model answers to the prompts of rows (with their messages), as text.
    """

    name: Family
    read: Read
    collate: Callable[[Sequence[Row], int], dict[str, Tensor]]
    loss: Callable[[Any, float], BatchLoss]
    plain_loss: Callable[[Any, Batch, float], Tensor]
    row_losses: RowLosses
    answers: Callable[[Any, LoadedBase, Sequence[Row], int], list[str]]


def of(name: str) -> FamilyWays:
    """The functions of a family."""
    from studio.training.families import causal, encoder, seq2seq

    return {ways.name: ways for ways in (causal.WAYS, seq2seq.WAYS, encoder.WAYS)}[cast(Family, name)]
