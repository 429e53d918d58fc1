"""What seq2seq and encoder have in common: reading a split row by row, and measuring rows batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from studio.contract.chat import Message
from studio.contract.plain import question_and_answer
from studio.contract.spec import TrainSpec
from studio.training.data import Row, Split, conversations
from studio.training.loss import RowLoss

MakeRow = Callable[[int, list[Message], str], Row]
"""Row number, the turns before the answer, and the answer, to a row. Raises LeftOut."""


class LeftOut(ValueError):
    """A row that cannot be trained on, with the reason as it stands in a warning."""


def read_rows(spec: TrainSpec, name: str, keep_messages: bool, make: MakeRow) -> Split:
    """The rows of a split, each from its last trained answer and the turns before it. Raises BadFile."""
    split = Split(name)
    for number, (messages, tools) in enumerate(conversations(spec.snapshot / f"{name}.parquet"), start=1):
        try:
            turns, answer = question_and_answer(messages)
            row = make(number, turns, answer)
        except ValueError as error:
            reason = str(error) if isinstance(error, LeftOut) else f"no target ({error})"
            split.left_out.setdefault(reason, []).append(number)
            continue
        if keep_messages:
            shown = (*turns, Message("assistant", answer))
            row = type(row)(row.number, row.ids, row.labels, shown, tools)
        split.rows.append(row)
    return split


def check_room(ids: Sequence[int], room: int, spec: TrainSpec, tokens: int) -> bool:
    """Whether a prompt fits into `room` of the row's `tokens`. Raises LeftOut where it is not to be cut, or cannot."""
    if len(ids) > room and (spec.overlong == "leave-out" or room < 2):
        raise LeftOut(f"answer cut (they are longer than max_length={tokens} tokens)")
    return len(ids) <= room


@torch.no_grad()
def measured(
    model: Any,
    rows: Sequence[Row],
    batch_size: int,
    check: Callable[[], None],
    losses_of: Callable[[Sequence[Row], torch.device], list[RowLoss]],
) -> list[RowLoss]:
    """The loss of each row, in the order given, from batches of rows of like length; the model's mode is put back."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found = [RowLoss(0.0, 0)] * len(rows)
    try:
        for start in range(0, len(order), batch_size):
            check()
            numbers = order[start : start + batch_size]
            for number, one in zip(numbers, losses_of([rows[number] for number in numbers], device), strict=True):
                found[number] = one
    finally:
        model.train(was_training)
    return found


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch where the model is."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


def padded(rows: Sequence[Any], pad: int) -> torch.Tensor:
    """Sequences of numbers as [rows, longest], filled up on the right."""
    made = torch.full((len(rows), max(len(row) for row in rows)), pad, dtype=torch.long)
    for line, row in enumerate(rows):
        made[line, : len(row)] = torch.as_tensor(row, dtype=torch.long)
    return made
