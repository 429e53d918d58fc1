"""Questions for an answer's sources: asked once, looked at while they are worked on, cancelled; over a fake process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.commands.why import result
from studio.contract.chat import Message
from studio.errors import BadInput, BadSpec, JobFailed, NotFound
from studio.jobs import why
from studio.jobs.why import cancel_why, explain, look_at_why, start_why
from studio.settings import Workspace
from tests.jobs.conftest import end_all, wait_until

ASKED = [Message("system", "Be brief."), Message("user", "Where is order 3?")]


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of a run that has an adapter; whatever still lives afterwards is killed."""
    monkeypatch.setattr(why, "WHY_MODULE", "tests.jobs.fake_why")
    adapter = workspace.runs / "run-1" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (workspace.runs / "run-1" / "spec.json").write_text("{}")
    yield "run-1"
    end_all(workspace.why)


def test_explained_and_the_same_question_is_not_asked_twice(workspace: Workspace, run: str) -> None:
    found = explain(workspace, run, ASKED, "There.", gradients=True)
    (pair,) = found.nearest
    assert (pair.row, pair.split, pair.example_id, pair.score) == (3, "train", "e3", 0.9)
    assert found.by_gradient == found.nearest and (found.rows, found.compared) == (40, 40)
    folder = workspace.why / start_why(workspace, run, ASKED, "There.", gradients=True)
    before = (folder / "events.jsonl").stat().st_mtime_ns
    assert explain(workspace, run, ASKED, "There.", gradients=True) == found
    assert (folder / "events.jsonl").stat().st_mtime_ns == before
    assert start_why(workspace, run, ASKED, "Here.", gradients=True) != folder.name


def test_other_weights_are_another_question(workspace: Workspace, run: str) -> None:
    first = start_why(workspace, run, ASKED, "There.")
    (workspace.runs / run / "adapter" / "adapter_model.safetensors").write_bytes(b"other weights")
    assert start_why(workspace, run, ASKED, "There.") != first


def test_the_nearest_are_there_while_gradients_are_worked_on(
    workspace: Workspace, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_WHY", "slow")
    question = start_why(workspace, run, ASKED, "There.", gradients=True)
    wait_until(lambda: look_at_why(workspace, question).standing.fraction > 0)
    look = look_at_why(workspace, question)
    assert look.standing.alive and look.found is not None and look.found.by_gradient is None
    assert (look.standing.fraction, look.standing.words) == (0.2, "Comparing gradients: 0 of 40")
    assert start_why(workspace, run, ASKED, "There.", gradients=True) == question
    cancel_why(workspace, question)
    assert look_at_why(workspace, question).standing.state == "stopped"


def test_a_failure_is_told_in_its_own_words(workspace: Workspace, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_WHY", "fail")
    with pytest.raises(JobFailed, match="The kettle exploded"):
        explain(workspace, run, ASKED, "There.")


def test_what_is_refused(workspace: Workspace, run: str) -> None:
    with pytest.raises(NotFound, match="no run"):
        start_why(workspace, "../../etc", ASKED)
    with pytest.raises(BadInput, match="prompt is empty"):
        start_why(workspace, run, [Message("user", "  ")])
    with pytest.raises(BadSpec, match="shown"):
        start_why(workspace, run, ASKED, shown=0)
    with pytest.raises(NotFound, match="not known"):
        look_at_why(workspace, "../runs")
    (workspace.runs / run / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match="no fine-tuned weights"):
        start_why(workspace, run, ASKED)


def test_the_command_line_says_it_as_json(workspace: Workspace, run: str) -> None:
    shown = result(explain(workspace, run, ASKED, "There."))
    assert shown["gradients"] is None and shown["answer"] == "There."
    assert shown["nearest"] == [
        {"row": 3, "split": "train", "example": "e3", "score": 0.9, "prompt": "Where?", "answer": "There."}
    ]
