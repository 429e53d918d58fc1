"""A studio for the tests of Compare: a project with a frozen snapshot, three runs of a tiny random model, an endpoint
that writes hostile answers, and the app over them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from storage.database import connect
from storage.projects import create_project
from storage.runs import create_run, take_up_events
from studio.contract.spec import SPEC_FILE, TrainSpec
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.jobs.endpoint import save_endpoint
from studio.settings import Workspace
from tests.e2e.conftest import Served
from tests.tiny import pairs

HOSTILE = (
    "# Hi <img src=x onerror=alert(1)><script>alert(1)</script> [go](javascript:alert(1)) ![p](http://evil.example/p)"
)


@dataclass
class House:
    """A served studio with something to compare."""

    served: Served
    workspace: Workspace
    project_id: str


@contextmanager
def compare_house(folder: Path, runs: int = 3, endpoint: bool = False) -> Iterator[House]:
    """Fill a workspace and serve it; `endpoint`: with a server of hostile answers named as the endpoint."""
    from tests.inference.conftest import make_adapter, make_model, make_tokenizer

    workspace = Workspace(folder / "workspace")
    base = folder / "tiny-base"
    make_tokenizer().save_pretrained(base)
    make_model(7).save_pretrained(base)
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Kettles", "instruction", "You answer.", "")
    rows = folder / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"input": q, "output": a}) for q, a in pairs(60)), encoding="utf-8")
    import_file(db, project.id, rows)
    snapshot = freeze(db, workspace, project.id, test=0.2).snapshot
    for number in range(runs):
        run = create_run(db, f"run-{number:08x}", project.id, snapshot.id, str(base), '{"device": "cpu"}', 9)
        take_up_events(db, run.id, [], 0, {"state": "done", "step": 9, "adapter_hash": "a" * 64})
        make_adapter(workspace.runs, run.id, base, scale=0.5, seed=number + 1)
        frozen = workspace.snapshots / snapshot.id
        spec = TrainSpec(snapshot=frozen, models=workspace.models, base_model=str(base), device="cpu")
        (workspace.runs / run.id / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
    server = hostile_endpoint()
    if endpoint:
        save_endpoint(workspace, f"http://127.0.0.1:{server.server_port}/v1", "loud")
    db.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        served = Served(workspace.root, probe.getsockname()[1])
    served.start()
    try:
        yield House(served, workspace, project.id)
    finally:
        served.stop()
        server.shutdown()


def hostile_endpoint() -> ThreadingHTTPServer:
    """A chat-completions server on this machine that streams HOSTILE in two pieces."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            for piece, end in ((HOSTILE[:20], None), (HOSTILE[20:], "stop")):
                body = {"choices": [{"delta": {"content": piece}, "finish_reason": end}]}
                self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
