"""Fixtures for every room: a workspace in a temporary folder, its open database, a project."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Before any test module loads torch: a run in this process and one in a child are compared bit for bit, so both must
# add up over as many threads. Tiny models gain nothing from threads anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Endpoints and webhooks of the tests listen on this machine; tests/attacks takes the name away again.
os.environ.setdefault("SFT_STUDIO_PRIVATE_HOSTS", "127.0.0.1")

from storage.database import Database, connect
from storage.projects import create_project
from storage.records import Project
from studio.settings import Workspace


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The signals are put back after each test: a job run in this process ends deaf to SIGTERM, and every child of a
    deaf process is born deaf."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    root = tmp_path / "workspace"
    root.mkdir()
    return Workspace(root)


@pytest.fixture
def db(workspace: Workspace) -> Iterator[Database]:
    """The workspace's database, closed afterwards."""
    database = connect(workspace.database, workspace.backups)
    yield database
    database.close()


@pytest.fixture
def project(db: Database) -> Project:
    """An instruction project with a system prompt."""
    return create_project(db, "Support", "instruction", "You help.")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; skips where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--screens` keeps a picture of every screen (make screenshots)."""
    parser.addoption("--screens", action="store_true", help="keep pictures of every screen in tests/e2e/out")
