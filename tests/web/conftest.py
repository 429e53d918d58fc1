"""An open studio with the page built over it, asked without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from storage.projects import create_project
from storage.records import Project
from studio.data.importing import import_file
from studio.context import Studio, open_studio
from studio.settings import Workspace
from studio.web.server import build_app

URL = "http://127.0.0.1:7860"


@dataclass(frozen=True)
class House:
    """A served studio: its context, a client, a project with three examples to label."""

    studio: Studio
    client: TestClient
    project: Project

    def desk(self, **query: str) -> dict:
        """The desk as the page asks for it."""
        return self.client.get("/api/label/desk", params={"project": self.project.id, **query}).json()

    def act(self, action: str = "submit", response: str = "An answer.", **fields: object) -> dict:
        """Act on the example in hand."""
        card = self.desk()["card"]["id"]
        body = {"example": card, "action": action, "response": response, **fields}
        answer = self.client.post("/api/label/act", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Served on loopback, from the first request to the closing of the database."""
    studio = open_studio(Workspace(tmp_path / "workspace"))
    project = create_project(studio.db, "Support", "instruction", "You help.")
    file = tmp_path / "prompts.csv"
    file.write_text("prompt\nWhere is my order?\nHow do I return it?\n<script>alert(1)</script>\n", encoding="utf-8")
    import_file(studio.db, project.id, file)
    with TestClient(build_app(studio), base_url=URL) as client:
        yield House(studio, client, project)
