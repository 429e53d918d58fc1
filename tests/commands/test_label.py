"""`label` on the command line: an example out, an answer in, and nothing held while somebody thinks."""

from __future__ import annotations

import io
import json

import pytest

from storage.annotations import list_revisions
from storage.database import connect
from storage.examples import count_examples
from storage.projects import create_project
from studio.cli import main
from studio.settings import Workspace
from tests.labeling.conftest import add_examples

Lines = list[dict]


@pytest.fixture
def project_id(workspace: Workspace) -> str:
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Support", "instruction")
    add_examples(db, project, 2)
    db.close()
    return project.id


def label(
    workspace: Workspace, answer: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, Lines]:
    """The exit code, and what was printed, a JSON object a line."""
    words = answer if isinstance(answer, str) else json.dumps(answer)
    monkeypatch.setattr("sys.stdin", io.StringIO(words))
    code = main(["--workspace", str(workspace.root), "label", "Support", "--by", "ann"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_example_is_shown_and_its_answer_kept(
    workspace: Workspace, project_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (shown, done) = label(workspace, {"response": "An answer."}, monkeypatch, capsys)
    assert (code, shown["example"], shown["turns"]) == (0, "e0", [{"role": "user", "content": "q0"}])
    assert done == {"example": "e0", "saved": "submit", "left": 1}
    db = connect(workspace.database, workspace.backups)
    (act,) = list_revisions(db, "e0")
    assert (act.annotator, act.response) == ("ann", "An answer.")
    assert db.one("SELECT count(*) FROM leases") == (0,)
    db.close()


def test_no_answer_gives_the_example_back(
    workspace: Workspace, project_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (shown, done) = label(workspace, "", monkeypatch, capsys)
    assert (code, done) == (0, {"example": shown["example"], "saved": None})
    db = connect(workspace.database, workspace.backups)
    assert count_examples(db, project_id).todo == 2 and db.one("SELECT count(*) FROM leases") == (0,)
    db.close()


@pytest.mark.parametrize("answer", ["no json", "[1]", {"reply": "x"}, {"response": 7}, {"response": " "}])
def test_what_is_no_answer_is_bad_input(
    workspace: Workspace,
    project_id: str,
    answer: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, printed = label(workspace, answer, monkeypatch, capsys)
    assert code == 2 and printed[-1]["error"].endswith(".")
