"""The drill of the server in small: hostile requests against a real process, and the bench of its log."""

from __future__ import annotations

import pytest

from tests.bench import bench_serve, drill_serve


def test_a_hundred_hostile_requests_leave_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("schemathesis")
    found = drill_serve.main(["--requests", "120", "--at-once", "16"])
    assert (found.fives, found.in_stream, found.late, found.orphans, found.exit_code) == ([], [], 0, 0, 0)
    assert sum(sum(counts.values()) for counts in found.statuses.values()) == 120
    assert found.gauges["studio_active_rows"] == found.gauges["studio_waiting_rows"] == 0
    assert found.gauges["studio_open_requests"] == 1  # the look itself
    assert found.gauges["studio_traffic_lines_lost_total"] == found.doubled == 0
    assert found.lines >= found.answered > 20 and "Traceback" not in found.log
    assert "Ending after" in found.stop_words and "5xx: 0" in capsys.readouterr().out


def test_the_bench_asks_servers_with_and_without_a_log_by_turns(capsys: pytest.CaptureFixture[str]) -> None:
    bench_serve.main(["--short", "--log", "1", "--streams", "2", "--tokens", "4"])
    assert capsys.readouterr().out.count("x by processor") == 3
