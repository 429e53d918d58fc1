"""The short forms of bench_compare and bench_evaluate: both ways give the same answers. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.contract.chat import Message
from studio.evaluation.answering import Asked
from studio.inference.engine import Engine
from studio.models.loading import load_base
from tests import tiny
from tests.bench import bench_compare, bench_evaluate

needs_data = pytest.mark.skipif(
    not (bench_evaluate.DATA / "gsm8k_test.jsonl").is_file(), reason="the public data sets are not beside the checkout"
)


@needs_data
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak there")
def test_our_engine_and_plain_generate_write_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    plain, ours = bench_compare.main(["--short", "--prompts", "6", "--tokens", "8", "--at-once", "5", "--threads", "1"])
    assert plain.texts == ours.texts and len(set(ours.texts)) > 6 and plain.tokens == ours.tokens > 0
    assert "same greedy text: 18 of 18" in capsys.readouterr().out


def test_batched_and_alone_give_the_same_answers(tmp_path: Path) -> None:
    base = load_base(tmp_path, str(tiny.make_model(tmp_path / "base")), device="cpu", dtype="float32")
    asked = [Asked((Message("user", question),), max_tokens=9) for question, _ in tiny.pairs(10)]
    found = bench_evaluate.measure(Engine(base, tmp_path / "runs"), asked, 4)
    assert found.same == found.rows == 10 and found.batched.tokens == found.alone.tokens
    assert found.lines()[-1] == "same answers: 10 of 10"


@needs_data
def test_the_questions_of_the_bench_are_long_and_short() -> None:
    lengths = [len(one.messages[0].content) for one in bench_evaluate.questions(8, 5)]
    assert len(lengths) == 8 and max(lengths) > 3 * min(lengths)
    assert len(set(bench_compare.texts(64))) == 64
