"""Closing the studio: at once, also while a model loads, and without a process left."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from studio.context import open_studio
from studio.errors import JobFailed, WorkspaceBroken
from studio.jobs import engine as client
from studio.settings import Workspace
from tests.jobs.conftest import wait_until


def test_closing_breaks_off_a_model_that_loads(
    workspace: Workspace, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ENGINE_MODULE", "tests.jobs.no_answer_engine")
    studio = open_studio(workspace)
    studio.watcher.start()
    told: list[str] = []

    def load() -> None:
        with pytest.raises(JobFailed) as failed:
            studio.engines.get(str(model))
        told.append(str(failed.value))

    loading = threading.Thread(target=load)
    loading.start()
    wait_until(lambda: any(workspace.engines.glob("*/process.json")))
    closing = threading.Thread(target=studio.close)
    closing.start()
    closing.join(timeout=20)
    loading.join(timeout=20)
    assert not closing.is_alive() and told == ["The studio is closing."]
    assert not [one for one in psutil.Process().children() if "no_answer" in " ".join(one.cmdline())]
    assert list(workspace.engines.iterdir()) == []
    with pytest.raises(JobFailed, match="closing"):
        studio.engines.get(str(model))


def test_the_database_is_let_go_before_the_engines_are_waited_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(workspace)
    seen: list[str] = []

    def close() -> None:
        with pytest.raises(WorkspaceBroken):
            studio.db.query("SELECT 1")
        seen.append("closed before")

    monkeypatch.setattr(studio.engines, "close", close)
    studio.watcher.start()
    studio.close()
    assert seen == ["closed before"]
