"""`plan`: what a run would take, as JSON, and nothing started."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from storage.projects import create_project
from studio.commands import opened
from studio.commands.planning import plan, with_method
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.errors import BadInput, BadSpec
from studio.settings import Workspace


@pytest.fixture
def frozen(tmp_path: Path) -> tuple[Workspace, str]:
    """A workspace with a snapshot of forty pairs."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.root.mkdir()
    file = tmp_path / "rows.csv"
    file.write_text("prompt,response\n" + "".join(f"Question {n}?,Answer {n}.\n" for n in range(40)))
    with opened(workspace) as db:
        project = create_project(db, "Support")
        import_file(db, project.id, file)
        return workspace, freeze(db, workspace, project.id).snapshot.id


def asked(snapshot: str, model: str = "starter", method: str | None = None, *settings: str) -> Namespace:
    return Namespace(snapshot=snapshot, model=model, method=method, set=list(settings))


def test_a_plan_says_peak_minutes_and_micro_batch(frozen: tuple[Workspace, str]) -> None:
    workspace, snapshot = frozen
    said = plan(workspace, asked(snapshot, "starter", "dora", "epochs=2"))
    assert {"peak_bytes", "minutes", "micro_batch", "fits", "chosen"} <= set(said.data)
    assert said.data["method"] == "dora" and said.data["micro_batch"] == 8 and "learning_rate" in said.message
    assert not workspace.runs.exists()


def test_the_encoder_is_planned_whole(frozen: tuple[Workspace, str]) -> None:
    said = plan(frozen[0], asked(frozen[1], "starter-encoder"))
    assert (said.data["family"], said.data["method"]) == ("encoder", "full")


def test_what_does_not_go_together_is_one_sentence(frozen: tuple[Workspace, str]) -> None:
    with pytest.raises(BadInput, match="contradict"):
        with_method({"method": "lora"}, "full")
    assert with_method({"method": "full"}, "full") == with_method({}, "full") == {"method": "full"}
    with pytest.raises(BadSpec, match="QLoRA"):
        plan(frozen[0], asked(frozen[1], "starter", "qlora", "device=cpu"))
