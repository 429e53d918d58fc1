"""Ways to get answers without fine-tuning: the project's prompt, and examples in the prompt; and which way to use.

What it leaves out: the model that answers, and what an answer is worth (studio.evaluation.scoring).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.contract.chat import Message
from studio.contract.evaluation import WayReport
from studio.evaluation.held_rows import HeldRow
from studio.evaluation.intervals import Sample, paired, spread_of
from studio.evaluation.kept import Kept
from studio.evaluation.verdict import number

WAY_ROWS = 100
"""Held-out rows that are answered in each further way: long prompts are slow, and the question is a coarse one."""

_LEAST = 1e-9


@dataclass(frozen=True)
class Way:
    """What was answered in a way: the metric over it, and the answers."""

    name: str
    words: str
    scored: Sample
    answers: Sequence[Kept]
    training_minutes: float | None = None


def prompted(row: HeldRow, instructions: str) -> tuple[Message, ...]:
    """The question with the project's instructions before it, behind a system turn's own words."""
    first, rest = (row.question[0], row.question[1:]) if row.question[0].role == "system" else (None, row.question)
    words = "\n\n".join(part for part in (first.content if first else "", instructions.strip()) if part)
    return (Message("system", words), *rest) if words else row.question


def shown(row: HeldRow, examples: Sequence[HeldRow], instructions: str) -> tuple[Message, ...]:
    """The same with solved examples as earlier turns, the nearest last, where it weighs most."""
    asked = prompted(row, instructions)
    system, rest = (asked[:1], asked[1:]) if asked[0].role == "system" else ((), asked)
    turns = [
        turn
        for example in reversed(examples)
        for turn in (Message("user", example.prompt), Message("assistant", example.reference))
    ]
    return (*system, *turns, *rest)


def nearest(
    encode: Callable[[Sequence[str]], np.ndarray], train: Sequence[HeldRow], rows: Sequence[HeldRow], count: int
) -> list[list[HeldRow]]:
    """For each row the `count` training rows whose prompts are nearest by cosine, the nearest first. `encode` gives
    vectors [texts, width] of length 1."""
    if not train or not count:
        return [[] for _ in rows]
    known = encode([row.prompt for row in train])
    near = encode([row.prompt for row in rows]) @ known.T
    return [[train[int(at)] for at in np.argsort(-line, kind="stable")[:count]] for line in near]


def reported(way: Way, seed: int) -> WayReport:
    """The way's figures, its metric with a 95 % interval."""
    low, high = spread_of(way.scored, seed)
    answers = way.answers
    means = [float(np.mean([getattr(one, name) for one in answers])) for name in ("seconds", "prompt_tokens", "tokens")]
    return WayReport(
        name=way.name,
        words=way.words,
        value=float(way.scored.value),
        low=low,
        high=high,
        seconds=means[0],
        prompt_tokens=means[1],
        answer_tokens=means[2],
        training_minutes=way.training_minutes,
    )


def advice(ways: Sequence[Way], metric: str, higher: bool, seed: int = 0) -> str:
    """Which way to use, in a sentence. The last way is the fine-tuned model; the others are ways of asking the base."""
    *others, tuned = ways
    if not others:
        return ""
    best = max(others, key=lambda way: way.scored.value if higher else -way.scored.value)
    found = paired(best.scored, tuned.scored, seed)
    better = found.difference > 0 if higher else found.difference < 0
    if found.shown and found.low is not None and found.high is not None:
        ends = sorted((abs(found.low), abs(found.high)))
        by = f"by {number(abs(found.difference))} ({number(ends[0])} to {number(ends[1])}) in {metric}"
        if better:
            return f"Use the fine-tuned model: on {found.rows:,} answers it is better than {best.words}, {by}."
        return f"Fine-tuning is not worth it yet: on {found.rows:,} answers {best.words} is better, {by}."
    longer = _tokens(best) / max(_tokens(tuned), _LEAST)
    cost = f" which takes {number(longer)} times the tokens an answer" if longer >= 1.05 else " at no more tokens"
    return f"No difference can be shown between the fine-tuned model and {best.words},{cost} ({found.rows:,} answers)."


def _tokens(way: Way) -> float:
    return float(np.mean([one.tokens + one.prompt_tokens for one in way.answers]))
