"""From a snapshot's Parquet files to rows of token ids, and the order in which a run sees them.

A row whose answer does not fit whole, or that the template cannot render, is left out and counted, never trained on
silently. What it leaves out: packing several rows into one sequence (packing.py), and data larger than memory (12 bytes
a token).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from studio.contract.answers import with_flags
from studio.contract.chat import Message, Rendered, render, shortened
from studio.errors import BadFile

IGNORED = -100
"""Label of a token without loss (the value that torch and transformers ignore)."""

GROUP_BATCHES = 50
"""Rows are shuffled, then sorted by length within groups of so many batches: little padding, yet a random order."""

NAMED_ROWS = 20

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One conversation as token ids; `labels` are the ids where there is loss, else -100. `number` counts from 1."""

    number: int
    ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    messages: tuple[Message, ...] = ()
    tools: str = ""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Split:
    """The rows of one split that can be used; `left_out` maps a reason to the row numbers left out for it, `shortened`
    are the numbers of the rows whose prompts were cut."""

    name: str
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)
    shortened: list[int] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        """How many rows were left out."""
        return sum(len(numbers) for numbers in self.left_out.values())

    def warnings(self) -> list[dict[str, Any]]:
        """A sentence for each reason, with the first row numbers."""
        cut = "the oldest text of their prompts was cut, for they are longer than max_length"
        told = [self._warning("shortened", cut, self.shortened)] if self.shortened else []
        return told + [self._warning("left out", reason, numbers) for reason, numbers in self.left_out.items()]

    def _warning(self, what: str, reason: str, numbers: list[int]) -> dict[str, Any]:
        total = len(self.rows) + self.skipped
        message = f"{len(numbers)} of {total} {self.name} rows were {what}: {reason}."
        where = {"split": self.name, "reason": reason, "count": len(numbers), "rows": numbers[:NAMED_ROWS]}
        return {"message": message, **where}


def read_split(
    snapshot: Path, name: str, tokenizer: Any, max_length: int, keep_messages: bool = False, shorten: bool = False
) -> Split:
    """Read and render `<snapshot>/<name>.parquet`; `shorten`: rows that are too long lose the oldest text of their
    prompts instead of being left out. Raises BadFile when it is missing or not a snapshot's file."""
    split = Split(name)
    for number, (messages, tools) in enumerate(conversations(snapshot / f"{name}.parquet"), start=1):
        try:
            rendered = render(tokenizer, messages, tools)
            if shorten and length_of(rendered) > max_length:
                messages, rendered = _shorter(tokenizer, messages, tools, rendered, max_length)
                split.shortened += [number] if length_of(rendered) <= max_length else []
        except Exception as error:
            # A template's own `raise_exception` comes as jinja2's TemplateError, of which this room knows nothing.
            if not isinstance(error, ValueError) and type(error).__module__.split(".")[0] != "jinja2":
                raise
            split.left_out.setdefault(refusal(error), []).append(number)
            continue
        end = length_of(rendered)
        if end > max_length:
            reason = f"answer cut (they are longer than max_length={max_length} tokens)"
            split.left_out.setdefault(reason, []).append(number)
            continue
        ids = np.asarray(rendered.ids[:end], dtype=np.int32)
        labels = np.where(np.asarray(rendered.mask[:end]), ids, IGNORED).astype(np.int32)
        split.rows.append(Row(number, ids, labels, *((tuple(messages), tools) if keep_messages else ())))
    return split


def length_of(rendered: Rendered) -> int:
    """Tokens up to the last one with loss: what follows can teach nothing."""
    return max(index for index, target in enumerate(rendered.mask) if target) + 1


def _shorter(
    tokenizer: Any, messages: list[Message], tools: str, rendered: Rendered, max_length: int
) -> tuple[list[Message], Rendered]:
    """A conversation whose prompt is cut so that it fits; as it was where that cannot be."""
    kept = shortened(tokenizer, messages, lambda turns: length_of(render(tokenizer, turns, tools)) - max_length)
    return (kept, render(tokenizer, kept, tools)) if kept else (messages, rendered)


