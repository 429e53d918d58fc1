"""The held-out rows of a snapshot as questions with references, and what each belongs to (label, length, source, …).

Rows whose answer is not trained on are left out and counted. What it leaves out: the database; where an example came
from is read from a file that the app wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio.contract.answers import with_flags
from studio.contract.chat import Message
from studio.contract.evaluation import SOURCES_FILE, EvalSpec
from studio.contract.plain import question_and_answer
from studio.errors import BadFile

_LANGUAGE_CHARACTERS = 24
"""Shorter texts have no language that could be told."""


@dataclass(frozen=True)
class HeldRow:
    """A held-out example: `number` from 1 in the split's file, the turns that are asked, the answer that is right."""

    number: int
    example_id: str
    question: tuple[Message, ...]
    reference: str

    @property
    def prompt(self) -> str:
        """The last user turn, to be shown."""
        return next((turn.content for turn in reversed(self.question) if turn.role == "user"), "")


def read_rows(snapshot: Path, split: str) -> tuple[list[HeldRow], int]:
    """The rows of a split, and how many were left out for having no answer. Raises BadFile."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = snapshot / f"{split}.parquet"
    try:
        table = pq.read_table(path)
        conversations = table["messages"].to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BadFile(
            f"The snapshot's {split} rows cannot be read: verify the snapshot, or freeze a new one."
        ) from error
    known = "example_id" in table.column_names
    ids = table["example_id"].to_pylist() if known else [""] * len(conversations)
    rows = []
    for number, (turns, example_id) in enumerate(zip(conversations, ids, strict=True), start=1):
        try:
            question, reference = question_and_answer(with_flags(turns or []))
        except ValueError:
            continue
        rows.append(HeldRow(number, str(example_id or ""), tuple(question), reference))
    return rows, len(conversations) - len(rows)


def spread(rows: Sequence[HeldRow], most: int) -> list[HeldRow]:
    """At most so many rows, evenly over the split: the same ones each time."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, most).round()]


def digest_of(rows: Sequence[HeldRow]) -> str:
    """Names the content of these rows: two evaluations with the same digest answered the same questions."""
    hasher = hashlib.sha256()
    for row in rows:
        turns = [[turn.role, turn.content, turn.extra] for turn in row.question]
        hasher.update(json.dumps([turns, row.reference], ensure_ascii=False).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()[:16]


def belongings(folder: Path, spec: EvalSpec, rows: Sequence[HeldRow], labels: Sequence[str]) -> dict[str, list[str]]:
    """By kind, what each row belongs to; '' for nothing that could be told."""
    found: dict[str, list[str]] = {}
    if labels and spec.task != "multi-label":
        found["label"] = [row.reference if row.reference in set(labels) else "" for row in rows]
    found["length"] = _lengths([len(row.prompt) for row in rows])
    found["language"] = [_language(row.prompt) for row in rows]
    sources = _sources(folder)
    found["source"] = [sources.get(row.example_id, "") for row in rows]
    return found


def label_set(spec: EvalSpec) -> tuple[str, ...]:
    """The labels that answers are matched to: the project's, else those of the training rows; () where answers are
    free text."""
    if spec.task not in ("classification", "multi-label", "rating"):
        return ()
    if spec.labels:
        return spec.labels
    rows, _ = read_rows(spec.snapshot, "train")
    named = [row.reference.split(", ") if spec.task == "multi-label" else [row.reference] for row in rows]
    return tuple(sorted({label for labels in named for label in labels}))


def _lengths(characters: Sequence[int]) -> list[str]:
    """Three parts of like size: what is short is so for this set."""
    low, high = (float(edge) for edge in np.quantile(characters, [1 / 3, 2 / 3]))
    return ["short" if n <= low else "long" if n > high else "medium" for n in characters]


def _language(text: str) -> str:
    if len(text) < _LANGUAGE_CHARACTERS:
        return ""
    from py3langid.langid import classify

    return str(classify(text)[0])


def _sources(folder: Path) -> Mapping[str, str]:
    try:
        found = json.loads((folder / SOURCES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
