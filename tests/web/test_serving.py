"""The door: `python app.py` served, refused, and closed so that the database can be opened by the next."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import app
from storage.database import connect
from storage.projects import create_project, list_projects
from studio.context import open_studio
from studio.settings import Workspace
from studio.web.server import build_app
from tests.bench.bench_start import free_port, page_served, torch_loaded
from tests.jobs.conftest import wait_until
from tests.web.conftest import URL

ROOT = Path(__file__).resolve().parents[2]

Served = subprocess.Popen[str]


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start app.py with these flags; it is killed when the test ends."""
    apps: list[Served] = []

    def run(*flags: object) -> Served:
        command = [sys.executable, "app.py", *map(str, flags)]
        apps.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return apps[-1]

    yield run
    for one in apps:
        one.kill()
        one.communicate()


def test_the_end_of_the_app_lets_the_database_go(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    studio = open_studio(workspace)
    other = (
        "import sys; from pathlib import Path; from storage.database import connect; "
        "connect(Path(sys.argv[1]), Path(sys.argv[2])).close()"
    )
    command = [sys.executable, "-c", other, str(workspace.database), str(workspace.backups)]
    with TestClient(build_app(studio), base_url=URL) as client:
        assert client.get("/").status_code == 200
        create_project(studio.db, "Kept")
        busy = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert "WorkspaceBusy" in busy.stderr
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    db = connect(workspace.database, workspace.backups)
    assert [project.name for project in list_projects(db)] == ["Kept"]
    db.close()


def test_a_served_app_has_no_torch_refuses_a_second_one_and_ends_on_sigterm(
    start: Callable[..., Served], tmp_path: Path
) -> None:
    port = free_port()
    first = start("--workspace", tmp_path, "--port", port)
    wait_until(lambda: page_served(port) or first.poll() is not None, seconds=90)
    assert first.poll() is None
    assert not torch_loaded(first.pid)

    second = start("--workspace", tmp_path, "--port", free_port())
    assert second.wait(60) == 2
    said = second.communicate()[1].strip()
    assert f"process {first.pid}" in said and "\n" not in said

    third = start("--workspace", tmp_path / "other", "--port", port)
    assert third.wait(60) == 2
    said = third.communicate()[1].strip()
    assert f"Port {port}" in said and "--port" in said and "\n" not in said

    first.send_signal(signal.SIGTERM)
    assert first.wait(30) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    connect(tmp_path / "studio.duckdb", tmp_path / "backups").close()
    assert not (tmp_path / "studio.duckdb.wal").exists()
    assert "Traceback" not in first.communicate()[1]


def test_a_page_that_is_open_does_not_hold_the_end_up(start: Callable[..., Served], tmp_path: Path) -> None:
    port = free_port()
    first = start("--workspace", tmp_path, "--port", port)
    wait_until(lambda: page_served(port) or first.poll() is not None, seconds=90)
    stream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    stream.request("GET", "/gradio_api/heartbeat/abc")
    assert stream.getresponse().status == 200
    first.send_signal(signal.SIGINT)
    first.wait(30)
    connect(tmp_path / "studio.duckdb", tmp_path / "backups").close()


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *flags: object) -> str:
    """The one sentence with which app.py refuses these flags (exit code 2)."""
    monkeypatch.setattr(sys, "argv", ["app.py", *map(str, flags)])
    assert app.main() == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    return said


def test_a_taken_port_is_told_before_the_database_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(monkeypatch, capsys, "--workspace", tmp_path, "--port", port)
    assert f"Port {port}" in said and "--port" in said
    assert not (tmp_path / "studio.duckdb").exists()


@pytest.mark.parametrize("flags", [["--port", "70000"], ["--port", "-1"], ["--host", "no.such.host.invalid"]])
def test_an_address_that_cannot_be_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str]
) -> None:
    assert flags[0] in refused(monkeypatch, capsys, "--workspace", tmp_path, *flags)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.2"])
def test_another_address_without_accounts_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, host: str
) -> None:
    said = refused(monkeypatch, capsys, "--workspace", tmp_path, "--host", host, "--port", free_port())
    assert "python -m studio user add NAME --role admin" in said and host in said
    connect(tmp_path / "studio.duckdb", tmp_path / "backups").close()  # the refusal let it go


@pytest.mark.parametrize("kind", ["a file", "under a file", "damaged"])
def test_a_workspace_that_cannot_be_opened_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    workspace = tmp_path / "workspace"
    if kind == "damaged":
        workspace.mkdir()
        (workspace / "studio.duckdb").write_bytes(b"no database " * 1000)
    else:
        workspace.write_text("not a folder")
    asked = workspace / "below" if kind == "under a file" else workspace
    assert str(workspace) in refused(monkeypatch, capsys, "--workspace", asked, "--port", free_port())
    assert workspace.is_dir() == (kind == "damaged")
