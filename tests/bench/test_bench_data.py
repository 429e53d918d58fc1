"""The short form of bench_data: each piece of work once on few rows. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import bench_data


def test_each_piece_of_work_is_measured_at_each_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_data, "_in_process", bench_data._measure)  # seven processes would take half a minute
    found = bench_data.main(["--rows", "200,400", "--kinds", "csv", "--folder", str(tmp_path)])
    parts = ["datasets csv", "import csv", *bench_data.PARTS[1:]]
    assert [(one.rows, one.part) for one in found] == [(rows, part) for rows in (200, 400) for part in parts]
    said = capsys.readouterr().out
    assert said.count("exponent") == len(parts) and "| import csv | 400 |" in said
