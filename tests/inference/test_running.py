"""Prompts that wait together are read a few at a time, those of a length together; nobody's answer hangs on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from studio.contract.chat import Message
from studio.inference import running
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest

PROMPTS = ["Hi", "A much longer question than the others", "No", "Why?", "Another of the longer questions", "x" * 60]


def ask(prompt: str) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), max_tokens=6, temperature=0.0)


def answers(engine: Engine, prompts: Sequence[str]) -> list[str]:
    texts = [""] * len(prompts)
    for delta in engine.generate([ask(prompt) for prompt in prompts]):
        texts[delta.row] += delta.text
    return texts


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The lengths of the prompts that were read together."""
    made, seen = running.decoder_of, list[list[int]]()

    def watched(through: Any, rows: Any) -> Any:
        seen.append([len(row.ids) for row in rows])
        return made(through, rows)

    monkeypatch.setattr(running, "decoder_of", watched)
    monkeypatch.setitem(running._AT_ONCE, "cpu", 100)
    return seen


def test_prompts_of_a_length_are_read_together_and_answers_stay_the_same(
    engine: Engine, groups: list[list[int]]
) -> None:
    alone = [answers(engine, [prompt])[0] for prompt in PROMPTS]
    groups.clear()
    assert answers(engine, PROMPTS) == alone
    assert sum(map(len, groups)) == len(PROMPTS) and len(groups) > 2
    assert all(len(group) == 1 or max(group) * len(group) <= 100 for group in groups)


def test_a_model_that_was_never_seen_to_join_reads_all_at_once(
    engine: Engine, groups: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.CausalDecoder, "joins", False)
    answers(engine, PROMPTS)
    answers(engine, PROMPTS)
    assert [len(group) for group in groups] == [6, 6]
