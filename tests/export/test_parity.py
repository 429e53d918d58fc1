"""When an export counts as the same: token ids, texts, near-ties, and how far scores may be off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from studio.errors import JobFailed
from studio.export.asking import Reference, questions
from studio.export.parity import LIMITS, Answered, compare
from tests import tiny

SCORES = torch.tensor([[0.0, 5.0, 1.0, 0.0], [0.0, 1.0, 4.99, 5.0], [5.0, 0.0, 0.0, 0.0]])
ONE = Reference((), (7, 8), "b d", 4, (1, 3), SCORES)
SAME = Answered((7, 8), "b d", (1, 3), SCORES)


def test_the_same_is_said_with_its_figures() -> None:
    report = compare("peft", [ONE] * 3, [SAME] * 3, "float32")
    assert (report.same_ids, report.same_text, report.near_ties, report.error) == (3, 3, 0, 0.0)
    assert "3 of 3 answers are those of the studio" in report.sentence and "peft" in report.sentence


def test_texts_may_part_only_at_a_near_tie() -> None:
    other = replace(SAME, text="b c", answer=(1, 2))  # 4.99 against 5
    report = compare("llama.cpp", [ONE, ONE], [SAME, other], "float16")
    assert (report.same_text, report.near_ties) == (1, 1) and "1 part where" in report.sentence
    with pytest.raises(JobFailed, match="answers 1 of 2 prompts otherwise"):
        compare("llama.cpp", [ONE, ONE], [SAME, replace(SAME, text="c", answer=(2,))], "q8_0")
    with pytest.raises(JobFailed, match="otherwise"):  # it goes on where the studio ends
        compare("llama.cpp", [ONE], [replace(SAME, text="b d b", answer=(1, 3, 1))], "q8_0")


def test_other_token_ids_are_never_allowed() -> None:
    with pytest.raises(JobFailed, match="1 of 1 prompts into other tokens"):
        compare("transformers", [ONE], [replace(SAME, prompt=(7, 7, 8))], "q8_0")


@pytest.mark.parametrize("name", list(LIMITS))
def test_scores_may_be_off_by_the_tolerance_and_a_shift_is_nothing(name: str) -> None:
    spread = (SCORES - SCORES.mean(-1, keepdim=True)) * LIMITS[name].tolerance
    assert compare("peft", [ONE], [replace(SAME, scores=SCORES + 3 + 0.9 * spread)], name).error
    with pytest.raises(JobFailed, match="scores are off"):
        compare("peft", [ONE], [replace(SAME, scores=SCORES + 1.1 * spread)], name)
    with pytest.raises(JobFailed, match="scores are off by nan"):
        compare("peft", [ONE], [replace(SAME, scores=SCORES * torch.nan)], name)


def test_a_classifier_is_held_by_its_probability() -> None:
    one = Reference((), (1,), "order", 1, probability=0.7)
    assert compare("peft", [one], [Answered((1,), "order", probability=0.7001)], "float32").same_text == 1
    with pytest.raises(JobFailed, match="scores are off"):
        compare("peft", [one], [Answered((1,), "order", probability=0.9)], "float32")


def test_prompts_are_held_out_rows_first(tmp_path: Path) -> None:
    snapshot = tiny.make_snapshot(tmp_path, tiny.pairs(5), test=tiny.pairs(8, 40))
    asked = [messages[-1].content for messages in questions(snapshot, 10)]
    held = [question for question, _ in tiny.pairs(8, 40)]
    assert asked[:8] == held and set(asked[8:]) <= {question for question, _ in tiny.pairs(5)}
    assert len(questions(snapshot, 40)) == 33 and len(questions(snapshot, 9)) == 9 and len(questions(None, 20)) == 20
    assert len({messages[0].content for messages in questions(None, 20)}) == 20
