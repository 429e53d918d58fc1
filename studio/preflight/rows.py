"""The rows of a preflight: each column read when a check asks for it, so that memory holds no more than the texts.

What it leaves out: writing anything, and what a row means to a model (tokens.py).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.preflight import ROWS_FILE
from studio.errors import BadFile

LABEL_TASKS = frozenset({"classification", "multi-label", "rating"})
_BATCH = 2048


class Rows:
    """One row a pair, counted from 0 in the order of the file. Raises BadFile when the file cannot be read."""

    def __init__(self, folder: Path, task: str) -> None:
        self._path = folder / ROWS_FILE
        self.task = task
        self.ids: list[str] = self._column("example_id")
        self.splits: list[str] = self._column("split")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_labels(self) -> bool:
        """Whether an answer is a name or a number, not a text."""
        return self.task in LABEL_TASKS

    @cached_property
    def labels(self) -> list[tuple[str, ...]]:
        """The class names of each row, none where it has no label."""
        return [tuple(name for name in value.split("\n") if name) for value in self._column("label")]

    @cached_property
    def _sides(self) -> tuple[list[str], list[str], set[int]]:
        inputs, answers = [], []
        calls: set[int] = set()
        for row, (turns, _, _) in enumerate(self.conversations()):
            at = answer_turn(turns)
            inputs.append("\n".join(str(turn["content"] or "") for turn in turns[:at] if turn["role"] != "system"))
            answers.append(str(turns[at]["content"] or "") if at < len(turns) else "")
            if at < len(turns) and turns[at].get("extra"):
                calls.add(row)
        return inputs, answers, calls

    @property
    def inputs(self) -> list[str]:
        """What comes before the (last) answer, without system turns."""
        return self._sides[0]

    @property
    def answers(self) -> list[str]:
        """The (last) answer that is trained on, '' for none."""
        return self._sides[1]

    @property
    def calls(self) -> set[int]:
        """Rows whose answer calls a tool, and so needs no words."""
        return self._sides[2]

    def conversations(self) -> Iterator[tuple[list[dict[str, Any]], str, str]]:
        """Turns (role, content, maybe train and extra), rejected answer and tools of each row."""
        for batch in self._batches(["messages", "rejected", "tools"]):
            for row in batch.to_pylist():
                yield row["messages"] or [], row["rejected"] or "", row["tools"] or ""

    def fields(self) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """The row's number, and the names and texts of its fields as the example stores them."""
        number = 0
        for batch in self._batches(["fields"]):
            for row in batch.to_pylist():
                yield number, [(one["name"], one["text"] or "") for one in row["fields"] or ()]
                number += 1

    def _column(self, name: str) -> list[str]:
        return [value or "" for batch in self._batches([name]) for value in batch.column(0).to_pylist()]

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(self._path) as file:
                missing = [name for name in columns if name not in file.schema_arrow.names]
                if missing:
                    raise BadFile(f"{self._path.name} has no column {missing[0]}: start the preflight again.")
                yield from file.iter_batches(batch_size=_BATCH, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise BadFile(f"{self._path} cannot be read: start the preflight again.") from error


def answer_turn(turns: Sequence[Mapping[str, Any]]) -> int:
    """Where the last trained answer stands; behind the last turn when there is none."""
    answers = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
    trained = [at for at in answers if turns[at].get("train")]
    unsaid = all(turns[at].get("train") is None for at in answers)
    return trained[-1] if trained else answers[-1] if answers and unsaid else len(turns)


def plain(text: str) -> str:
    """A text without what nobody sees: composed form, no case, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def digest(*parts: object) -> bytes:
    """A short hash of some texts or lists of texts."""
    return hashlib.blake2b(json.dumps(parts, ensure_ascii=False).encode("utf-8", "replace"), digest_size=16).digest()
