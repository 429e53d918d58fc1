"""What the studio itself answers to some prompts: token ids, greedy text, and the scores behind it.

An export has to answer the same. What it leaves out: comparing (parity.py) and reading an export again (readers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from studio.contract.answers import with_flags
from studio.contract.chat import Message
from studio.contract.plain import question_and_answer
from studio.contract.spec import Family
from studio.errors import BadFile, BadInput
from studio.inference.decode import DecodeRow, Sampling, padded
from studio.inference.engine import Engine, Prepared
from studio.inference.request import GenerationRequest, PromptRefused
from studio.models.heads import labels_of
from studio.models.seq2seq import start_token

_SPLITS = ("test", "validation", "train")
_TOPICS = (
    "the weather tomorrow",
    "a lost parcel",
    "how a kettle works",
    "the number 12,345.67",
    "a short poem",
    "Zürich, naïve façades and 東京",
    "def add(a, b): return a + b",
    "an invoice of 30 €",
    "the year 1969",
    "a friend's birthday 🎂",
)
_ASKED = ("Tell me about {}.", "What would you say of {}?")


@dataclass(frozen=True, eq=False)
class Reference:
    """A prompt and what the studio answers: `answer` are the text's tokens, of which each was chosen by `scores`
    (float32, shape (tokens + 1, vocabulary); None of a classifier, which has the `probability` of its label instead).
    """

    messages: tuple[Message, ...]
    prompt: tuple[int, ...]
    text: str
    limit: int
    answer: tuple[int, ...] = ()
    scores: torch.Tensor | None = field(default=None, repr=False)
    probability: float | None = None


@dataclass(frozen=True, eq=False)
class Studio:
    """The studio's answers, and what they were read and ended with. `labels`: of a classifier, in order."""

    references: tuple[Reference, ...]
    tokenizer: Any
    family: Family
    ends: tuple[int, ...]
    labels: tuple[str, ...] = ()
    several: bool = False


def questions(snapshot: Path | None, count: int) -> list[tuple[Message, ...]]:
    """At most `count` prompts: of the test rows, evenly spread, then of validation and training; without a snapshot
    (or where it has too few) some of our own. Raises BadFile."""
    found: list[tuple[Message, ...]] = []
    for split in _SPLITS if snapshot else ():
        assert snapshot is not None
        rows = [row for row in _read(snapshot / f"{split}.parquet") if row not in found]
        missing = count - len(found)
        step = max(1, len(rows) // missing) if missing else 1
        found += rows[::step][:missing]
    own = [(Message("user", words.format(topic)),) for words in _ASKED for topic in _TOPICS]
    return (found + own)[:count]


def _read(path: Path) -> list[tuple[Message, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return []
    try:
        conversations = pq.read_table(path, columns=["messages"])["messages"].to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BadFile("The run's snapshot cannot be read: verify it on Datasets.") from error
    rows = []
    for turns in conversations:
        try:
            rows.append(tuple(question_and_answer(with_flags(turns or []))[0]))
        except ValueError:
            continue
    return rows


def ask(engine: Engine, run: str | None, asked: Sequence[tuple[Message, ...]], tokens: int) -> Studio:
    """The studio's greedy answers. Raises BadInput (no prompt fits; a run that cannot be asked), NotFound."""
    rows: list[Prepared] = []
    for messages in asked:
        try:
            rows.append(engine.prepare(GenerationRequest(messages, run, max_tokens=tokens)))
        except PromptRefused:
            continue
    if not rows:
        raise BadInput("No prompt of the snapshot fits this model, so its export cannot be checked: choose another.")
    texts = [""] * len(rows)
    chances: list[float | None] = [None] * len(rows)
    for delta in engine.decode(rows, at_once=16):
        texts[delta.row] += delta.text
        if delta.done is not None:
            chances[delta.row] = delta.done.probability
    served, tokenizer = rows[0].served, rows[0].tokenizer
    found = tuple(_reference(engine, row, text, chance) for row, text, chance in zip(rows, texts, chances, strict=True))
    known = labels_of(served.model.config) if served.family == "encoder" else None
    names, several = (known.names, known.several) if known else ((), False)
    return Studio(found, tokenizer, served.family, tuple(sorted(rows[0].ends)), names, several)


def _reference(engine: Engine, row: Prepared, text: str, chance: float | None) -> Reference:
    told = (row.request.messages, row.ids, text, row.limit)
    if row.served.family == "encoder":
        return Reference(*told, probability=chance)
    answer = tuple(row.tokenizer(text, add_special_tokens=False)["input_ids"])[: row.limit] if text else ()
    return Reference(*told, answer, _scores(engine, row, answer))


@torch.inference_mode()
def _scores(engine: Engine, row: Prepared, answer: tuple[int, ...]) -> torch.Tensor:
    """The scores of each token of an answer and of the one behind it, shape (tokens + 1, vocabulary)."""
    through = engine.through(row.served)
    if row.served.family == "seq2seq":
        ids, mask, embeds = padded(through, [DecodeRow(row.ids, row.slot, Sampling(), row.prefix)], left=False)
        begun = torch.tensor([[start_token(row.served.model), *answer]], device=ids.device)
        inputs: dict[str, Any] = {"attention_mask": mask, "decoder_input_ids": begun}
    else:
        line = DecodeRow((*row.ids, *answer), row.slot, Sampling(), row.prefix)
        ids, mask, embeds = padded(through, [line], left=True)
        inputs = {"attention_mask": mask}
    inputs |= {"input_ids": ids} if embeds is None else {"inputs_embeds": embeds}
    logits: torch.Tensor = through.forward([row.slot], inputs | {"use_cache": False}).logits
    return logits[0, -len(answer) - 1 :].float().cpu()
