"""The short form of bench_find: each search once on few rows. No time is asserted; what is found is tests/storage's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import bench_find


def test_each_search_runs_and_is_set_against_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = bench_find.main(["--rows", "2000", "--repeat", "1", "--workspace", str(tmp_path)])
    assert len(taken) == 27 and all(len(times) == 1 for times in taken.values())
    said = capsys.readouterr().out
    assert "ratio of the slowest" in said and "| everything |" in said
