"""What the model will see is what training sees: the same rows left out, the same tokens with loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.contract.chat import Message, render
from studio.contract.preflight import PreflightSpec
from studio.errors import BadModel
from studio.preflight.rows import Rows
from studio.preflight.tokens import check_tokens, load, render_batch
from studio.training.data import read_split
from tests.preflight.planted import Row, clean, without_target
from tests.tiny import CHATML, LLAMA3, make_tokenizer, write_split

Make = Callable[..., Rows]
REFUSES = "{% for m in messages %}{% if m['role'] == 'system' %}"
REFUSES += "{{ raise_exception('no system turn') }}{% endif %}{% endfor %}"


@pytest.mark.parametrize("template", [CHATML, LLAMA3, None])
def test_a_batch_is_rendered_as_each_row_alone(template: str | None) -> None:
    tokenizer = make_tokenizer(template)
    talks = [([Message("user", row.prompt, False), Message("assistant", row.answer)], "") for row in clean(7)]
    talks.append(([*talks[0][0], Message("user", "And then?", False), Message("assistant", "Nothing.")], ""))
    assert render_batch(tokenizer, talks) == [render(tokenizer, *talk) for talk in talks]


def test_training_leaves_out_what_preflight_names(make_rows: Make, tmp_path: Path) -> None:
    rows = clean(12)
    rows[3], rows[7] = Row(rows[3].prompt, "long " * 300), without_target(rows[7])
    rows[9] = Row(rows[9].prompt, "Fine.", system="Be brief.")
    tokenizer = make_tokenizer(CHATML.replace("{% for", REFUSES + "{% for", 1))
    made = make_rows(rows)
    checked = check_tokens(made, PreflightSpec(models="/m", max_length=600), tokenizer, lambda done, total: None)
    assert {one.check: list(one.rows) for one in checked.found} == {"no-target": [7, 9], "answer-cut": [3]}
    write_split(
        tmp_path / "train.parquet",
        [[{k: t[k] for k in ("role", "content", "train")} for t in row.messages()] for row in rows],
    )
    split = read_split(tmp_path, "train", tokenizer, 600)
    assert sorted(number - 1 for left in split.left_out.values() for number in left) == [3, 7, 9]
    assert checked.lengths and checked.lengths.target_tokens > sum((row.labels >= 0).sum() for row in split.rows)


def test_lengths_and_shown_rows_add_up(make_rows: Make) -> None:
    spec = PreflightSpec(models="/m", max_length=90, shown=6)
    made = make_rows(clean(30))
    checked = check_tokens(made, spec, make_tokenizer(), lambda done, total: None)
    assert checked.lengths and sum(checked.lengths.counts) == 30
    assert len(checked.lengths.edges) == len(checked.lengths.counts) + 1
    assert len({row.example_id for row in checked.shown}) == 6
    cut = next(row for row in checked.shown if row.why == "answer cut")
    assert cut.cut == cut.tokens - 90 and cut.pieces[0][0].startswith("<|im_start|>user")
    answers = "".join(text for text, loss in checked.shown[-1].pieces if loss)
    assert answers == "" or answers in made.answers[int(checked.shown[-1].example_id[-5:])] + "<|im_end|>"


def test_what_stands_behind_the_answer_may_be_lost(make_rows: Make) -> None:
    turns = tuple(
        {"role": r, "content": c, "train": t}
        for r, c, t in (("user", "Hi", False), ("assistant", "Ho", True), ("user", "x " * 90, False))
    )
    checked = check_tokens(
        make_rows([Row("Hi", "Ho", turns=turns)]),
        PreflightSpec(models="/m", max_length=60),
        make_tokenizer(),
        lambda a, b: None,
    )
    assert [(one.check, list(one.rows)) for one in checked.found] == [("truncated", [0])]


def test_a_model_that_is_not_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="not on this machine"):
        load(tmp_path, "somebody/never-downloaded")
    with pytest.raises(BadModel):
        load(tmp_path, str(tmp_path / "nothing"))
