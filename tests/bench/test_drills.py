"""The short forms of the drills: faults are tried, and all are survived. No time is asserted."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from studio.contract.events import EventWriter
from studio.jobs.processes import claimed
from tests.bench import drill_jobs, drill_kill, drill_soak


def test_a_killed_app_loses_no_acknowledged_answer(capsys: pytest.CaptureFixture[str]) -> None:
    found = drill_kill.main(["--kills", "3", "--annotators", "8"])
    assert (found.tried, found.survived, found.run_done) == (3, 3, True) and found.acknowledged > 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["lost"] == 0


def test_a_killed_job_is_said_to_have_failed_and_goes_on() -> None:
    tallies = drill_jobs.main(["--kills", "1"])
    assert [one.wrong for one in tallies] == [[], [], []]
    assert [one.tried for one in tallies] == [1, 1, 1]


def test_a_job_killed_behind_its_last_word_is_not_counted(tmp_path: Path) -> None:
    EventWriter(tmp_path).write("done", state="done")
    with claimed(tmp_path) as lock:
        leaving = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    (tmp_path / "process.json").write_text(json.dumps({"pid": leaving.pid}))
    tally = drill_jobs.Tally("evaluator")
    assert not drill_jobs._kill(tmp_path, 0.0, lambda: "", tally)
    assert leaving.wait() == -signal.SIGKILL
    assert (tally.tried, tally.wrong) == (0, [])


def test_a_short_soak_loses_nothing_and_fails_nothing() -> None:
    found = drill_soak.main(["--minutes", "0.15", "--annotators", "4", "--think", "0.3"])
    assert (found.lost, found.wrong, found.request_failures) == (0, 0, 0)
    assert found.submits > 0 and found.requests > 0 and found.runs > 0


def test_the_slope_is_that_of_the_line() -> None:
    assert drill_soak.slope([(0, 1e6), (3600, 3e6), (7200, 5e6)]) == pytest.approx(2.0)
    assert drill_soak.slope([(0, 5.0)]) == 0.0