def run_order(lengths: Sequence[int], total: int, batch_size: int, seed: int) -> Ints:
    """Indices of the `total` rows that a run sees, epoch after epoch, rows of like length together in a batch.

    The same arguments give the same order on every machine. Every batch but the last is full; each epoch has every row
    once, and no batch has a row twice unless there are fewer rows than its size. The run begins with the batch that has
    the longest row, so that a lack of memory shows at once.
    """
    rows, length = len(lengths), np.asarray(lengths)
    order: list[Ints] = []
    rest = np.empty(0, dtype=np.int64)
    for epoch, seen in enumerate(range(0, total, rows)):
        fresh = np.random.default_rng((seed, epoch)).permutation(rows)
        # The batch across the end of an epoch takes from the new one rows that it has not got, of like length.
        again = np.isin(fresh, rest)
        fresh = np.concatenate([fresh[~again], fresh[again]])[: total - seen]
        if len(rest):
            far = np.abs(length[fresh] - length[rest].mean()) + np.isin(fresh, rest) * (length.max() + 1)
            near = np.argsort(far, kind="stable")[: batch_size - len(rest)]
            rest, fresh = np.concatenate([rest, fresh[near]]), np.delete(fresh, near)
            if len(rest) < batch_size:
                continue
            order.append(rest)
        batches, rest = _epoch_batches(fresh, length, batch_size, np.random.default_rng((seed, 1_000_000_007, epoch)))
        order += _longest_first(batches, length) if epoch == 0 else batches
    return np.concatenate([*order, rest])


def _epoch_batches(fresh: Ints, length: Ints, batch_size: int, random: np.random.Generator) -> tuple[list[Ints], Ints]:
    """Full batches of rows of like length, and the few (short) rows that are left over."""
    spare = len(fresh) % batch_size
    # The shortest of the first group are left over, so that the longest row is always in a full batch.
    size = batch_size * GROUP_BATCHES
    bounds = [0, *range(min(size + spare, len(fresh)), len(fresh), size), len(fresh)]
    batches: list[Ints] = []
    rest = fresh[:0]
    for start, end in pairwise(bounds):
        group = fresh[start:end]
        group = group[np.argsort(length[group], kind="stable")]
        if start == 0:
            rest, group = group[:spare], group[spare:]
        made = group.reshape(-1, batch_size)
        batches += [made[index] for index in random.permutation(len(made))]
    return batches, rest


def _longest_first(batches: list[Ints], length: Ints) -> list[Ints]:
    if batches:
        longest = max(range(len(batches)), key=lambda index: int(length[batches[index]].max()))
        batches[0], batches[longest] = batches[longest], batches[0]
    return batches


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded `input_ids`, `attention_mask` and `labels`, each [rows, longest row]."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = torch.from_numpy(row.ids)
        labels[line, : len(row)] = torch.from_numpy(row.labels)
        mask[line, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def spread(rows: Sequence[Row], limit: int) -> list[Row]:
    """At most `limit` rows, taken evenly over the whole list: the same ones in every run on this split."""
    if len(rows) <= limit:
        return list(rows)
    return [rows[index * len(rows) // limit] for index in range(limit)]


class RunRows(torch.utils.data.Dataset[Row]):
    """A whole run as one long epoch: item `i` is the `i`-th row that the run sees."""

    def __init__(self, rows: Sequence[Row], order: Ints) -> None:
        self._rows = rows
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Row:
        return self._rows[int(self._order[index])]


def refusal(error: Exception) -> str:
    """Why a row cannot be rendered, as the reason in a warning."""
    if isinstance(error, ValueError):
        return f"no target ({_first_line(error)})"
    return f"the chat template of this model refuses them ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def conversations(path: Path) -> Iterator[tuple[list[Message], str]]:
    """Turns and tools of each row of a split's file. Raises BadFile."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024, columns=["messages", "tools"]):
                for row in batch.to_pylist():
                    yield _messages(row["messages"] or []), row.get("tools") or ""
    except FileNotFoundError:
        raise BadFile(f"The snapshot has no {path.name}: {path.parent} is not a snapshot's folder.") from None
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} cannot be read as a snapshot's split: make the snapshot again.") from error


def _messages(turns: list[dict[str, Any]]) -> list[Message]:
    """The turns; loss lies where the snapshot says so. One of before there were flags has it on the last turn alone:
    the answer that a person gave."""
    return list(with_flags([turn | {"content": turn["content"] or ""} for turn in turns]))
