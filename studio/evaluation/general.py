"""Whether a tuned model has forgotten what its base knew: the loss of right answers to a frozen set of easy questions.

The questions are in general_questions.json, never to be changed, so that figures of different months can be compared.
A loss shows forgetting long before answers turn wrong, and needs no judge. What it leaves out: classifiers, which write
no words, and everything that takes more than a few words to answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from studio.contract.chat import Message
from studio.evaluation.intervals import Difference, paired
from studio.evaluation.scoring import scored_losses
from studio.inference.engine import Engine
from studio.inference.losses import Said, answer_losses

_FILE = Path(__file__).with_name("general_questions.json")
_GREW = 0.1
"""Nats a token under which more loss is told as a change, not as forgetting."""


@dataclass(frozen=True)
class Question:
    """A question with every answer that is right; `kind` is what it is about, `language` an ISO 639-1 code."""

    kind: str
    language: str
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class GeneralRow:
    """A question with the loss of its right answer under both models, in nats a token: of the answers that are right
    the one that each finds likeliest."""

    kind: str
    language: str
    question: str
    base: float
    tuned: float


@dataclass(frozen=True)
class General:
    """What base and tuned make of the general questions, means of their losses, and a sentence that says it."""

    rows: tuple[GeneralRow, ...]
    base: float
    tuned: float
    low: float | None
    high: float | None
    p: float | None
    sentence: str


@lru_cache(maxsize=1)
def questions() -> tuple[Question, ...]:
    """The frozen set."""
    return tuple(
        Question(one["kind"], one["language"], one["question"], tuple(one["answers"]))
        for one in json.loads(_FILE.read_text(encoding="utf-8"))
    )


def general_losses(
    engine: Engine, run: str, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> General | None:
    """Base and tuned on the general questions; None for a classifier. Raises what `answer_losses` raises."""
    if engine.shared.family == "encoder":
        return None
    asked = questions()
    said = [
        Said((Message("user", one.question),), answer, weights)
        for weights in (None, run)
        for one in asked
        for answer in one.answers
    ]
    means = iter([one.mean for one in answer_losses(engine, said, on_progress=on_progress)])
    sides = [[_best([next(means) for _ in one.answers]) for one in asked] for _ in (None, run)]
    rows = [
        GeneralRow(one.kind, one.language, one.question, base, tuned)
        for one, base, tuned in zip(asked, *sides, strict=True)
        if base is not None and tuned is not None
    ]
    return concluded(rows) if rows else None


def concluded(rows: Sequence[GeneralRow], seed: int = 0) -> General:
    """The means, their difference's 95 % interval and p-value (paired over questions), and the sentence."""
    ones = [1] * len(rows)
    base, tuned = (scored_losses(side, ones)[0] for side in ([one.base for one in rows], [one.tuned for one in rows]))
    found = paired(base, tuned, seed)
    return General(tuple(rows), found.base, found.tuned, found.low, found.high, found.p, _sentence(found, rows))


def by_kind(rows: Sequence[GeneralRow]) -> dict[str, tuple[int, float, float]]:
    """Of each kind of question: how many there are, and the mean losses of base and tuned."""
    kinds = {kind: [one for one in rows if one.kind == kind] for kind in dict.fromkeys(one.kind for one in rows)}
    return {
        kind: (len(own), sum(one.base for one in own) / len(own), sum(one.tuned for one in own) / len(own))
        for kind, own in kinds.items()
    }


def _best(means: Sequence[float | None]) -> float | None:
    """The loss of the likeliest answer."""
    return min((mean for mean in means if mean is not None), default=None)


def _sentence(found: Difference, rows: Sequence[GeneralRow]) -> str:
    figures = f"{found.base:.2f} to {found.tuned:.2f} nats a token on {len(rows)} general questions"
    if not found.shown:
        return f"No forgetting can be shown: the loss of right answers went from {figures}."
    if found.difference < 0:
        return f"Nothing was forgotten: the loss of right answers fell from {figures}."
    worse = sum(one.tuned > one.base for one in rows)
    if found.difference < _GREW:
        return f"Hardly anything was forgotten: the loss of right answers rose from {figures}."
    return (
        f"Some general ability was forgotten: the loss of right answers rose from {figures}, on {worse} of them. "
        "Fewer steps, a lower learning rate or some general examples among the training rows help."
    )
