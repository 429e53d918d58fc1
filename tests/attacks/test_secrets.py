"""Passwords, tokens and keys: none of them stands in a log, an event, the database, or a file that is not its own.

Each is planted through the door that people use, and then looked for in every byte of the workspace.
"""

from __future__ import annotations

import io
import logging
import re
import stat
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import httpx
import pytest

from storage.audit import search_audit
from storage.database import connect
from storage.projects import create_project
from storage.records import User
from studio.contract.chat import Message
from studio.data import hub_push
from studio.data.hub_push import Destination, push
from studio.data.transfers import Goods
from studio.errors import JobFailed, StudioError
from studio.jobs.endpoint import Endpoint, ask_endpoint, save_endpoint
from studio.jobs.serving_keys import add_key, keys_file
from studio.people.accounts import Accounts, hash_token
from studio.settings import Workspace
from tests.web.conftest import Town

PASSWORD = "planted-password-4711"
WRONG = "planted-wrong-password-4712"
ENDPOINT_KEY = "planted-endpoint-key-4713"
HUB_TOKEN = "hf_plantedtoken4714"
ROOT = Path(__file__).resolve().parents[2]


def everywhere(workspace: Workspace, but: Path | None = None) -> bytes:
    """All bytes of a workspace but those of one file."""
    files = [path for path in workspace.root.rglob("*") if path.is_file() and path != but]
    return b"\n".join(path.read_bytes() for path in files)


def test_no_password_and_no_token_of_a_session_is_written_anywhere(workspace: Workspace) -> None:
    db = connect(workspace.database, workspace.backups)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        accounts = Accounts(db)
        accounts.add("ann", "admin", PASSWORD, "me")
        token = accounts.log_in("ann", PASSWORD, "10.0.0.1")
        for name in ("ann", "nobody", WRONG):
            with suppress(StudioError):
                accounts.log_in(name, WRONG)
        accounts.change_password("ann", PASSWORD, PASSWORD + "-new", "")
    assert repr(accounts.get("ann")).count(PASSWORD) == 0
    db.close()
    kept = everywhere(workspace)
    for secret in (PASSWORD, WRONG, token):
        assert secret.encode() not in kept and secret not in said.getvalue()
    assert b"$argon2id$" in kept


def test_a_key_of_an_endpoint_is_in_its_own_file_alone(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    db = connect(workspace.database, workspace.backups)
    endpoint = save_endpoint(workspace, "https://api.example.org/v1", "m", ENDPOINT_KEY)
    echo = httpx.MockTransport(lambda request: httpx.Response(401, text=str(request.headers)))
    with pytest.raises(JobFailed) as refused:
        ask_endpoint(endpoint, [(Message("user", "hi"),)], 4, echo)
    gone = httpx.MockTransport(lambda request: (_ for _ in ()).throw(httpx.ConnectError(f"no way {request.headers}")))
    with pytest.raises(JobFailed) as lost:
        ask_endpoint(endpoint, [(Message("user", "hi"),)], 4, gone)
    db.close()
    place = workspace.root / "endpoint.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600 and ENDPOINT_KEY in place.read_text()
    assert ENDPOINT_KEY.encode() not in everywhere(workspace, place)
    for words in (
        str(refused.value),
        str(lost.value),
        repr(endpoint),
        repr(Endpoint("u", "m", ENDPOINT_KEY)),
        caplog.text,
    ):
        assert ENDPOINT_KEY not in words


def test_a_key_of_a_server_is_kept_as_a_hash_that_nobody_else_reads(workspace: Workspace) -> None:
    token, key = add_key(workspace, "planted")
    kept = everywhere(workspace)
    assert token.encode() not in kept and token not in repr(key)
    assert stat.S_IMODE(keys_file(workspace).stat().st_mode) & 0o077 == 0


def test_a_token_of_the_hub_is_used_and_forgotten(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Support", "instruction")
    monkeypatch.setattr(hub_push, "is_offline", lambda: False)
    monkeypatch.setattr(hub_push, "reachable", lambda: True)
    with pytest.raises(StudioError) as error:
        push(db, workspace, User("ann", "admin"), Goods(project.id), Destination("ann/x", True, HUB_TOKEN))
    lines = repr(search_audit(db))
    db.close()
    assert HUB_TOKEN.encode() not in everywhere(workspace) and HUB_TOKEN not in str(error.value) + caplog.text + lines
    assert HUB_TOKEN not in repr(Destination("ann/x", True, HUB_TOKEN))


def test_a_failed_log_in_by_form_leaves_no_password(town: Town, capfd: pytest.CaptureFixture[str]) -> None:
    body = {"name": "ann", "password": WRONG, "next": "/"}
    answer = town.ask(None, "POST", "/login", data=body)
    said = capfd.readouterr()
    assert answer.status_code == 401 and WRONG not in answer.text + said.out + said.err
    assert all(WRONG not in repr(line) for line in search_audit(town.studio.db))
    assert hash_token("x") not in answer.text


def test_no_secret_stands_in_the_sources() -> None:
    """Keys of the usual services, in what is shipped; the examples of the preflight's own recogniser are made up."""
    found = re.compile(
        r"hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9]{32,}|AKIA[A-Z0-9]{16}|ghp_[A-Za-z0-9]{36}|BEGIN [A-Z ]*PRIVATE KEY-"
    )
    files = [*(ROOT / "studio").rglob("*.py"), *(ROOT / "storage").rglob("*.py"), ROOT / "app.py"]
    bad = [path.name for path in files if found.search(path.read_text(encoding="utf-8")) and path.name != "secrets.py"]
    assert bad == []
