"""A clock that stands still, a server's folder that lines are written to, and finished runs with weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from storage.database import Database
from storage.records import Project, Run
from storage.runs import create_run, get_run, take_up_events
from studio.contract.traffic import TRAFFIC_FILE, Feedback, ServedRequest
from studio.deploy.traffic import TakenUp, take_up
from studio.settings import Workspace

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass
class Server:
    """A folder with the lines of a server; each request is a minute after the one before, the first an hour ago."""

    db: Database
    folder: Path
    count: int = 0
    lines: list[str] = field(default_factory=list)

    def ask(self, prompt: str = "Where is it?", answer: str = "There.", rating: int | None = None, **given: Any) -> str:
        """A request, and its id."""
        self.count += 1
        turns = given.pop("turns", None) or [{"role": "user", "content": prompt}]
        spoken = (*turns, {"role": "assistant", "content": answer}) if answer else tuple(turns)
        fields: dict[str, Any] = {
            **{"id": f"req-{self.count}", "at": NOW + timedelta(minutes=self.count - 60), "status": 200},
            **{"model": "Support@production", "answer_tokens": 10, "total_ms": 100.0, "finish": "stop"},
            "messages": spoken,
        }
        said = ServedRequest.model_validate(fields | given)
        self.write(said.model_dump_json() + "\n")
        if rating is not None:
            self.rate(said.id, rating, said.at)
        return said.id

    def rate(self, request_id: str, rating: int, at: datetime = NOW) -> None:
        """Feedback."""
        said = Feedback.model_validate({"request_id": request_id, "at": at, "rating": rating})
        self.write(said.model_dump_json() + "\n")

    def write(self, text: str) -> None:
        """Append to the file, a half line too."""
        with (self.folder / TRAFFIC_FILE).open("a", encoding="utf-8") as file:
            file.write(text)

    def taken(self) -> TakenUp:
        """Take up what is new."""
        return take_up(self.db, self.folder)


@pytest.fixture
def server(db: Database, workspace: Workspace, project: Project) -> Server:
    """A server of the project 'Support'."""
    folder = workspace.root / "serving" / "one"
    folder.mkdir(parents=True)
    return Server(db, folder)


def make_run(
    db: Database,
    workspace: Workspace,
    project: Project,
    snapshot_id: str = "snap",
    state: str = "done",
    weights: Sequence[str] = ("adapter",),
    base_model: str = "starter",
) -> Run:
    """A run as it stands in the database once it has ended, with weights that nobody loads."""
    run_id = f"run-{uuid4().hex[:8]}"
    spec = {"epochs": 2.0, "learning_rate": 0.001, "max_length": 256, "snapshot": "/x", "base_model": base_model}
    create_run(db, run_id, project.id, snapshot_id, base_model, json.dumps(spec), 10)
    take_up_events(db, run_id, [], 0, {"state": state, "adapter_hash": "a" * 64})
    for name in weights:
        (workspace.runs / run_id / name).mkdir(parents=True)
        (workspace.runs / run_id / name / "adapter_model.safetensors").write_bytes(b"")
    return get_run(db, run_id)
