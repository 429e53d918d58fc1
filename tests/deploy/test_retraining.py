"""A retraining from its beginning to its end with stand-ins for the three processes; killed, cancelled, failing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from storage import rules as rows
from storage.annotations import annotate
from storage.database import Database, connect
from storage.deployments import in_production, list_deployments
from storage.projects import get_project, update_settings
from storage.records import Project, Run
from storage.rules import get_retraining
from storage.runs import create_run, list_runs, take_up_events
from storage.serving_records import Retraining
from studio.contract.evaluation import EvalReport
from studio.contract.preflight import Finding, read_report
from studio.data.snapshots import freeze, read_split
from studio.deploy import retraining
from studio.deploy.production import promote
from studio.deploy.retraining import advance, advance_all, cancel, settle
from studio.deploy.rules import retrain_now
from studio.errors import BadInput, Conflict
from studio.jobs import evaluating, preflighting, runs
from studio.jobs.job_folders import Standing
from studio.settings import Workspace
from tests.deploy import fake_evaluation
from tests.jobs.conftest import end_all, make_model_folder, make_snapshot, wait_until
from tests.labeling.samples import put_examples


def clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class Room:
    """A project with a run in production, of which more was labeled since."""

    db: Database
    workspace: Workspace
    project: Project
    champion: Run
    set: Callable[[str, str], None]

    def scores(self, champion: float, challenger: float) -> None:
        """How many of the held-out rows each gets right."""
        self.set("FAKE_SCORES", json.dumps({self.champion.id: champion, "*": challenger}))

    def begin(self) -> Retraining:
        return retrain_now(self.db, self.project.id, "ann", clock())

    def step(self, one: Retraining) -> Retraining:
        """One look, and what its thread does."""
        advance(self.db, self.workspace, one, clock())
        settle(self.db, one)
        self.weigh()
        return get_retraining(self.db, one.id)

    def until(self, one: Retraining, *steps: str) -> Retraining:
        """Look until it has come to one of these steps (or to an end)."""
        deadline = time.monotonic() + 120
        while (one := self.step(one)).step not in (*steps, *rows.ENDS):
            assert time.monotonic() < deadline, one
            time.sleep(0.02)
        return one

    def weigh(self) -> None:
        """The fake trainer leaves no weights: put some there."""
        for run in list_runs(self.db, self.project.id):
            folder = self.workspace.runs / run.id / "adapter"
            folder.mkdir(exist_ok=True)
            (folder / "adapter_model.safetensors").touch()

    def deciding(self) -> Retraining:
        """A retraining whose runs are evaluated, without the processes."""
        one = self.begin()
        run = finished(self.db, self.workspace, self.project, self.champion.snapshot_id, self.champion.base_model)
        return rows.set_step(self.db, one, "decide", clock(), run_id=run.id)

    def label(self, count: int) -> None:
        for example_id in put_examples(self.db, self.project.id, [f"More {n}?" for n in range(count)]):
            annotate(self.db, example_id, "ann", "submit", f"Yes {example_id}.")


def state_of(room: Room, run_id: str) -> str:
    runs.sync_runs(room.db, room.workspace)
    return runs.get_run(room.db, run_id).state


def finished(db: Database, workspace: Workspace, project: Project, snapshot_id: str, base: str) -> Run:
    """A run that is done, with weights that nobody loads."""
    spec = runs.make_spec(workspace, snapshot_id, base, {"epochs": 2}).model_dump_json()
    run_id = f"run-{uuid4().hex[:8]}"
    create_run(db, run_id, project.id, snapshot_id, base, spec, 10)
    take_up_events(db, run_id, [], 0, {"state": "done", "adapter_hash": "a" * 64})
    (workspace.runs / run_id / "adapter").mkdir(parents=True)
    (workspace.runs / run_id / "adapter" / "adapter_model.safetensors").touch()
    return runs.get_run(db, run_id)


@pytest.fixture
def room(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    monkeypatch.setattr(runs, "TRAINING_MODULE", "tests.jobs.fake_training")
    monkeypatch.setattr(preflighting, "PREFLIGHT_MODULE", "tests.jobs.fake_preflight")
    monkeypatch.setattr(evaluating, "EVALUATION_MODULE", "tests.deploy.fake_evaluation")
    for name, value in {"TRAINING": "quick", "PREFLIGHT": "clean", "EVALUATION": "quick"}.items():
        monkeypatch.setenv(f"FAKE_{name}", value)
    snapshot = make_snapshot(db, workspace, project, tmp_path, rows=100)
    base = str(make_model_folder(tmp_path / "model"))
    made = Room(db, workspace, project, finished(db, workspace, project, snapshot.id, base), monkeypatch.setenv)
    promote(db, workspace, project.id, made.champion.id, "ann")
    made.scores(0.2, 1.0)
    made.label(30)
    yield made
    for folder in (workspace.runs, workspace.preflights, workspace.evaluations):
        end_all(folder)


def test_a_better_challenger_is_promoted(room: Room) -> None:
    steps, one = ["snapshot"], room.begin()
    while one.ended_at is None:
        one = room.step(one)
        steps += [one.step] if one.step != steps[-1] else []
    assert steps == [*rows.STEPS, "promoted"], one.message
    assert in_production(room.db, room.project.id) == one.run_id != room.champion.id
    assert one.message.startswith("Promoted: better than run 1 in production")
    newest = list_deployments(room.db, room.project.id)[0]
    assert (newest.user, newest.why) == ("ann", one.message)
    assert evaluating.standing_of(room.workspace, room.champion.id).state == "none"
    run = runs.get_run(room.db, one.run_id)
    assert run.spec["epochs"] == 2 and run.base_model == room.champion.base_model


@pytest.fixture
def trained(room: Room, monkeypatch: pytest.MonkeyPatch) -> Retraining:
    """A retraining whose run is trained; evaluations are done at once, in this process."""
    monkeypatch.setattr(evaluating, "spawn", lambda folder, *given: fake_evaluation.main(folder))
    frozen = freeze(room.db, room.workspace, room.project.id, test=0.2).snapshot
    run = finished(room.db, room.workspace, room.project, frozen.id, room.champion.base_model)
    return rows.set_step(room.db, room.begin(), "evaluate", clock(), snapshot_id=frozen.id, run_id=run.id)


def own_report(room: Room, **asked: Any) -> EvalReport:
    """What stands after somebody evaluated the champion."""
    evaluating.start_evaluation(room.db, room.workspace, room.champion.id, **asked)
    report = evaluating.look_at(room.workspace, room.champion).report
    assert report is not None
    return report


def test_the_champions_own_evaluation_stays_as_it_was(room: Room, trained: Retraining) -> None:
    before = own_report(room)
    one = room.until(trained)
    assert one.step == "promoted" and before.snapshot != one.snapshot_id
    assert evaluating.look_at(room.workspace, room.champion).report == before
    beside = evaluating.look_at(room.workspace, room.champion, one.snapshot_id).report
    assert beside is not None and beside.snapshot == one.snapshot_id


def test_an_evaluation_of_the_champion_that_will_do_is_not_done_again(room: Room, trained: Retraining) -> None:
    own_report(room, snapshot=room.workspace.snapshots / trained.snapshot_id)
    one = room.until(trained)
    assert one.step == "promoted" and "better than run 1" in one.message
    assert evaluating.look_at(room.workspace, room.champion, one.snapshot_id).report is None


def test_another_evaluation_of_the_champion_before_the_decision_is_made_up_for(room: Room, trained: Retraining) -> None:
    own_report(room, snapshot=room.workspace.snapshots / trained.snapshot_id)
    one = room.until(trained, "decide")
    own_report(room)
    assert room.step(one).step == "evaluate-champion"
    assert room.until(one).step == "promoted"


def test_rows_that_are_nearly_trained_on_are_left_out_of_the_decision(
    room: Room, trained: Retraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = read_split(room.workspace, trained.snapshot_id, "test", limit=500)
    known = frozenset(row.example_id for row in test[1:])
    monkeypatch.setattr(retraining, "nearly_trained", lambda *given: known)
    one = room.until(trained)
    assert one.step == "kept" and f"of 1 held-out answers by accuracy). {len(known)} held-out answers" in one.message


@pytest.mark.parametrize(("champion", "step"), [("run 1", "train"), ("", "kept")])
def test_near_repeats_stop_it_only_where_there_is_no_other_run(
    room: Room, monkeypatch: pytest.MonkeyPatch, champion: str, step: str
) -> None:
    one = rows.set_step(room.db, room.begin(), "preflight", clock(), snapshot_id="snap")
    finding = Finding(check="leaks", severity="error", text="2 rows are held out too.", count=2)
    about, report = SimpleNamespace(base_model=one.base_model), SimpleNamespace(findings=(finding,))
    look = SimpleNamespace(state="done", about=about, report=report)
    monkeypatch.setattr(preflighting, "look_at", lambda *given: look)
    assert retraining._preflight(room.db, room.workspace, replace(one, champion_id=champion), clock()).step == step


def test_an_evaluation_that_somebody_began_just_now_is_waited_for(
    room: Room, trained: Retraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*given: object, **asked: object) -> Run:
        raise BadInput("it is being evaluated already")

    monkeypatch.setattr(evaluating, "start_evaluation", late)
    monkeypatch.setattr(evaluating, "standing_of", lambda *given: Standing("running"))
    assert room.step(trained).step == "evaluate"


def test_one_that_is_not_better_is_kept_out(room: Room) -> None:
    room.scores(0.8, 0.8)
    one = room.until(room.begin())
    assert one.step == "kept" and "as well as run 1" in one.message
    assert in_production(room.db, room.project.id) == room.champion.id
    again = room.until(room.begin())
    assert again.step == "kept" and "Nothing has been labeled that run 2" in again.message
    assert len(list_runs(room.db, room.project.id)) == 2


def test_a_failed_check_keeps_it_out(room: Room) -> None:
    settings = get_project(room.db, room.project.id).settings
    update_settings(room.db, room.project.id, replace(settings, suite='[{"prompt": "Hi", "must": "contain"}]'))
    room.set("FAKE_EVALUATION", "check")
    one = room.until(room.begin())
    assert one.step == "kept" and "a check of the regression suite failed (greets)" in one.message


def test_with_nothing_in_production_the_first_is_held_against_its_base(room: Room) -> None:
    with room.db.write() as cursor:
        cursor.execute("DELETE FROM deployments")
    one = room.until(room.begin())
    assert one.step == "promoted" and one.champion_id == "" and "nothing was in production" in one.message


def test_nothing_new_is_not_trained_again(room: Room) -> None:
    with room.db.write() as cursor:
        cursor.execute("UPDATE examples SET status = 'dropped' WHERE source = 'test'")
    one = room.until(room.begin())
    assert one.step == "kept" and "Nothing has been labeled" in one.message


def test_another_app_goes_on_from_every_step(room: Room) -> None:
    one, db = room.begin(), room.db
    path, backups = room.workspace.database, room.workspace.backups
    for step in rows.STEPS[1:]:
        one = room.until(one, step)
        assert one.step == step
        room.db.close()
        room.db = connect(path, backups)
    assert room.until(one).step == "promoted" and len(list_runs(room.db, room.project.id)) == 2
    assert room.db is not db
    room.db.close()


def test_a_run_that_was_started_but_not_noted_is_taken_up(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    one = room.until(room.begin(), "train")

    def killed(*given: object, **named: object) -> Retraining:
        raise Conflict("the app was killed here", None)

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "set_step", killed)
        room.step(one)
    assert get_retraining(room.db, one.id).run_id == "" and len(list_runs(room.db, room.project.id)) == 2
    assert room.until(one).step == "promoted" and len(list_runs(room.db, room.project.id)) == 2


def test_a_promotion_that_was_not_noted_is_not_made_twice(room: Room) -> None:
    one = room.deciding()
    promote(room.db, room.workspace, room.project.id, one.run_id, "ann")
    assert room.until(one).step == "promoted" and len(list_deployments(room.db, room.project.id)) == 2


def test_it_waits_while_something_else_trains(room: Room) -> None:
    one = room.until(room.begin(), "train")
    room.set("FAKE_TRAINING", "slow")
    other = runs.start_run(room.db, room.workspace, room.champion.snapshot_id, room.champion.base_model)
    room.step(one)
    waiting = room.step(one)
    assert waiting.step == "train" and waiting.message == "Run 3 is in the queue: Waits for Run 2 of Support on cpu."
    assert waiting.step_at == one.step_at
    room.set("FAKE_TRAINING", "quick")
    runs.stop_run(room.db, room.workspace, other.id)
    ended = room.until(one)
    assert ended.step == "promoted", ended.message


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FAKE_TRAINING", "crash", "Run 2 failed: The training process ended"),
        ("FAKE_PREFLIGHT", "crash", "no tokenizer in sight"),
        ("FAKE_EVALUATION", "crash", "the kettle exploded"),
    ],
)
def test_a_process_that_dies_ends_it_with_a_sentence(room: Room, name: str, value: str, told: str) -> None:
    room.set(name, value)
    one = room.until(room.begin())
    assert one.step == "failed" and told in one.message
    assert in_production(room.db, room.project.id) == room.champion.id


def test_secrets_in_the_data_stop_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Finding(check="secrets", severity="error", text="2 rows hold keys.", count=2)

    def with_secrets(folder: Path) -> object:
        return read_report(folder).model_copy(update={"findings": (found,)})

    monkeypatch.setattr(preflighting, "read_report", with_secrets)
    one = room.until(room.begin())
    assert one.step == "kept" and one.message.startswith("2 rows hold keys. Mend that") and not one.run_id


def test_cancel_ends_the_job_at_work(room: Room) -> None:
    room.set("FAKE_TRAINING", "slow")
    one = room.until(room.begin(), "train")
    wait_until(lambda: bool(room.step(one).run_id))
    ended = cancel(room.db, room.workspace, one, clock(), "bob")
    assert (ended.step, ended.message) == ("cancelled", "Cancelled by bob.")
    wait_until(lambda: state_of(room, ended.run_id) == "stopped")
    assert advance_all(room.db, room.workspace, clock()) == []
    with pytest.raises(Conflict):
        cancel(room.db, room.workspace, one, clock(), "bob")


def test_a_run_that_somebody_stopped_cancels_it(room: Room) -> None:
    room.set("FAKE_TRAINING", "slow")
    one = room.until(room.begin(), "train")
    wait_until(lambda: bool(room.step(one).run_id))
    runs.stop_run(room.db, room.workspace, get_retraining(room.db, one.id).run_id)
    assert room.until(one).message == "Run 2 was stopped."


def test_another_promotion_meanwhile_is_respected(room: Room) -> None:
    one = room.deciding()
    with room.db.write() as cursor:
        cursor.execute("UPDATE deployments SET run_id = 'run-by-hand'")
    assert room.until(one).message.startswith("Another run was put into production meanwhile")


def test_a_bug_in_a_step_ends_it_and_says_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retraining._STEPS, "preflight", lambda *given: 1 / 0)
    one = room.until(room.begin())
    assert one.step == "failed" and "broke off" in one.message


def test_a_look_never_waits(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    one = room.begin()
    began, gate = [], threading.Event()

    def slow(*given: object) -> Retraining:
        began.append(1)
        gate.wait(60)
        return one

    monkeypatch.setitem(retraining._STEPS, "snapshot", slow)
    for _ in range(5):
        assert advance(room.db, room.workspace, one, clock()).step == "snapshot"
    gate.set()
    settle(room.db, one)
    assert len(began) == 1
