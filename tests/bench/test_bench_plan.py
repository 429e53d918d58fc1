"""The short form of bench_plan: a prediction lies near the memory of a real process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench import bench_plan


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell a process's peak there")
def test_the_peak_of_a_tiny_run_is_foretold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = list(bench_plan.run_all(bench_plan.SHORT, tmp_path, tmp_path / "models"))
    assert [0.75 < one.ratio < 1.25 for one in found] == [True]
    assert "ratio" in capsys.readouterr().out


def test_the_models_of_the_bench_have_the_sizes_in_their_names() -> None:
    assert len({case.name for case in bench_plan.CASES}) == len(bench_plan.CASES)
    assert bench_plan.widths("gpt2", 512, 8, 100)["n_embd"] == 512
