"""Snapshots and exports by task: flags, both answers of a preference, labels; and old content keeps its id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import create_project
from storage.records import Project, Settings
from storage.snapshots import memberships
from studio.contract.chat import Message
from studio.data.exporting import export_project, export_snapshot
from studio.data.importing import import_file
from studio.data.snapshots import freeze, read_split, verify
from studio.errors import BadInput
from studio.settings import Workspace
from tests.data.test_task_imports import talk, write

ROWS: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {"messages": [{"role": "system", "content": "own"}, *talk(("a", None), ("b", 1), ("c", None), ("d", 1))]},
        {"messages": talk(("a", None), ("b", 1), ("c", None), ("d", 0)), "context": "Lines\nof it"},
        {"messages": talk(("one", None), ("two", None)), "context": "C"},
    ],
    "preference": [
        {"prompt": "p", "a": "x", "b": "y", "choice": "B", "margin": 3, "reason": "r"},
        {"prompt": "p", "a": "x", "b": "=1+1", "choice": "A"},
        {"prompt": "q", "a": "x", "b": "y", "choice": "tie"},
        {"prompt": talk(("a", None), ("b", None), ("c", None)), "a": "x", "b": "y", "choice": "A", "context": "C"},
    ],
    "multi-label": [{"text": "t", "labels": ["a, b", "c"]}, {"text": "u", "labels": ["a"]}],
    "classification": [{"text": "t", "label": "a, b"}, {"text": "u", "label": "1"}],
    "rating": [{"text": "t", "rating": 4}, {"text": "u", "rating": 1}],
}


def fill(db: Database, folder: Path, task: str) -> Project:
    project = create_project(db, task, task, "You help.", settings=Settings())
    report = import_file(db, project.id, write(folder, ROWS[task], f"{task}.jsonl"))
    assert report.labeled == len(ROWS[task])
    return project


def content(db: Database, project_id: str) -> list[tuple[object, ...]]:
    pairs = list_pairs(db, project_id)
    return [(p.prompt, p.context, p.payload, p.response, p.value, p.content_key) for p in pairs]


def split(workspace: Workspace, snapshot: str) -> list[tuple[list[tuple[str, str, bool]], str | None]]:
    rows = read_split(workspace, snapshot, "train")
    return [([(m.role, m.content, m.train) for m in row.messages], row.rejected) for row in rows]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("task", ROWS)
def test_an_export_comes_back_as_the_same_answers(db: Database, tmp_path: Path, task: str, ending: str) -> None:
    project = fill(db, tmp_path, task)
    path = tmp_path / f"out.{ending}"
    assert export_project(db, project.id, path).rows == len(ROWS[task])
    again = create_project(db, "Again", task, "You help.")
    report = import_file(db, again.id, path)
    assert (report.labeled, report.rejected) == (len(ROWS[task]), ())
    assert content(db, again.id) == content(db, project.id)


@pytest.mark.parametrize("task", ["preference", "multi-label"])
def test_csv_comes_back_too(db: Database, tmp_path: Path, task: str) -> None:
    project = fill(db, tmp_path, task)
    export_project(db, project.id, tmp_path / "out.csv")
    again = create_project(db, "Again", task, "You help.")
    report = import_file(db, again.id, tmp_path / "out.csv", None)
    assert report.labeled == len(ROWS[task])
    assert [p.response for p in list_pairs(db, again.id)] == [p.response for p in list_pairs(db, project.id)]


def test_a_conversation_is_frozen_with_its_flags_and_its_context(
    db: Database, workspace: Workspace, tmp_path: Path
) -> None:
    frozen = freeze(db, workspace, fill(db, tmp_path, "chat").id, 0, 0).snapshot
    rows = split(workspace, frozen.id)
    system, own = ("system", "You help.", False), ("system", "own", False)
    assert (
        [own, ("user", "a", False), ("assistant", "b", True), ("user", "c", False), ("assistant", "d", True)],
        None,
    ) in rows
    asked = [system, ("user", "Lines\nof it\n\na", False), ("assistant", "b", True), ("user", "c", False)]
    assert ([*asked, ("assistant", "d", False)], None) in rows
    assert ([system, ("user", "C\n\none", False), ("assistant", "two", True)], None) in rows
    verify(workspace, frozen.id)
    assert export_snapshot(workspace, frozen.id, tmp_path / "s.parquet").rows == 3


def test_a_preference_is_frozen_with_the_answer_that_was_not_preferred(
    db: Database, workspace: Workspace, tmp_path: Path
) -> None:
    project = fill(db, tmp_path, "preference")
    frozen = freeze(db, workspace, project.id, 0, 0)
    assert frozen.ties == 1
    manifest = json.loads((workspace.snapshots / frozen.snapshot.id / "manifest.json").read_text())
    assert (manifest["ties"], manifest["rows"]["train"]) == (1, 3)
    assert {(turns[-1][1], rejected) for turns, rejected in split(workspace, frozen.snapshot.id)} == {
        ("y", "x"),
        ("x", "=1+1"),
        ("x", "y"),
    }
    verify(workspace, frozen.snapshot.id)


def test_only_ties_are_nothing_to_freeze(db: Database, workspace: Workspace, tmp_path: Path) -> None:
    project = create_project(db, "P", "preference")
    import_file(db, project.id, write(tmp_path, [ROWS["preference"][2]]))
    with pytest.raises(BadInput, match="only 1 ties"):
        freeze(db, workspace, project.id)


def test_two_pairs_of_one_prompt_are_in_one_split(db: Database, workspace: Workspace, tmp_path: Path) -> None:
    project = create_project(db, "P", "preference")
    rows = [{"prompt": f"p{n // 4}", "a": "x", "b": f"y{n}", "choice": "A"} for n in range(80)]
    import_file(db, project.id, write(tmp_path, rows))
    frozen = freeze(db, workspace, project.id, 0.3, 0.3).snapshot
    prompts = [{r.prompt for r in read_split(workspace, frozen.id, s, 0, 99)} for s in ("train", "validation", "test")]
    assert sum(map(len, prompts)) == len(set.union(*prompts)) == 20


@pytest.mark.parametrize(("task", "answers"), [("multi-label", {"a, b, c", "a"}), ("rating", {"4", "1"})])
def test_the_target_is_text(db: Database, workspace: Workspace, tmp_path: Path, task: str, answers: set[str]) -> None:
    frozen = freeze(db, workspace, fill(db, tmp_path, task).id, 0, 0).snapshot
    assert {row.response for row in read_split(workspace, frozen.id, "train")} == answers


def test_content_of_before_there_were_flags_keeps_its_id(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [{"messages": talk(("a", None), ("b", None), ("c", None), ("d", None))}]
    for n in range(9):
        rows.append({"messages": talk((f"q{n}", None), (f"é{n}", None)), "context": "C" if n % 2 else ""})
    import_file(db, project.id, write(tmp_path, rows))
    frozen = freeze(db, workspace, project.id, 0.2, 0.2, seed=3).snapshot
    assert frozen.id == "757866f72c7a896d"  # what the version before gave


def test_files_of_before_there_were_flags_are_sound(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    import_file(
        db, project.id, write(tmp_path, [{"messages": talk(("a", None), ("b", None), ("c", None), ("d", None))}])
    )
    frozen = freeze(db, workspace, project.id, 0, 0).snapshot
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    for name in ("train", "validation", "test"):
        path = workspace.snapshots / frozen.id / f"{name}.parquet"
        rows = pq.read_table(path).drop_columns("rejected").to_pylist()
        schema = pa.schema([("messages", turns), *((n, pa.string()) for n in ("example_id", "annotation_id", "group"))])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    verify(workspace, frozen.id)
    row = read_split(workspace, frozen.id, "train")[0]
    assert row.messages[-1] == Message("assistant", "d", True) and row.messages[2].train is False


def test_examples_know_the_snapshots_they_are_in(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    rows = [{"input": "q", "output": "a"}, {"input": "q ", "output": "b"}, {"input": "open"}]
    import_file(db, project.id, write(tmp_path, rows))
    frozen = freeze(db, workspace, project.id, 0, 0).snapshot
    freeze(db, workspace, project.id, 0, 0)
    for pair in list_pairs(db, project.id):
        assert [(m.snapshot.id, m.split) for m in memberships(db, pair.example_id)] == [(frozen.id, "train")]
    assert db.query("SELECT count(*) FROM snapshot_examples") == [(2,)]
