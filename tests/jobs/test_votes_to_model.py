"""From votes to a model: people always prefer the shorter answer, a DPO run learns it, and its evaluation shows it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import mean

from storage.database import Database
from storage.projects import create_project
from storage.records import Project, Run, Side, User
from studio.contract.chat import Message
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.jobs.evaluating import follow_evaluation, list_rows, start_evaluation
from studio.jobs.runs import follow_run, get_run, start_run, sync_runs
from studio.labeling.comparing import preference_project, save_comparison, vote
from studio.labeling.review import accept_all
from studio.settings import Workspace
from tests import tiny

ANN, REV = User("ann", "annotator"), User("rev", "reviewer")
SHORT, LONG = "On Monday.", "The kettle left the old warehouse by ship and is on its way."


def trained(db: Database, workspace: Workspace, project: Project, base: str, **settings: object) -> Run:
    """A run on what the project has, seen to its end."""
    snapshot = freeze(db, workspace, project.id, test=0.2).snapshot
    run = start_run(db, workspace, snapshot.id, base, {"samples": 0, "evaluations": 0, **settings})
    follow_run(workspace, run.id, lambda event: None)
    sync_runs(db, workspace)
    run = get_run(db, run.id)
    assert run.state == "done", run.message
    return run


def base_that_says_both(db: Database, workspace: Workspace, project: Project, folder: Path) -> str:
    """A tiny model that has learnt to answer at either length."""
    rows = [{"prompt": f"Where is order {n}?", "response": (SHORT, LONG, LONG, LONG, LONG)[n % 5]} for n in range(90)]
    file = folder / "both.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_file(db, project.id, file)
    base = str(tiny.make_model(folder / "base"))
    run = trained(db, workspace, project, base, method="full", learning_rate=5e-3, epochs=15)
    return str(workspace.runs / run.id / "model")


def votes_for_the_shorter(db: Database, project: Project, count: int) -> Project:
    """Comparisons of a short and a long answer, each voted on and accepted; the project that the votes went to."""
    draw = random.Random(1)
    for number in range(count):
        texts = [SHORT, LONG]
        draw.shuffle(texts)
        sides = [Side(name, name, name, text) for name, text in zip(("run-a", "run-b"), texts, strict=True)]
        asked = (Message("user", f"Where is parcel {number}?"),)
        made = save_comparison(db, ANN, project.id, asked, sides, {})
        vote(db, ANN, made.id, 0, 1, "left" if texts[0] == SHORT else "right")
    found = preference_project(db, project.id)
    assert found is not None
    accept_all(db, REV, found.id, ANN.name, "", count)
    return found


def test_votes_for_shorter_answers_make_the_model_answer_shorter(
    db: Database, workspace: Workspace, tmp_path: Path
) -> None:
    project = create_project(db, "Asked", "instruction")
    base = base_that_says_both(db, workspace, project, tmp_path)
    liked = votes_for_the_shorter(db, project, 60)
    run = trained(db, workspace, liked, base, objective="dpo", epochs=4, learning_rate=2e-3)
    start_evaluation(db, workspace, run.id, ways=False, further=False, most_tokens=64)
    report = follow_evaluation(workspace, run)
    rows = list_rows(workspace, run.id).rows
    sizes = [(len(row.base), len(row.tuned)) for row in rows]
    assert report.rows == len(rows) == 12 and "loss" in report.metrics
    assert all(0 < tuned <= base for base, tuned in sizes)
    assert mean(tuned for _, tuned in sizes) < 0.85 * mean(base for base, _ in sizes)
