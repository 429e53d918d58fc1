"""`queue`, `devices`, `costs` and `compute` on the command line, over the fake trainer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import connect
from storage.projects import create_project
from studio.cli import main
from studio.jobs import runs
from studio.settings import Workspace
from tests.jobs.conftest import end_all, make_model_folder, make_snapshot


@pytest.fixture
def snapshot(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of a snapshot in a workspace whose database is closed again."""
    monkeypatch.setattr(runs, "TRAINING_MODULE", "tests.jobs.fake_training")
    db = connect(workspace.database, workspace.backups)
    made = make_snapshot(db, workspace, create_project(db, "Support"), tmp_path)
    db.close()
    yield made.id
    end_all(workspace.runs)


def test_a_second_run_waits_is_moved_and_the_rest_is_worked_off(
    workspace: Workspace,
    snapshot: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def told(*words: str) -> dict:
        code = main(["--workspace", str(workspace.root), *words, "--json"])
        return {"code": code, **json.loads(capsys.readouterr().out)}

    train = ("train", snapshot, "--model", str(make_model_folder(tmp_path / "model")), "--detach")
    monkeypatch.setenv("FAKE_TRAINING", "slow")
    first, second = told(*train)["run"], told(*train)["run"]
    third = told(*train, "--priority", "3")["run"]
    monkeypatch.setenv("FAKE_TRAINING", "quick")
    rows = told("queue")["queue"]
    assert [(row["place"], row["job"]) for row in rows] == [(None, first), (1, third), (2, second)]
    assert rows[1]["reason"] == "waits for Run 1 of Support on cpu"
    assert [row["job"] for row in told("queue", "up", second)["queue"]] == [first, second, third]
    told("queue", "cancel", third)
    for wrong in ("inf", "nan", "2.7", "x"):
        assert (
            told("queue", "priority", second, wrong)["code"] == 2 and told("compute", "--slots", f"cpu={wrong}")["code"]
        )
    assert told("queue", "pause", "run-none")["code"] == 2 and told("queue", "up")["code"] == 2
    told("compute", "--price", "cpu=2", "--quota", "ann=5")
    told("stop", first)
    assert told("queue", "work") == {"code": 0, "queue": []}
    spent = told("costs", "Support")
    assert {one["job"] for one in spent["jobs"]} == {first, second} and spent["cost"] > 0
    assert {one["name"] for one in spent["jobs"]} == {"Run 1 of Support", "Run 2 of Support"}
    assert told("compute")["quotas"][0] == {"user": "ann", "used_hours": 0.0, "hours": 5.0}
    (cpu,) = [one for one in told("devices")["devices"] if one["kind"] == "cpu"]
    assert 0 < cpu["free_bytes"] <= cpu["memory_bytes"] and 0 <= cpu["utilisation"] <= 1
