"""An open studio with the page built over it, asked without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from storage.projects import create_project
from storage.records import Project
from studio.context import Studio, open_studio
from studio.data.importing import import_file
from studio.people.accounts import hash_token
from studio.settings import Workspace
from studio.web.guard import cookie_name
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


PASSWORD = "correct horse battery"
ROLES = {"ann": "admin", "rev": "reviewer", "bob": "annotator"}


@dataclass(frozen=True)
class Town:
    """A served studio with an admin ann, a reviewer rev and an annotator bob."""

    studio: Studio
    app: FastAPI
    client: TestClient
    project: Project
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, who: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        """A request in a session of that user, or in none; redirects are not followed."""
        self.client.cookies.clear()
        token = {} if who is None else {"cookie": f"{self.cookie}={self.token(who)}"}
        headers = {**token, **more.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, follow_redirects=False, **more)
        self.client.cookies.clear()
        return answer

    def token(self, who: str) -> str:
        """The token of a session of that user that goes on."""
        if self.studio.accounts.user_of(hash_token(self.tokens.get(who, ""))) is None:
            self.tokens[who] = self.studio.accounts.log_in(who, PASSWORD)
        return self.tokens[who]

    @property
    def cookie(self) -> str:
        """The session cookie's name."""
        return cookie_name(self.studio.accounts)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Served to several people; one for all tests of a file, which leave users and roles as they were."""
    workspace = Workspace(tmp_path_factory.mktemp("town") / "workspace")
    studio = open_studio(workspace)
    for name, role in ROLES.items():
        studio.accounts.add(name, role, PASSWORD, "me")
    studio.close()
    studio = open_studio(workspace)  # accounts are on from the start, not just now
    project = create_project(studio.db, "Support", "instruction")
    app = build_app(studio)
    with TestClient(app, base_url=URL) as client:
        yield Town(studio, app, client, project)
