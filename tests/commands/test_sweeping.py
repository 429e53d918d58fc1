"""`sweep` on the command line, over the fake trainer: started, listed, shown, used, and what it refuses."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import connect
from storage.projects import create_project
from studio.cli import as_tables
from studio.commands.sweeping import sweep
from studio.errors import BadInput, NotFound
from studio.jobs import runs, sweeping
from studio.settings import Workspace
from tests.jobs.conftest import end_all, make_model_folder, make_snapshot


@pytest.fixture
def snapshot(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of a snapshot in a workspace whose database is closed again."""
    monkeypatch.setattr(sweeping, "SWEEPING_MODULE", "tests.sweeping.fake_sweep")
    monkeypatch.setattr(runs, "TRAINING_MODULE", "tests.jobs.fake_training")
    db = connect(workspace.database, workspace.backups)
    made = make_snapshot(db, workspace, create_project(db, "Support"), tmp_path)
    db.close()
    yield made.id
    end_all(workspace.sweeps)
    end_all(workspace.runs)


def flags(tmp_path: Path, *words: str, **other: object) -> Namespace:
    """What the parser gives."""
    model = str(make_model_folder(tmp_path / "model"))
    usual = {"model": model, "over": ["lora_rank=4,8"], "set": ["learning_rate=0.01"], "trials": 8, "minutes": 0.0}
    rest = {"seed": 0, "no_prune": False, "keep_all": False, "detach": False, "json": True}
    return Namespace(words=list(words), **{**usual, **rest, **other})


def test_from_start_to_the_run_of_the_best(
    workspace: Workspace, snapshot: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = sweep(workspace, flags(tmp_path, snapshot))
    assert (outcome.code, outcome.data["state"]) == (0, "done")
    assert outcome.data["best"] == {"trial": outcome.data["best"]["trial"], "loss": 0.125, "lora_rank": 8}  # type: ignore[index]
    told = capsys.readouterr().err
    assert "Trial 1 is done after 8 steps" in told
    name = str(outcome.data["sweep"])
    (row,) = sweep(workspace, flags(tmp_path, "list")).data["sweeps"]  # type: ignore[misc]
    assert (row["sweep"], row["trials"], row["best_loss"]) == (name, "2/2", 0.125)
    assert sweep(workspace, flags(tmp_path, "show", name)).data == outcome.data
    assert "lora_rank" in as_tables(outcome.data)
    used = sweep(workspace, flags(tmp_path, "use", name))
    assert str(used.data["run"]).startswith("run-")


def test_detached_stopped_resumed(
    workspace: Workspace, snapshot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "slow")
    name = str(sweep(workspace, flags(tmp_path, snapshot, detach=True)).data["sweep"])
    assert sweep(workspace, flags(tmp_path, "stop", name)).data["state"] == "stopped"
    monkeypatch.setenv("FAKE_TRIAL", "")
    assert sweep(workspace, flags(tmp_path, "resume", name)).data["state"] == "done"


@pytest.mark.parametrize("words", [[], ["stop"], ["list", "x"], ["burn", "sweep-1"], ["a", "b", "c"]])
def test_other_words_are_refused(workspace: Workspace, tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(BadInput, match="Write `sweep SNAPSHOT"):
        sweep(workspace, flags(tmp_path, *words))


def test_hostile_names_are_refused_with_a_sentence(workspace: Workspace, snapshot: str, tmp_path: Path) -> None:
    for name in ("../../etc", "sweep-../x", "sweep-nope"):
        with pytest.raises(NotFound):
            sweep(workspace, flags(tmp_path, "show", name))
    with pytest.raises(BadInput, match="cannot try"):
        sweep(workspace, flags(tmp_path, snapshot, over=["models=/etc,/root"]))
    with pytest.raises(BadInput, match="no setting 'snapshot'"):
        sweep(workspace, flags(tmp_path, snapshot, set=["snapshot=/etc"]))
