"""Held-out prompts answered by base and tuned model: the first thing a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.contract.chat import Message
from studio.models.answers import greedy_answers
from studio.training.data import Row
from studio.training.report import Report
from studio.training.stop import Stop

SAMPLE_BATCH = 16


def report_samples(model: Any, tokenizer: Any, rows: Sequence[Row], tokens: int, report: Report, stop: Stop) -> None:
    """Answer the prompt of each row greedily, adapter off and on, and report the pairs batch by batch."""
    for start in range(0, len(rows), SAMPLE_BATCH):
        batch = rows[start : start + SAMPLE_BATCH]
        prompts, tools = [row.messages[:-1] for row in batch], [row.tools for row in batch]
        stop.check()
        with model.disable_adapter():
            base = greedy_answers(model, tokenizer, prompts, tokens, tools=tools)
        stop.check()
        tuned = greedy_answers(model, tokenizer, prompts, tokens, tools=tools)
        for line, row in enumerate(batch):
            reference = row.messages[-1].content
            report.sample(start + line, prompt_of(row.messages[:-1]), reference, base[line], tuned[line])


def prompt_of(turns: Sequence[Message]) -> str:
    """The question as plain text: the one user turn, or all turns with their roles where there are several."""
    talk = [turn for turn in turns if turn.role != "system"]
    if len(talk) == 1:
        return talk[0].content
    return "\n".join(f"{turn.role}: {turn.content}" for turn in talk)
