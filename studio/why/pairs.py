"""The training pairs of a run as texts, and how near each is to a question and its answer by the starter encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from studio.contract.chat import Message
from studio.contract.plain import question_and_answer
from studio.errors import BadFile
from studio.models.encoders import ENCODER_VERSION, Encoder
from studio.training.data import conversations
from studio.why.kept import Kept

_PART = 256

Told = Callable[[int, int], None]
"""Called with the number of rows that are done, and of all that have to be."""


@dataclass(frozen=True)
class Pair:
    """A training pair; `row` counts from 1 in the split's file."""

    row: int
    example_id: str
    prompt: str
    answer: str


def read_pairs(snapshot: Path) -> list[Pair]:
    """The pairs of a snapshot's train split that have an answer to learn. Raises BadFile."""
    path = snapshot / "train.parquet"
    found = []
    for row, (messages, _) in enumerate(conversations(path), start=1):
        try:
            turns, answer = question_and_answer(messages)
        except ValueError:
            continue
        found.append((row, question(turns), answer))
    ids = _example_ids(path)
    if not found:
        raise BadFile("The snapshot of this run has no training pair with an answer.")
    return [Pair(row, ids[row - 1] if row <= len(ids) else "", prompt, answer) for row, prompt, answer in found]


def question(turns: Sequence[Message]) -> str:
    """The turns as one text, the last one first: an encoder reads only so far. System turns say the same everywhere."""
    said = [turn.content for turn in turns if turn.role != "system"]
    return "\n".join([*said[-1:], *said[:-1]])


def file_digest(snapshot: Path) -> str:
    """SHA-256 (hex) of a snapshot's train split."""
    with (snapshot / "train.parquet").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nearness(
    encoder: Encoder, name: str, cache: Path, snapshot: Path, pairs: Sequence[Pair], asked: tuple[str, str], told: Told
) -> npt.NDArray[np.float32]:
    """For each pair the mean of the cosines of its prompt and its answer with the `asked` prompt and answer, (pairs,).

    Vectors of pairs are kept in `cache`. Raises OSError when the disk is full.
    """
    kept = Kept(cache, what="texts", encoder=[name, ENCODER_VERSION], split=file_digest(snapshot))
    _fill(kept, encoder, pairs, told)
    mine = _vectors(encoder, [asked])[0]
    return scores(kept, [pair.row for pair in pairs], mine / 2)


def scores(kept: Kept, rows: Sequence[int], mine: Any) -> npt.NDArray[np.float32]:
    """The dot product of each row's vector with `mine` (width,); -inf for rows that are not kept."""
    place = {row: at for at, row in enumerate(rows)}
    found = np.full(len(rows), -np.inf, np.float32)
    own = np.asarray(mine, np.float32)
    for numbers, vectors in kept.parts():
        products = vectors.astype(np.float32) @ own
        for number, product in zip(numbers, products, strict=True):
            if (at := place.get(int(number))) is not None:
                found[at] = product
    return found


def _fill(kept: Kept, encoder: Encoder, pairs: Sequence[Pair], told: Told) -> None:
    known = kept.rows()
    missing = [pair for pair in pairs if pair.row not in known]
    for begin in range(0, len(missing), _PART):
        part = missing[begin : begin + _PART]
        kept.add([pair.row for pair in part], _vectors(encoder, [(pair.prompt, pair.answer) for pair in part]))
        told(begin + len(part), len(missing))


def _vectors(encoder: Encoder, texts: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """Vectors of prompt and answer side by side, [pairs, 2 × width]; a text that comes twice is read once."""
    apart = list(dict.fromkeys(text for both in texts for text in both))
    place, found = {text: at for at, text in enumerate(apart)}, encoder.encode(apart)
    return np.stack([np.concatenate([found[place[one]] for one in both]) for both in texts])


def _example_ids(path: Path) -> list[str]:
    with pq.ParquetFile(path) as file:
        if "example_id" not in file.schema_arrow.names:
            return []
        return [str(one or "") for one in file.read(columns=["example_id"]).column(0).to_pylist()]
