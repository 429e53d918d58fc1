"""The short form of bench_start: each kind of start once. No time is asserted."""

from __future__ import annotations

import pytest

from tests.bench import bench_start


def test_each_kind_starts_once_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    starts = bench_start.main(["--runs", "1", "--no-warm-up"])
    assert {kind: len(found) for kind, found in starts.items()} == {"bare": 1, "fresh": 1, "again": 1}
    assert not any(start.torch for found in starts.values() for start in found)
    assert all(start.memory_bytes < 400e6 for found in starts.values() for start in found)
    said = capsys.readouterr().out
    assert said.count("ratio") == 2 and "one textbox" in said
