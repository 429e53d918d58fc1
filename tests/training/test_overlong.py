"""Rows that are too long: left out, or their prompts cut, and either way counted."""

from __future__ import annotations

import pytest

from studio.training.data import IGNORED, read_split
from tests import tiny

LONG = [("first " * 30 + "Where is it?", "On the shelf.")]


def answer_of(tokenizer, row) -> str:
    return tokenizer.decode([int(token) for token in row.labels if token != IGNORED])


@pytest.mark.parametrize("template", [tiny.CHATML, tiny.LLAMA3])
def test_a_cut_prompt_keeps_the_answer_the_system_turn_and_the_end_of_the_question(tmp_path, template):
    tokenizer = tiny.make_tokenizer(template)
    tiny.make_snapshot(tmp_path, LONG, system="Be brief.")
    whole = read_split(tmp_path, "train", tokenizer, 500).rows[0]
    most = len(whole) - 40
    assert not read_split(tmp_path, "train", tokenizer, most).rows
    split = read_split(tmp_path, "train", tokenizer, most, keep_messages=True, shorten=True)
    row = split.rows[0]
    assert most - 5 <= len(row) <= most and answer_of(tokenizer, row) == answer_of(tokenizer, whole)
    assert row.messages[0].content == "Be brief." and row.messages[1].content.endswith("first Where is it?")
    assert [warning["rows"] for warning in split.warnings()] == [[1]]
    assert "1 of 1 train rows were shortened" in split.warnings()[0]["message"]


def test_an_answer_that_does_not_fit_alone_is_left_out_all_the_same(tmp_path):
    tokenizer = tiny.make_tokenizer()
    tiny.make_snapshot(tmp_path, [("Where?", "On the shelf. " * 20)])
    split = read_split(tmp_path, "train", tokenizer, 40, shorten=True)
    assert not split.rows and split.skipped == 1 and not split.shortened


def test_a_run_cuts_prompts_where_its_spec_says_so(place, train, tmp_path):
    snapshot = tiny.make_snapshot(tmp_path / "long", LONG * 2 + tiny.pairs(4), tiny.pairs(2, 50))
    fields = {"snapshot": snapshot, "max_steps": 1, "samples": 0, "evaluations": 0, "max_length": 90}
    _, events = train(place.run(**fields, overlong="cut-prompt"))
    told = [event.data["message"] for event in events if event.kind == "warning"]
    assert any("2 of 6 train rows were shortened" in message for message in told)
    assert events[-1].data["rows"] == 6 and events[-1].data["skipped"] == 0
