"""Learning curves of the studio: nested parts, started, stopped and gone on with, over the fake trainer; their fit."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from studio.contract.curve import CurvePoint, CurveReport
from studio.errors import BadInput, NotFound
from studio.jobs import curve, runs
from studio.jobs.curve import make_parts, nested_order, resume_curve, start_curve, stop_curve
from studio.jobs.curves import LearningCurve, foretell, get_curve, list_curves
from studio.jobs.processes import PROCESS_FILE, is_alive
from studio.settings import Workspace
from tests import tiny
from tests.jobs.conftest import Room, end_all, wait_until


@pytest.fixture
def lab(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A room where curves are run by the fake trainer; whatever still lives afterwards is killed."""
    monkeypatch.setattr(curve, "SWEEPING_MODULE", "tests.sweeping.fake_sweep")
    yield room
    end_all(room.workspace.curves)


def started(room: Room, **settings: object) -> LearningCurve:
    """A curve that has just begun."""
    return start_curve(room.db, room.workspace, room.snapshot.id, str(room.model), {"epochs": 2, **settings})


def ended(room: Room, found: LearningCurve) -> LearningCurve:
    """The curve once its processes are gone."""
    wait_until(lambda: not is_alive(room.workspace.curves / found.id), 60)
    return get_curve(room.workspace, found.id)


def test_parts_are_nested_and_hold_the_same_rows_out(tmp_path: Path) -> None:
    snapshot = tiny.make_snapshot(tmp_path / "snapshot", tiny.pairs(40), tiny.pairs(4, 100), tiny.pairs(4, 200))
    parts = make_parts(snapshot, tmp_path / "parts", (0.25, 0.5, 0.75, 1.0), False, 0)
    rows = [set(pq.read_table(part.snapshot / "train.parquet")["example_id"].to_pylist()) for part in parts]
    assert [part.labels for part in parts] == [len(one) for one in rows] == [10, 20, 30, 40]
    assert rows[0] < rows[1] < rows[2] < rows[3] and parts[-1].snapshot == snapshot
    held = [pq.read_table(part.snapshot / "test.parquet") for part in parts]
    assert all(one.equals(held[0]) for one in held)


def test_every_label_is_in_the_smallest_part_and_spread_evenly() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    first = [labels[row] for row in nested_order(labels, 3)[:25]]
    assert set(first) == set("abcd") and 12 <= first.count("a") <= 17
    assert nested_order(labels, 3) != nested_order(labels, 4)


def test_a_curve_is_followed_to_its_end(lab: Room) -> None:
    found = started(lab)
    assert found.active and found.about.number == 1
    waiting = lab.start()
    assert waiting.message == "Waits for Learning curve 1 of Support on cpu."
    runs.stop_run(lab.db, lab.workspace, waiting.id)
    done = ended(lab, found)
    assert done.standing.state == "done" and [point.state for point in done.report.points] == ["done"] * 4
    assert [one.id for one in list_curves(lab.workspace, lab.snapshot.project_id)] == [found.id]
    weights = list((lab.workspace.curves / found.id).glob("trials/*/adapter"))
    assert weights == []
    with pytest.raises(BadInput, match="is done"):
        resume_curve(lab.db, lab.workspace, found.id)


def test_two_begun_at_once_get_two_numbers(lab: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(workspace: Workspace, project_id: str) -> list[LearningCurve]:
        found = list_curves(workspace, project_id)
        time.sleep(0.3)  # time for the other to look as well, were it let
        return found

    monkeypatch.setattr(curve, "list_curves", slowly)
    with ThreadPoolExecutor(2) as threads:
        begun = list(threads.map(lambda _: started(lab), range(2)))
    assert sorted(found.about.number for found in begun) == [1, 2]


def test_stopped_and_gone_on_with(lab: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "slow")
    found = started(lab)
    wait_until(lambda: get_curve(lab.workspace, found.id).report.done >= 1, 60)
    stop_curve(lab.workspace, found.id)
    stopped = ended(lab, found)
    assert stopped.standing.state == "stopped" and stopped.resumable and stopped.report.done < 4
    monkeypatch.setenv("FAKE_TRIAL", "")
    resume_curve(lab.db, lab.workspace, found.id)
    assert ended(lab, found).report.done == 4


def test_killed_and_gone_on_with(lab: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "slow")
    found = started(lab)
    wait_until(lambda: get_curve(lab.workspace, found.id).report.done >= 1, 60)
    os.killpg(json.loads((lab.workspace.curves / found.id / PROCESS_FILE).read_text())["pid"], signal.SIGKILL)
    assert ended(lab, found).standing.state == "failed"
    monkeypatch.setenv("FAKE_TRIAL", "")
    resume_curve(lab.db, lab.workspace, found.id)
    assert ended(lab, found).standing.state == "done"


def test_a_run_that_fails_is_told(lab: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "fail")
    failed = ended(lab, started(lab))
    assert failed.standing.state == "failed" and "The kettle exploded." in failed.standing.words


def test_what_is_refused(lab: Room) -> None:
    with pytest.raises(BadInput, match="different parts"):
        start_curve(lab.db, lab.workspace, lab.snapshot.id, str(lab.model), {}, fractions=(1.0,))
    with pytest.raises(BadInput, match="begin with the base model"):
        started(lab, start_from="/etc")
    with pytest.raises(NotFound):
        get_curve(lab.workspace, "../runs")
    assert list_curves(lab.workspace) == []


def test_points_of_a_power_law_foretell_the_next(tmp_path: Path) -> None:
    points = [CurvePoint(labels=n, state="done", loss=1.0 + 20 * n**-0.5) for n in (250, 500, 750, 1000)]
    told = foretell(tmp_path, CurveReport(points=tuple(points)))
    assert told.measure == "Held-out loss" and told.ahead is not None and told.more is not None
    assert told.ahead.labels == 2000 and told.ahead.low <= 1.0 + 20 * 2000**-0.5 <= told.ahead.high
    assert told.more.labels is not None and "more labels" in told.sentence
    scored = [point.model_copy(update={"metric": "accuracy", "score": 0.9 - point.labels**-0.5}) for point in points]
    by_score = foretell(tmp_path, CurveReport(points=tuple(scored)))
    assert by_score.measure == "Accuracy" and "+2 points" in by_score.sentence
    assert (
        foretell(tmp_path, CurveReport(points=tuple(points[:2]))).sentence == "1 more part until a curve can be fitted."
    )
