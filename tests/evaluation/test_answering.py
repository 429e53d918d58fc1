"""Answers of many rows come in the order asked, and are those of each row alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.contract.chat import Message
from studio.errors import NotFound
from studio.evaluation.answering import Asked, answer_all
from studio.inference.engine import Engine
from studio.inference.request import NoMemory
from studio.inference.served import NoClassifier
from studio.models.loading import load_base
from tests import tiny
from tests.inference.conftest import base_folder, engine, runs  # noqa: F401

WORDS = ["Hi", "What is the capital of France?", "a b c", "Zähle bis drei, bitte.", "x" * 40]


def ask(words: str, run: str | None = None, tokens: int = 12) -> Asked:
    return Asked((Message("user", words),), run, tokens)


def test_answers_come_in_the_order_asked_and_as_alone(engine: Engine) -> None:  # noqa: F811
    asked = [ask(words, run, 3 + number) for number, words in enumerate(WORDS) for run in (None, "one")]
    found = answer_all(engine, asked, batch_rows=3)
    alone = [answer_all(engine, [one])[0] for one in asked]
    assert [one.text for one in found] == [one.text for one in alone]
    assert [one.tokens for one in found] == [one.tokens for one in alone]
    assert len({one.text for one in found}) > 5


def test_progress_ends_at_all_and_may_stop(engine: Engine) -> None:  # noqa: F811
    seen: list[tuple[int, int]] = []
    answer_all(engine, [ask(words) for words in WORDS], 2, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5) and [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_all(engine, [ask("Hi")], on_progress=stop)


def test_a_prompt_that_does_not_fit_is_no_answer_and_no_end(engine: Engine) -> None:  # noqa: F811
    long, short = answer_all(engine, [ask("x" * 400), ask("Hi")])
    assert (long.finish, long.text, long.tokens) == ("unasked", "", 0) and "shorten it" in long.why
    assert short.text


def test_an_unknown_run_is_an_error(engine: Engine) -> None:  # noqa: F811
    with pytest.raises(NotFound):
        answer_all(engine, [ask("Hi", "nowhere")])


def test_a_batch_without_memory_is_halved(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    usual, sizes = engine.decode, []

    def small(rows, cancelled=None, at_once=0):
        sizes.append(at_once)
        if at_once > 2:
            raise NoMemory("full")
        return usual(rows, cancelled, at_once)

    monkeypatch.setattr(engine, "decode", small)
    found = answer_all(engine, [ask(words) for words in WORDS], 5)
    assert all(one.text for one in found) and sizes == [5, 2]


def test_an_encoder_without_labels_cannot_be_asked(tmp_path: Path) -> None:
    folder = tiny.make_model(tmp_path / "bert", "bert")
    bare = Engine(load_base(tmp_path, str(folder), device="cpu", dtype="float32"), tmp_path / "runs")
    with pytest.raises(NoClassifier):
        answer_all(bare, [ask("Hi")])
