"""Servers that a bench starts, measures and ends: the studio on a workspace of its own, or any other command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
_LIMIT_SECONDS = 180


@dataclass(frozen=True)
class Server:
    """A process that answers on a port of 127.0.0.1."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Processor time of the process and its children so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self._tree())

    def memory_bytes(self) -> int:
        """Resident bytes of the process and its children."""
        return sum(one.memory_info().rss for one in self._tree())

    def _tree(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]


@contextmanager
def serving(
    command: Sequence[str], port: int, log: Path, path: str = "/", environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start `command`, wait until `path` answers 200, end it afterwards. Raises SystemExit with its log."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})}
        )
    server = Server(process, port, log)
    try:
        _wait(server, path)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


@contextmanager
def studio(workspace: Path, port: int | None = None) -> Iterator[Server]:
    """The studio itself, `python app.py`, on a workspace."""
    port = port or free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--workspace", str(workspace), "--port", str(port)]
    with serving(command, port, workspace.parent / f"{workspace.name}.log", "/login") as server:
        yield server


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: Server, path: str) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(server.url + path, trust_env=False, follow_redirects=True, timeout=30).status_code == 200:
                return
        if server.process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"{server.process.args!r} served nothing: {server.log.read_text(errors='replace')[-3000:]}")
