"""Preflights through a real process: rows written, progress, cancel, failure, found again, data that changed since."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.annotations import annotate
from storage.database import Database
from storage.projects import create_project
from storage.records import Project
from studio.contract.preflight import ROWS_FILE
from studio.data.preflight_rows import write_rows
from studio.data.snapshots import freeze
from studio.errors import BadInput, BadSpec, Cancelled, JobFailed
from studio.jobs import preflighting
from studio.jobs.preflighting import (
    Look,
    Target,
    cancel_preflight,
    folder_of,
    follow_preflight,
    look_at,
    start_preflight,
    wait_for_rows,
)
from studio.jobs.processes import ask_to_stop, is_alive
from studio.jobs.reports import read_named, rows_of_finding
from studio.settings import Workspace
from tests.jobs.conftest import wait_until
from tests.labeling.samples import put_examples


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> Iterator[None]:
    monkeypatch.setattr(preflighting, "PREFLIGHT_MODULE", "tests.jobs.fake_preflight")
    yield
    for folder in workspace.preflights.glob("*"):
        ask_to_stop(folder, hard=True)


@pytest.fixture
def ids(db: Database, project: Project) -> list[str]:
    made = put_examples(db, project.id, ["Mail bob@x.org", "Same", "Same", "He said"])
    for example_id, answer in zip(made, ("ok@y.org it is", "first answer", "second answer", "word"), strict=True):
        annotate(db, example_id, "ana", "submit", answer)
    return made


def start(db: Database, workspace: Workspace, target: Target, **asked: object) -> None:
    rows = partial(write_rows, db, workspace, target.project_id, target.snapshot_id)
    start_preflight(db, workspace, target, asked, rows)


def run(db: Database, workspace: Workspace, target: Target) -> Look:
    start(db, workspace, target)
    wait_for_rows(workspace, target)
    follow_preflight(workspace, target)
    return look_at(db, workspace, target)


def test_a_project_is_checked_and_its_report_is_there_until_the_next(
    db: Database, workspace: Workspace, project: Project, ids: list[str]
) -> None:
    target = Target(project.id)
    assert look_at(db, workspace, target).state == "none"
    look = run(db, workspace, target)
    assert look.report and [one.check for one in look.report.findings] == [
        "personal-data",
        "conflicts",
        "short-answers",
    ]
    assert read_named(look.folder) == {0: ids[:1], 1: ids[1:3], 2: ids[3:]}
    assert {row.cluster for row in rows_of_finding(look.folder, 1)} == {0}
    assert not look.changed and not (look.folder / ROWS_FILE).exists()
    annotate(db, ids[0], "ana", "submit", "changed")
    assert look_at(db, workspace, target).changed


def test_rows_have_what_the_contract_says(db: Database, workspace: Workspace, project: Project, ids: list[str]) -> None:
    path = workspace.root / ROWS_FILE
    assert write_rows(db, workspace, project.id, "", path, lambda done, total: True) == 4
    first = pq.read_table(path).to_pylist()[0]
    assert [(turn["role"], turn["train"]) for turn in first["messages"]] == [
        ("system", False), ("user", False), ("assistant", True),
    ]  # fmt: skip
    assert (first["example_id"], first["split"], first["label"], first["annotator"]) == (ids[0], "", "", "ana")
    assert first["fields"] == [
        {"name": "turn:0", "text": "Mail bob@x.org"},
        {"name": "answer", "text": "ok@y.org it is"},
    ]


def test_a_snapshot_has_a_preflight_of_its_own_with_its_splits(
    db: Database, workspace: Workspace, project: Project, ids: list[str]
) -> None:
    frozen = freeze(db, workspace, project.id, 0.25, 0.25, 0).snapshot
    target = Target(project.id, frozen.id)
    look = run(db, workspace, target)
    assert look.report and sum(look.report.splits.values()) == 4 and set(look.report.splits) > {"train"}
    assert look_at(db, workspace, Target(project.id)).state == "none"
    assert look_at(db, workspace, Target(create_project(db, "Other").id, frozen.id)).state == "none"


def test_a_second_check_waits_for_the_first_and_a_cancelled_one_says_so(
    db: Database, workspace: Workspace, project: Project, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PREFLIGHT", "slow")
    target = Target(project.id)
    start(db, workspace, target)
    wait_until(lambda: look_at(db, workspace, target).words == "Looking for duplicates")
    assert 0.1 < look_at(db, workspace, target).fraction < 0.5
    with pytest.raises(BadInput, match="already"):
        start(db, workspace, target)
    cancel_preflight(workspace, target)
    assert look_at(db, workspace, target).state == "stopped"


def test_a_deaf_process_is_ended_by_force(
    db: Database, workspace: Workspace, project: Project, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PREFLIGHT", "deaf")
    monkeypatch.setattr(preflighting, "_STOP_SECONDS", 0.3)
    target = Target(project.id)
    start(db, workspace, target)
    wait_until(lambda: look_at(db, workspace, target).words == "Looking for duplicates")
    cancel_preflight(workspace, target)
    wait_until(lambda: not is_alive(folder_of(workspace, target)))
    with pytest.raises(Cancelled):
        follow_preflight(workspace, target)


def test_a_process_that_dies_is_told_with_its_last_words(
    db: Database, workspace: Workspace, project: Project, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PREFLIGHT", "crash")
    with pytest.raises(JobFailed, match="no tokenizer in sight"):
        run(db, workspace, Target(project.id))
    monkeypatch.setenv("FAKE_PREFLIGHT", "quick")
    assert run(db, workspace, Target(project.id)).state == "done"


def test_an_empty_project_and_a_bad_setting_are_said(db: Database, workspace: Workspace, project: Project) -> None:
    with pytest.raises(JobFailed, match="no accepted pairs"):
        run(db, workspace, Target(project.id))
    with pytest.raises(BadSpec, match="max length"):
        start(db, workspace, Target(project.id), max_length=1)


def test_an_app_that_died_while_writing_leaves_a_failed_check(
    db: Database, workspace: Workspace, project: Project, ids: list[str]
) -> None:
    target = Target(project.id)
    run(db, workspace, target)
    folder: Path = folder_of(workspace, target)
    for name in ("events.jsonl", "report.json"):
        (folder / name).unlink()
    look = look_at(db, workspace, target)
    assert (look.state, look.words) == ("failed", "The check broke off: start it again.")
