"""`export`: a project or a snapshot in a shape, what was left out, and a Hub that cannot be reached."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from storage.database import connect
from storage.projects import create_project
from studio.commands import Outcome
from studio.commands.exporting import export
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.errors import BadInput, NotFound
from studio.settings import Workspace


@pytest.fixture
def snapshot(workspace: Workspace, tmp_path: Path) -> str:
    """The id of a snapshot of the project "Desk", of which two rows are conversations."""
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    rows: list[dict[str, Any]] = [{"messages": turns}, {"messages": [{"role": "user", "content": "x"}, *turns[1:]]}]
    rows += [{"messages": [{"role": "user", "content": f"q{n}"}, turns[1]]} for n in range(4)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Desk", "chat")
    assert import_file(db, project.id, path).labeled == 6
    made = freeze(db, workspace, project.id, 0.2, 0.2).snapshot.id
    db.close()
    return made


def run(workspace: Workspace, name: str, file: Path | str, shape: str = "messages") -> Outcome:
    return export(workspace, Namespace(name=name, file=file, shape=shape, public=False))


def test_a_project_in_a_shape_says_what_was_left_out(workspace: Workspace, snapshot: str, tmp_path: Path) -> None:
    done = run(workspace, "desk", tmp_path / "out.jsonl", "alpaca")
    assert done.data["exported"] == 4 and len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 4
    assert [left["rows"] for left in done.data["left_out"]] == [2] and "2 rows left out" in done.message
    assert run(workspace, "desk", tmp_path / "all.jsonl").data == {"exported": 6, "file": str(tmp_path / "all.jsonl")}


def test_a_snapshot_becomes_a_folder(workspace: Workspace, snapshot: str, tmp_path: Path) -> None:
    assert run(workspace, snapshot[:8], tmp_path / "folder", "datasets").data["exported"] == 6
    assert (tmp_path / "folder" / "test" / "state.json").is_file()
    with pytest.raises(BadInput, match="is there already"):
        run(workspace, snapshot, tmp_path / "folder", "datasets")


def test_what_cannot_be_is_said(workspace: Workspace, snapshot: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no snapshot of that id"):
        run(workspace, "nobody", tmp_path / "out.jsonl")
    with pytest.raises(BadInput, match="no shape"):
        run(workspace, "desk", tmp_path / "out.jsonl", "nonsense")
    with pytest.raises(BadInput, match="cannot be reached"):
        run(workspace, "desk", Path("hub:ann/desk"))
