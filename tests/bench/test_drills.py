"""The short forms of the drills: faults are tried, and all are survived. No time is asserted."""

from __future__ import annotations

import json

import pytest

from tests.bench import drill_jobs, drill_kill, drill_soak


def test_a_killed_app_loses_no_acknowledged_answer(capsys: pytest.CaptureFixture[str]) -> None:
    found = drill_kill.main(["--kills", "3", "--annotators", "8"])
    assert (found.tried, found.survived, found.run_done) == (3, 3, True) and found.acknowledged > 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["lost"] == 0


def test_a_killed_job_is_said_to_have_failed_and_goes_on() -> None:
    tallies = drill_jobs.main(["--kills", "1"])
    assert [one.wrong for one in tallies] == [[], [], []]
    assert sum(one.tried for one in tallies) >= 2  # one may have been done before its kill came


def test_a_short_soak_loses_nothing_and_fails_nothing() -> None:
    found = drill_soak.main(["--minutes", "0.15", "--annotators", "4", "--think", "0.3"])
    assert (found.lost, found.wrong, found.request_failures) == (0, 0, 0)
    assert found.submits > 0 and found.requests > 0 and found.runs > 0


def test_the_slope_is_that_of_the_line() -> None:
    assert drill_soak.slope([(0, 1e6), (3600, 3e6), (7200, 5e6)]) == pytest.approx(2.0)
    assert drill_soak.slope([(0, 5.0)]) == 0.0
