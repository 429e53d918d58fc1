"""`report`: the verdict's page from the command line, with texts and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.database import connect
from studio import cli
from studio.settings import Workspace
from tests.jobs.judged_run import evaluated


def test_a_verdict_is_saved_with_texts_and_without(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = connect(workspace.database, workspace.backups)
    run = evaluated(db, workspace, [("Where is it?", "There.", "Here.")])
    db.close()
    file, typed = tmp_path / "verdict.html", ["--workspace", str(workspace.root), "report", run.id]
    assert cli.main([*typed, str(file), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "file": str(file), "bytes": file.stat().st_size, "texts": True, "verdict": "Better."
    }  # fmt: skip
    assert "Where is it?" in file.read_text() and "holds texts" in said.err
    assert cli.main([*typed, str(file), "--without-texts"]) == 0
    assert "Where is it?" not in file.read_text() and "no texts" in capsys.readouterr().err
    assert cli.main([*typed, str(tmp_path / "verdict.txt")]) == 2
    assert cli.main(["--workspace", str(workspace.root), "report", "nobody", str(file)]) == 2
    assert "end in .html" in capsys.readouterr().err
