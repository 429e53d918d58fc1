"""The whole circle, through real processes: labels, a run, requests, feedback, labels of what went badly, a better run.

About a minute of processor: each of the six processes has to load torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from storage.projects import get_project, update_settings
from storage.records import Project
from storage.rules import list_retrainings
from storage.served_prompts import SOURCE
from studio.context import Studio, open_studio
from studio.data.snapshots import freeze
from studio.deploy import caretaker
from studio.deploy.production import in_production, list_deployments, promote, rollback
from studio.deploy.rules import Rules, set_rules
from studio.jobs import evaluating
from studio.jobs.serving import serving_standing, start_serving, stop_serving, wait_until_serving
from studio.jobs.serving_keys import add_key
from studio.settings import Workspace
from tests.deploy import circle
from tests.deploy.circle import LEARNT, NEW, questions, right_answer, until
from tests.jobs.conftest import end_all

KNOWN = [question for topic in LEARNT for question in questions(topic, 35)]
ASKED = [{"role": "system", "content": "You help."}, {"role": "user", "content": KNOWN[0]}]
PINNED = json.dumps([{"name": "orders", "messages": ASKED, "checks": {"contains": "Monday"}}])


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """The app without its page; rules are looked at every second instead of every minute."""
    monkeypatch.setattr(caretaker, "RARE", timedelta(seconds=1))
    (tmp_path / "workspace").mkdir()
    made = open_studio(Workspace(tmp_path / "workspace"))
    made.watcher.start()
    made.caretaker.start()
    yield made
    for folder in (made.workspace.root / "serving").glob("*/"):
        stop_serving(folder)
    made.close()
    for folder in (made.workspace.runs, made.workspace.preflights, made.workspace.evaluations):
        end_all(folder)


@pytest.fixture
def project(studio: Studio, tmp_path: Path) -> Project:
    """Questions about four topics, and a check that no model may fail."""
    from storage.projects import create_project

    made = create_project(studio.db, "Support", "instruction", "You help.")
    update_settings(studio.db, made.id, replace(made.settings, suite=PINNED))
    circle.import_questions(studio, made, KNOWN, tmp_path / "questions.jsonl")
    return get_project(studio.db, made.id)


@pytest.mark.timeout(1200)
def test_the_whole_circle(studio: Studio, project: Project, tmp_path: Path) -> None:
    db, workspace = studio.db, studio.workspace
    # Label, freeze, train, put into production, serve.
    assert circle.label_all(studio, project, "ben", set()) == 140
    snapshot = freeze(db, workspace, project.id, validation=0.1, test=0.3).snapshot
    first = circle.train(studio, snapshot.id, circle.make_base(tmp_path / "base"))
    promote(db, workspace, project.id, first.id, "ann")
    token, _ = add_key(workspace, "shop")
    folder = start_serving(db, workspace, [], [project.id], keep_texts=True)
    wait_until_serving(folder)
    pid, clients = circle.pid_of(folder), circle.clients_of(folder, project, token)

    # Two hundred requests; what it was never taught goes badly, and clients say so.
    up, down = clients.rate(clients.ask_all([*KNOWN, *questions(NEW, 60)]))
    assert up >= 120 and down >= 60
    until(lambda: db.query("SELECT count(*) FROM feedback") == [(200,)])
    sources: set[str] = set()
    taken = circle.take_to_label(studio, project, ["low-rated"])
    assert taken.taken == down and taken.left_out == 0
    set_rules(db, project.id, Rules(every_examples=len(taken.examples)), "ann")

    # A person answers them; from then on everything happens by itself, while requests keep coming.
    with clients.asking([*questions("order", 4), *questions(NEW, 4)]) as heard:
        assert circle.label_all(studio, project, "ben", sources) == len(taken.examples)
        assert sources == {SOURCE}
        (one,) = until(lambda: [one for one in list_retrainings(db, project.id) if one.ended_at])
        assert one.step == "promoted", one.message
        until(lambda: serving_standing(folder).names["Support@production"] == one.run_id)
        told = len(heard)
        until(lambda: len(heard) > told + 8)
    assert clients.failures == [] and any(answer != right_answer(question) for question, answer in heard)

    # What it could not answer it answers now: the same server, no restart, and what it knew it still knows.
    assert circle.pid_of(folder) == pid and in_production(db, project.id) == one.run_id != first.id
    fresh = [*questions(NEW, 8, start=60), *questions("order", 4, start=60)]
    assert [answer for _, _, answer in clients.ask_all(fresh)] == [right_answer(question) for question in fresh]
    assert "better than run 1 in production" in list_deployments(db, project.id)[0].why
    assert any("accepted examples" in reason for reason in one.reasons)

    # Its held-out rows hold all that was held out before, and the champion's own evaluation is as it was.
    own = evaluating.look_at(workspace, first).report
    assert own is not None and own.snapshot == snapshot.id
    before, after = (workspace.snapshots / key / "test.parquet" for key in (snapshot.id, one.snapshot_id))
    assert held_out(before) < held_out(after)

    rollback(db, workspace, project.id, "ann")
    until(lambda: serving_standing(folder).names["Support@production"] == first.id)
    (question,) = questions(NEW, 1)
    assert circle.pid_of(folder) == pid and clients.ask_all([question])[0][2] != right_answer(question)


def held_out(path: Path) -> set[str]:
    """The ids of a split."""
    import pyarrow.parquet as pq

    return set(pq.read_table(path, columns=["example_id"])["example_id"].to_pylist())
