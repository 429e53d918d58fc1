"""`suggest` on the command line: a source that does not fit is told before anything is loaded."""

from __future__ import annotations

import json

import pytest

from storage.database import connect
from storage.projects import create_project
from studio.cli import main
from studio.settings import Workspace
from tests.labeling.conftest import add_examples


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--source", "encoder"], "encoder"), (["--run", "nothing"], "run"), (["--source", "endpoint"], "endpoint")],
)
def test_a_source_that_cannot_be_used_is_bad_input(
    workspace: Workspace, options: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    db = connect(workspace.database, workspace.backups)
    add_examples(db, create_project(db, "Support", "instruction"), 2)
    db.close()
    code = main(["--workspace", str(workspace.root), "suggest", "Support", *options, "--json"])
    said = json.loads(capsys.readouterr().out)["error"]
    assert code == 2 and word in said.lower() and said.endswith(".")
