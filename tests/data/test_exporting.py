"""Exports: they come back as the same pairs, and no spreadsheet runs them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import create_project
from storage.records import Pair, Project
from studio.data.exporting import export_project, export_snapshot, safe_cell
from studio.data.importing import import_file
from studio.data.safecells import plain_cell, plain_values, safe_row
from studio.data.snapshots import freeze
from studio.errors import BadFile, BadInput, DiskFull, NotFound
from studio.settings import Workspace

ROWS: list[dict[str, object]] = [
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {"messages": [{"role": "user", "content": "=1+1\n\nC"}, {"role": "assistant", "content": "-5"}], "context": "C"},
    {
        "messages": [
            {"role": "system", "content": "own"},
            {"role": "user", "content": "é\r\n😀"},
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": " two "},
            {"role": "assistant", "content": "three"},
        ],
        "context": "Several\nlines",
    },
]


@pytest.fixture
def filled(db: Database, project: Project, tmp_path: Path) -> Project:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert import_file(db, project.id, path).labeled == 3
    return project


def content(pairs: list[Pair]) -> list[tuple[object, ...]]:
    return [(pair.prompt, pair.context, pair.response, pair.content_key) for pair in pairs]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_export_comes_back_as_the_same_pairs(db: Database, filled: Project, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    assert export_project(db, filled.id, path).rows == 3
    empty = create_project(db, "Empty", system_prompt=filled.system_prompt)
    assert import_file(db, empty.id, path).imported == 3
    assert content(list_pairs(db, empty.id)) == content(list_pairs(db, filled.id))


def test_jsonl_holds_what_the_model_sees(db: Database, filled: Project, tmp_path: Path) -> None:
    export_project(db, filled.id, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[0]["messages"][0] == {"role": "system", "content": "You help."}
    assert rows[1]["messages"][1]["content"] == "C\n\n=1+1\n\nC"
    assert rows[2]["messages"][0]["content"] == "own"


def test_csv_runs_nothing(db: Database, filled: Project, tmp_path: Path) -> None:
    export_project(db, filled.id, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert json.loads(rows[1].pop("messages"))[1] == {"role": "user", "content": "C\n\n=1+1\n\nC"}
    told = {"context": "C", "made_safe": "input|output"}
    assert rows[1] == {"input": "'=1+1\n\nC", "output": "'-5", **told}
    assert [safe_cell(text) for text in ("@x", "\tx", "+1", "x=", "")] == ["'@x", "'\tx", "'+1", "x=", ""]


def test_a_safe_cell_goes_back_to_its_text() -> None:
    texts = [
        f"{quotes}{first}1" for quotes in ("", "'", "''", "x'") for first in ("=", "+", "-", "@", "\t", "\r", "a", "")
    ]
    assert [plain_cell(safe_cell(text)) for text in texts] == texts
    assert len({safe_cell(text) for text in texts}) == len(texts)
    row = {"a": "'=1", "b": "'plain", "made_safe": "a"}
    assert plain_values(row) == row | {"a": "=1"}
    assert plain_values({"a": "'=1"}) == {"a": "'=1"}  # somebody else's file
    lines = safe_row(["a", "made_safe"], {"a": "=1\r\n2"})
    assert plain_values({"a": "'=1\n2", "made_safe": lines[1]})["a"] == "=1\r\n2"  # whatever a reader made of it
    assert plain_values({"a": "x", "made_safe": "{broken"})["a"] == "x"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_snapshot_is_exported_with_its_splits(
    db: Database, workspace: Workspace, filled: Project, tmp_path: Path, ending: str
) -> None:
    snapshot = freeze(db, workspace, filled.id).snapshot
    assert export_snapshot(workspace, snapshot.id, tmp_path / f"out.{ending}").rows == 3
    assert b"train" in (tmp_path / f"out.{ending}").read_bytes()


def test_what_cannot_be_written_is_said(db: Database, filled: Project, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\.jsonl, \.csv, \.parquet"):
        export_project(db, filled.id, tmp_path / "out.xlsx")
    with pytest.raises(BadFile, match="cannot be written"):
        export_project(db, filled.id, tmp_path / "none" / "out.csv")
    with pytest.raises(BadInput, match="no accepted pairs"):
        export_project(db, create_project(db, "Empty").id, tmp_path / "out.csv")
    with pytest.raises(NotFound):
        export_snapshot(workspace, "0" * 16, tmp_path / "out.csv")


def test_a_full_disk_leaves_the_old_export(db: Database, project: Project, small_disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_text("".join(json.dumps({"input": f"{n}", "output": "x" * 1000}) + "\n" for n in range(6000)))
    import_file(db, project.id, path)
    target = small_disk / "out.jsonl"
    target.write_text("old")
    with pytest.raises(DiskFull):
        export_project(db, project.id, target)
    assert [file.name for file in small_disk.iterdir()] == ["out.jsonl"]
    assert target.read_text() == "old"
