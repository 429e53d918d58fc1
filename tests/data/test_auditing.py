"""The audit log as a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from storage.database import Database
from studio.data.auditing import export_audit, record
from studio.errors import BadFile, BadInput


def test_csv_has_all_of_it_and_no_formula(db: Database, tmp_path: Path) -> None:
    record(db, "=cmd|' /C calc'!A0", "import", subject="@SUM(1)", why='"quoted", and\nbroken')
    record(db, "bob", "import", subject="+1")
    assert export_audit(db, tmp_path / "log.csv") == 2
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        second, first = csv.DictReader(file)
    assert (first["user"], first["subject"], second["subject"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)", "'+1")
    assert json.loads(first["details"]) == {"why": '"quoted", and\nbroken'}


def test_jsonl_is_what_was_written_and_what_was_asked_for(db: Database, tmp_path: Path) -> None:
    record(db, "ann", "import", subject="=1+1", rows=3)
    record(db, "bob", "import")
    assert export_audit(db, tmp_path / "log.jsonl", user="ann") == 1
    (line,) = (json.loads(text) for text in (tmp_path / "log.jsonl").read_text("utf-8").splitlines())
    assert (line["subject"], line["details"], line["user"]) == ("=1+1", {"rows": 3}, "ann")
    assert line["at"].endswith("+00:00")


def test_an_empty_log_is_an_empty_file(db: Database, tmp_path: Path) -> None:
    assert export_audit(db, tmp_path / "log.csv") == 0 and export_audit(db, tmp_path / "log.jsonl") == 0


def test_a_file_that_cannot_be_is_told(db: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must be \.csv or \.jsonl"):
        export_audit(db, tmp_path / "log.xlsx")
    with pytest.raises(BadFile):
        export_audit(db, tmp_path / "none" / "log.csv")
