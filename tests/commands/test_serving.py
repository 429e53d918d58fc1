"""`serve` in the foreground and the keys from a terminal."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from studio.commands import serving
from studio.contract.events import EventWriter
from studio.contract.serving import read_names
from studio.errors import JobFailed, NotFound
from studio.jobs.job_folders import Standing
from studio.jobs.serving import Server
from studio.settings import Workspace


def flags(**fields: object) -> Namespace:
    usual = {"runs": ["run-aa"], "project": None, "host": "127.0.0.1", "port": 0, "keep_texts": False, "by": "lead"}
    usual |= {"engine": "auto", "gpu_share": 0.5, "lend_after": 60.0}
    return Namespace(**{**usual, "name": "ci", "model": None, "days": None, "a_minute": None, **fields})


def test_keys_are_made_listed_and_revoked(workspace: Workspace) -> None:
    made = serving.key_add(workspace, flags(model=["run-1"], days=30.0))
    assert str(made.data["key"]).startswith("sft-") and made.data["models"] == "run-1" and made.data["works"]
    assert serving.key_revoke(workspace, flags(key="ci")).data["works"] is False
    (listed,) = serving.key_list(workspace).data["keys"]  # type: ignore[misc]
    assert listed["id"] == made.data["id"] and "hash" not in listed and "key" not in listed
    with pytest.raises(NotFound):
        serving.key_revoke(workspace, flags(key="ci"))


class House:
    """Stands for the server's process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stopped = 0

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In place of what starts, waits and stops."""
        monkeypatch.setattr(serving, "start_serving", lambda db, workspace, runs, projects, **asked: self.folder)
        monkeypatch.setattr(serving, "get_run", lambda db, run_id: Namespace(project_id="p"))
        monkeypatch.setattr(serving, "stop_serving", lambda folder: setattr(self, "stopped", self.stopped + 1))


def test_serve_ends_the_server_with_itself(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(tmp_path)
    house.put(monkeypatch)
    standing = Standing("running")
    ready = Server(tmp_path, "starter", standing, "http://127.0.0.1:9/v1", {"base": "", "run-1": "run-aa"})
    monkeypatch.setattr(serving, "wait_until_serving", lambda folder: ready)
    monkeypatch.setattr(serving, "serving_standing", lambda folder: ready)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.time, "sleep", interrupt)
    outcome = serving.serve(workspace, flags())
    assert house.stopped == 1 and outcome.data["served"] == {"base": "", "run-1": "run-aa"}
    assert "http://127.0.0.1:9/v1 serves base, run-1." in capsys.readouterr().err


def test_serve_says_why_the_server_did_not_come(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    house.put(monkeypatch)
    events = EventWriter(tmp_path)
    events.write("error", message="Port 9 cannot be used.", kind="BadSpec")
    events.write("done", state="failed")
    with pytest.raises(JobFailed, match="Port 9"):
        serving.serve(workspace, flags())
    assert house.stopped == 1 and read_names(tmp_path).names == {}
