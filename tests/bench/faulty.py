"""What the drills share: the app as a process that is killed, and specs for jobs of no consequence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from storage.database import connect
from studio.contract.spec import TrainSpec
from studio.settings import Workspace
from tests.bench.served import ROOT, free_port

_LIMIT_SECONDS = 180


class App:
    """`python app.py` on a workspace, in a session of its own; nothing is waited for until `wait`."""

    def __init__(self, root: Path, log: Path) -> None:
        self.port, self.log, self._began = free_port(), log, time.monotonic()
        command = [sys.executable, str(ROOT / "app.py"), "--workspace", str(root), "--port", str(self.port)]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1"}
            )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> float:
        """Seconds from its start until it gives a page. Raises SystemExit with its log."""
        while time.monotonic() - self._began < _LIMIT_SECONDS and self.process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(self.url + "/login", trust_env=False, follow_redirects=True).status_code == 200:
                    return time.monotonic() - self._began
            time.sleep(0.05)
        raise SystemExit(f"the app served nothing: {self.log.read_text(errors='replace')[-3000:]}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(30)
        self.kill()
        return -signal.SIGKILL


@contextmanager
def started(root: Path, log: Path) -> Iterator[App]:
    """An app that serves, ended in good order."""
    app = App(root, log)
    try:
        app.wait()
        yield app
    finally:
        app.end()


def sessions(workspace: Workspace, people: Sequence[str]) -> dict[str, str]:
    """Cookie headers by name, as if everybody had logged in before: no app is asked, and no password is hashed."""
    from studio.people.accounts import Accounts
    from studio.web.guard import cookie_name

    db = connect(workspace.database, workspace.backups)
    try:
        accounts = Accounts(db)
        return {name: f"{cookie_name(accounts)}={accounts._open(name, '')}" for name in people}
    finally:
        db.close()


def fake_spec(workspace: Workspace) -> str:
    """A spec for the stand-in of the trainer, which reads nothing of it but its limits."""
    spec = TrainSpec(snapshot=workspace.snapshots / "none", models=workspace.models, base_model="none", max_steps=10**6)
    return spec.model_dump_json()
