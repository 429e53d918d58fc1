"""Servers over the tiny model, on ports of their own, in threads of the test's process; asked by the real client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from studio.contract.events import EventWriter, read_all
from studio.contract.serving import ServeSpec, read_serve_spec, write_names
from studio.contract.traffic import traffic_files
from studio.inference.engine import Engine
from studio.inference.running import Running
from studio.models.loading import load_base
from studio.serving.keys import KeyRing
from studio.serving.resident import Resident
from studio.serving.running import Server, listen
from tests.inference.conftest import base_folder, runs

__all__ = ["base_folder", "runs"]

NAMES = {"run-1": "one", "Mail@production": "one"}


@dataclass
class House:
    """A server that answers, and what a test needs of it."""

    folder: Path
    url: str
    server: Server
    thread: threading.Thread
    _clients: dict[tuple[str, int], openai.OpenAI] = field(default_factory=dict)
    _plain: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, trust_env=False))

    def client(self, key: str = "none", max_retries: int = 0) -> openai.OpenAI:
        """The real client; it tries nothing again by itself. Made once: each makes a TLS context of its own."""
        if (key, max_retries) not in self._clients:
            made = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=max_retries, timeout=60)
            self._clients[key, max_retries] = made
        return self._clients[key, max_retries]

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """A request by hand."""
        return self._plain.post(self.url + path, **sent)

    def traffic(self, count: int) -> list[dict[str, Any]]:
        """The lines of the log, once there are so many."""
        wait_for(lambda: sum(path.read_bytes().count(b"\n") for path in traffic_files(self.folder)) >= count)
        texts = [path.read_text(encoding="utf-8") for path in traffic_files(self.folder)]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def stop(self) -> None:
        """As SIGTERM does."""
        self.server.handle_exit(15, None)
        self.thread.join(30)


Start = Callable[..., House]


def start_house(folder: Path, base: Path, runs: Path, names: Mapping[str, str] = NAMES, **fields: object) -> House:
    """A server in a thread."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {"models": folder / "models", "runs": runs, "keys": folder / "keys.json", "base_model": str(base)}
    spec = ServeSpec.model_validate({**known, "device": "cpu", "dtype": "float32", "batch_rows": 8, **fields})
    (folder / "spec.json").write_text(spec.model_dump_json())
    write_names(folder, names)
    spec = read_serve_spec(folder)
    base = (spec.models, spec.base_model, spec.device, spec.dtype)
    engine = Resident(lambda: Engine(load_base(*base), spec.runs))
    listener = listen(spec)
    server = Server(folder, spec, EventWriter(folder), KeyRing(spec.keys), engine, listener)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_for(lambda: any(event.data.get("port") for event in read_all(folder)))
    return House(folder, f"http://127.0.0.1:{listener.getsockname()[1]}", server, thread)


@pytest.fixture
def start(tmp_path: Path, base_folder: Path, runs: Path) -> Iterator[Start]:
    """Start a server with these spec fields; it is ended with the test."""
    houses: list[House] = []

    def run(names: Mapping[str, str] = NAMES, **fields: object) -> House:
        folder = tmp_path / f"server{len(houses)}"
        houses.append(start_house(folder, base_folder, runs, names, **fields))
        return houses[-1]

    yield run
    for house in houses:
        house.stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, runs: Path) -> Iterator[House]:
    """One server for the tests of a file that leave it as it was."""
    house = start_house(tmp_path_factory.mktemp("house") / "server", base_folder, runs)
    yield house
    house.stop()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the model takes at least 20 ms, so that an answer of 200 tokens takes 4 seconds."""
    turn = Running.turn

    def late(self: Running) -> Any:
        time.sleep(0.02)
        return turn(self)

    monkeypatch.setattr(Running, "turn", late)


def wait_for(true: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


def turns(text: str = "Hi") -> list[Any]:
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]
