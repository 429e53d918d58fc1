"""`review` and `agreement` on the command line: JSON in, JSON out, and the keys that the issue names."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from storage.annotations import list_revisions
from storage.database import Database, connect
from storage.examples import get_example
from storage.records import Project
from studio.cli import main
from studio.commands.review import agreement_of
from studio.settings import Workspace
from tests.labeling.crew import add_examples, answer, project_of

Run = Callable[..., tuple[int, list[dict]]]


@pytest.fixture
def project(workspace: Workspace) -> Project:
    """A project that asks for a review, with one answer that waits for it; its database is closed."""
    db = connect(workspace.database, workspace.backups)
    made = project_of(db)
    answer(db, made, *add_examples(db, made, 1), "ann", "Hello.")
    db.close()
    return made


@pytest.fixture
def run(
    workspace: Workspace, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """One `review` with these words on stdin: the exit code, and the objects that were printed."""

    def call(words: object) -> tuple[int, list[dict]]:
        text = words if isinstance(words, str) else json.dumps(words)
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code = main(["--workspace", str(workspace.root), "review", project.name, "--by", "rita"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def test_one_example_is_shown_and_decided(run: Run, workspace: Workspace) -> None:
    code, (shown, result) = run({"decision": "edit", "response": "Hello there."})
    assert (code, shown["answers"][0]["response"]) == (0, "Hello.")
    assert result == {"example": shown["example"], "decision": "edit", "by": "rita"}
    db = connect(workspace.database, workspace.backups)
    assert get_example(db, shown["example"]).review == "accepted"
    assert [act.response for act in list_revisions(db, shown["example"])] == ["Hello.", "Hello there."]
    db.close()
    assert run("") == (0, [{"example": None}])


@pytest.mark.parametrize("words", ["no json", "[1]", '{"decision": 7}', '{"decision": "perhaps"}'])
def test_what_is_no_decision_decides_nothing(run: Run, words: str) -> None:
    code, printed = run(words)
    assert code == 2 and printed[-1]["error"].endswith(".")
    again = run("")[1]
    assert again[1] == {"example": printed[0]["example"], "decision": None}


def test_agreement_has_exactly_these_keys(db: Database) -> None:
    project = project_of(db, "classification", overlap=2, review=False)
    for number, example in enumerate(add_examples(db, project, 12)):
        if number == 9:
            assert agreement_of(db, project.name) == {"alpha": None, "low": None, "high": None, "examples": 9}
        for who in ("ann", "bob"):
            answer(db, project, example, who, ("refund", "login")[number % 2])
    assert agreement_of(db, project.name) == {"alpha": 1.0, "low": 1.0, "high": 1.0, "examples": 12}


def test_free_text_has_no_alpha_but_chrf(db: Database) -> None:
    project = project_of(db, overlap=2, review=False)
    for example in add_examples(db, project, 10):
        for who in ("ann", "bob"):
            answer(db, project, example, who, "The same.")
    found = agreement_of(db, project.name)
    assert found["alpha"] is None and found["examples"] == 10 and found["chrf"]["mean"] == 100.0
