"""The short form of the queue's drill: a handful of runs, the app killed twice."""

from __future__ import annotations

from pathlib import Path

from tests.bench.drill_queue import drill


def test_no_run_is_lost_or_doubled_by_killing_the_app(tmp_path: Path) -> None:
    found = drill(tmp_path, count=6, kills=2, patience=300)
    assert (found.done, found.kills) == (6, 2)
    assert (found.lost, found.doubled, found.told_wrong, found.overlaps) == (0, 0, 0, 0)
