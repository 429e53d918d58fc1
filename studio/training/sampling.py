"""Held-out prompts answered by base and tuned model: the first thing a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.contract.chat import Message
from studio.models.heads import NO_CLASSIFIER
from studio.models.loading import LoadedBase
from studio.training.data import Row
from studio.training.families import of
from studio.training.methods import Untuned
from studio.training.report import Report
from studio.training.stop import Stop

SAMPLE_BATCH = 16


def report_samples(
    model: Any, untuned: Untuned, base: LoadedBase, rows: Sequence[Row], tokens: int, report: Report, stop: Stop
) -> None:
    """Answer the prompt of each row by the base and by the tuned model, and report the pairs batch by batch.

    A base whose head is random has no answer, only a guess: that is what its place says then.
    """
    answers = of(base.family).answers
    for start in range(0, len(rows), SAMPLE_BATCH):
        batch = rows[start : start + SAMPLE_BATCH]
        stop.check()
        if base.fresh:
            plain = [NO_CLASSIFIER] * len(batch)
        else:
            with untuned() as as_base:
                plain = answers(as_base, base, batch, tokens)
        stop.check()
        tuned = answers(model, base, batch, tokens)
        for line, row in enumerate(batch):
            reference = row.messages[-1].content
            report.sample(start + line, prompt_of(row.messages[:-1]), reference, plain[line], tuned[line])


def prompt_of(turns: Sequence[Message]) -> str:
    """The question as plain text: the one user turn, or all turns with their roles where there are several."""
    talk = [turn for turn in turns if turn.role != "system"]
    if len(talk) == 1:
        return talk[0].content
    return "\n".join(f"{turn.role}: {turn.content}" for turn in talk)
