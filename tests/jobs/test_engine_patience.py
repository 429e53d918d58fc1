"""A slow answer is waited for as long as pieces of it come; an engine runs where its run was trained."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from studio.contract.chat import Message
from studio.contract.spec import EngineSpec, read_engine_spec
from studio.errors import JobFailed
from studio.jobs import engine as client
from studio.jobs.engine import Engine, Engines, Question, where_to_run
from studio.settings import Workspace

PIECES = 6


class Slow(BaseHTTPRequestHandler):
    """Writes a piece every 0.3 s, or the whole answer at the end when it is not asked to stream."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        pause = 5.0 if asked["messages"][0]["content"] == "hang" else 0.3
        for number in range(PIECES):
            time.sleep(pause)
            if asked.get("stream"):
                self.piece({"content": f"{number} "}, None)
        self.piece({}, "stop", weights=dict.fromkeys(("base", "base_hash", "adapter", "adapter_hash"), "x"),
                   usage={"completion_tokens": PIECES})  # fmt: skip

    def piece(self, delta: dict[str, str], finish: str | None, **more: object) -> None:
        body = {"choices": [{"delta": delta, "finish_reason": finish}], **more}
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A client of the slow server that waits one second for a piece."""
    monkeypatch.setattr(client, "_READ_SECONDS", 1.0)
    server = HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Engine(("base", "auto", "auto"), tmp_path, server.server_port, "token")
    server.shutdown()


def test_an_answer_may_take_longer_than_a_piece_of_it(slow: Engine) -> None:
    answer = slow.answer(Question((Message("user", "Hello"),), None))
    assert answer.text == "0 1 2 3 4 5 " and answer.tokens == PIECES and answer.finish == "stop"


def test_an_engine_that_hangs_is_given_up(slow: Engine) -> None:
    with pytest.raises(JobFailed, match="does not answer"):
        slow.answer(Question((Message("user", "hang"),), None))


def test_an_engine_gets_device_and_dtype_of_the_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    specs: list[EngineSpec] = []
    monkeypatch.setattr(client, "check_base_model", lambda name: name)
    monkeypatch.setattr(client, "spawn", lambda run_dir, *_: specs.append(read_engine_spec(run_dir)))
    monkeypatch.setattr(client, "_wait_for_port", lambda *_: 1)
    monkeypatch.setattr(client, "is_alive", lambda run_dir: True)
    monkeypatch.setattr(client.Engine, "close", lambda self: None)
    engines = Engines(workspace)
    first = engines.get("m", *where_to_run({"device": "cpu", "dtype": "float32"}))
    assert (specs[0].device, specs[0].dtype) == ("cpu", "float32")
    assert engines.get("m", "cpu", "float32") is first and engines.get("m", *where_to_run({})) is not first
    assert [(spec.device, spec.dtype) for spec in specs[1:]] == [("auto", "auto")]
