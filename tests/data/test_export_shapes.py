"""What a shape has no place for is left out and counted, or written and told; exports read one moment, in pieces."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storage.annotations import annotate
from storage.audit import search_audit
from storage.database import Database
from storage.examples import iter_pairs, list_pairs
from storage.projects import create_project
from storage.records import Project, User
from studio.data.exporting import Wanted, export_project, open_export, wanted_by
from studio.data.importing import import_file
from studio.data.outgoing import project_source
from studio.data.transfers import Goods, check_export, file_name, open_download
from studio.errors import BadInput, WorkspaceBroken
from studio.settings import Workspace
from tests.data.test_export_identity import choices, flagged, labeled, say, talks, tooled

ANN = User("ann", "admin")


def fill(db: Database, folder: Path, task: str, rows: list[dict[str, Any]]) -> Project:
    project = create_project(db, f"P {task}", task, "You help.")
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert import_file(db, project.id, path).labeled == len(rows)
    return project


def test_alpaca_leaves_conversations_out_and_counts_them(db: Database, tmp_path: Path) -> None:
    single = [{"messages": [say("user", f"q{n}"), say("assistant", "a")], "context": ""} for n in range(5)]
    project = fill(db, tmp_path, "chat", [*single, *talks()[:4], *tooled(False)])
    report = export_project(db, project.id, tmp_path / "out.jsonl", "alpaca")
    several, tools = "a conversation of several turns is no instruction with one output", "tools and calls of them"
    assert report.rows == 5 and report.left_out[several] == 4
    assert sum(count for reason, count in report.left_out.items() if reason.startswith(tools)) == 2
    assert report.lines[0] == f"4 rows left out: {several}."


def test_flags_have_no_place_in_sharegpt(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "chat", [*flagged()[:4], *talks()[10:12]])
    report = export_project(db, project.id, tmp_path / "out.jsonl", "sharegpt")
    assert report.rows == 2 and report.left_out == {"which turns are trained on has no place in this shape": 4}


def test_openai_says_what_it_does_not_keep(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "multi-label", labeled("labels", [["a, b", "c"]]))
    report = export_project(db, project.id, tmp_path / "out.jsonl", "openai")
    assert report.left_out == {} and report.rows == 28
    assert sorted(report.notes.values()) == [1, 28]
    assert "1 row: the context stands in the user's message alone" in "\n".join(report.lines)


def test_odd_tool_calls_have_no_columns(db: Database, tmp_path: Path) -> None:
    odd = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"deep": [1, {"x": None}]}}}
    rows = [*tooled(), {"messages": [say("user", "odd"), say("assistant", "", tool_calls=[odd])], "tools": []}]
    project = fill(db, tmp_path, "chat", rows)
    report = export_project(db, project.id, tmp_path / "out.parquet")
    assert report.rows == 2 and list(report.left_out.values()) == [1]
    assert export_project(db, project.id, tmp_path / "out.jsonl").rows == 3
    openai = export_project(db, project.id, tmp_path / "api.jsonl", "openai")
    assert openai.rows == 3 and list(openai.notes.values()) == [1]


@pytest.mark.parametrize(
    ("task", "shape", "words"),
    [("instruction", "preference", "one answer"), ("preference", "alpaca", "two"), ("preference", "sharegpt", "two")],
)
def test_a_shape_that_can_hold_nothing_is_refused(
    db: Database, tmp_path: Path, task: str, shape: str, words: str
) -> None:
    rows = choices()[:3] if task == "preference" else [{"input": "q", "output": "a"}]
    project = fill(db, tmp_path, task, rows)
    with pytest.raises(BadInput, match=words):
        export_project(db, project.id, tmp_path / "out.jsonl", shape)
    assert not (tmp_path / "out.jsonl").exists()


def test_no_file_is_made_of_rows_that_all_have_no_place(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "chat", talks()[:3])
    for name in ("out.jsonl", "out.csv", "out.parquet", "folder", "out.zip"):
        with pytest.raises(BadInput, match="None of these rows"):
            export_project(db, project.id, tmp_path / name, "alpaca")
        assert not (tmp_path / name).exists()


def test_what_is_meant_by_a_shape_and_a_path() -> None:
    assert wanted_by("parquet", Path("a.parquet")) == wanted_by("messages", Path("a.PARQUET"))
    assert wanted_by("datasets", Path("folder")).kind == wanted_by("messages", Path("folder")).kind == "folder"
    assert wanted_by("datasets", Path("a.zip")).kind == ".zip"
    for shape, name in (("csv", "a.jsonl"), ("nonsense", "a.jsonl"), ("messages", "a.xlsx")):
        with pytest.raises(BadInput):
            wanted_by(shape, Path(name))


def test_a_check_says_what_an_export_says(db: Database, workspace: Workspace, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "preference", choices())
    checked = check_export(db, workspace, Goods(project.id), Wanted("preference", ".jsonl"))
    assert checked == export_project(db, project.id, tmp_path / "out.jsonl", "preference")
    assert checked.left_out == {"a tie prefers neither answer": 9}
    assert search_audit(db, action="data export") == []


@pytest.fixture
def many(db: Database, tmp_path: Path) -> Project:
    return fill(db, tmp_path, "instruction", [{"input": f"q{n}", "output": f"a{n} {'x' * 300}"} for n in range(3000)])


def test_a_download_is_of_one_moment(db: Database, workspace: Workspace, many: Project) -> None:
    before = [pair.response for pair in list_pairs(db, many.id)]
    first = open_download(db, workspace, ANN, Goods(many.id), Wanted("messages", ".jsonl"))
    begun = next(first.pieces)
    for pair in list_pairs(db, many.id)[::30]:
        annotate(db, pair.example_id, "ann", "submit", "changed meanwhile")
    second = open_download(db, workspace, ANN, Goods(many.id), Wanted("alpaca", ".jsonl"))
    rest, other = b"".join(first.pieces), b"".join(second.pieces)
    first.close()
    second.close()
    rows = [json.loads(line) for line in (begun + rest).splitlines()]
    assert [row["messages"][-1]["content"] for row in rows] == before and len(begun) < len(rest)
    assert sum(json.loads(line)["output"] == "changed meanwhile" for line in other.splitlines()) == 100
    assert [line.details["rows"] for line in search_audit(db, action="data export")] == [3000, 3000]


def test_two_threads_and_a_writer_do_not_disturb_each_other(
    db: Database, workspace: Workspace, many: Project, tmp_path: Path
) -> None:
    sizes: list[int] = []

    def write(name: str) -> None:
        sizes.append(export_project(db, many.id, tmp_path / name).rows)

    work = [threading.Thread(target=write, args=[name]) for name in ("a.jsonl", "b.parquet")]
    for thread in work:
        thread.start()
    for pair in list_pairs(db, many.id)[:50]:
        annotate(db, pair.example_id, "ann", "submit", "changed")
    for thread in work:
        thread.join()
    assert sizes == [3000, 3000]


def test_nothing_is_held_open_behind_a_download(db: Database, workspace: Workspace, many: Project) -> None:
    download = open_download(db, workspace, ANN, Goods(many.id), Wanted("messages", ".csv"))
    next(download.pieces)
    download.close()
    assert list(download.pieces) == []
    with pytest.raises(BadInput, match="no shape"):
        open_download(db, workspace, ANN, Goods(many.id), Wanted("x", ".csv"))


def test_a_database_that_is_closed_breaks_an_export(db: Database, many: Project) -> None:
    pairs = iter_pairs(db, many.id)
    next(pairs)
    db.close()
    with pytest.raises(WorkspaceBroken, match="broke off"):
        list(pairs)


def test_parquet_is_written_in_groups(
    db: Database, many: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.data.export_files._GROUP_ROWS", 1000)
    with project_source(db, many.id) as source:
        pieces = list(open_export(source, Wanted("messages", ".parquet")).chunks())
    assert len(pieces) >= 3
    (tmp_path / "out.parquet").write_bytes(b"".join(pieces))
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3


def test_file_names_are_plain() -> None:
    wanted = Wanted("alpaca", ".jsonl")
    assert file_name('Ärger "/../\r\nx', wanted) == "Arger-x-alpaca.jsonl"
    assert file_name("日本", wanted) == "export-alpaca.jsonl"
