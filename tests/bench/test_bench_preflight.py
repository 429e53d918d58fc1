"""The short form of bench_preflight: made-up rows, one seed. No time is asserted; what is found is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import bench_preflight
from tests.bench.bench_preflight import FLIPPED_FOUND, PRECISION, RECALL


def test_each_check_finds_what_was_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = bench_preflight.main(["--rows", "600", "--seeds", "1", "--data", str(tmp_path)])
    assert set(scores) == {*bench_preflight.COUNTS, "leaks", "flipped-labels"}
    found = {check: (one.recall, one.precision) for check, (one,) in scores.items()}
    flipped = found.pop("flipped-labels")
    assert {check: each for check, each in found.items() if each[0] < RECALL or each[1] < PRECISION} == {}
    assert flipped[0] >= FLIPPED_FOUND
    said = capsys.readouterr().out
    assert "below the aim" not in said and "| personal (texts) |" in said
