"""An evaluated run without a model, and a fake judge over HTTP: what tests of judging need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq

from storage.database import Database
from storage.projects import create_project
from storage.records import Run
from storage.runs import create_run, get_run, take_up_events
from studio.contract.evaluation import REPORT_FILE, ROWS_FILE, EvalReport, EvalSpec, MetricReport, VerdictReport
from studio.contract.spec import SPEC_FILE
from studio.settings import Workspace

Answer = tuple[str, str, str]
"""Question, base, tuned; the reference is the question in capitals."""

GOOD, BAD = "GOOD", "BAD"


def evaluated(db: Database, workspace: Workspace, answers: Sequence[Answer], name: str = "Mail") -> Run:
    """A run of a project of its own whose evaluation holds these answers."""
    project = create_project(db, name, "instruction", "")
    run = create_run(db, f"run-{name}", project.id, "snap", "base-model", json.dumps({"method": "lora"}), 10)
    take_up_events(db, run.id, [], 0, {"adapter_hash": "f" * 64, "state": "done"})
    folder, snapshot = workspace.evaluations / run.id, workspace.snapshots / "snap"
    folder.mkdir(parents=True)
    snapshot.mkdir(parents=True, exist_ok=True)
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": q.upper()}] for q, _, _ in answers]
    pq.write_table(pa.table({"messages": turns}), snapshot / "test.parquet")
    spec = EvalSpec(
        run=run.id, runs=workspace.runs, models=workspace.models, snapshot=snapshot,
        answers=workspace.evaluations / "answers", metrics=workspace.metrics,
    )  # fmt: skip
    (folder / SPEC_FILE).write_text(spec.model_dump_json())
    exact = MetricReport(
        title="Exact match", base=0.1, tuned=0.5, difference=0.4, low=0.2, high=0.6, p=0.01, rows=len(answers)
    )
    verdict = VerdictReport(metric="exact_match", kind="better", sentence="Better.", rows=len(answers))
    report = EvalReport(
        run=run.id, snapshot="snap", split="test", held_out="h", rows=len(answers), adapter_hash="f" * 64,
        metrics={"exact_match": exact}, verdict=verdict,
    )  # fmt: skip
    (folder / REPORT_FILE).write_text(report.model_dump_json())
    rows = {
        "row": list(range(1, len(answers) + 1)),
        "example_id": [""] * len(answers),
        "prompt": [q for q, _, _ in answers],
        "reference": [q.upper() for q, _, _ in answers],
        "base": [base for _, base, _ in answers],
        "tuned": [tuned for _, _, tuned in answers],
        "base_score": [0.0] * len(answers),
        "tuned_score": [1.0] * len(answers),
        "outcome": ["win"] * len(answers),
        "base_loss": [0.5] * len(answers),
        "tuned_loss": [0.4] * len(answers),
    }
    pq.write_table(pa.table(rows), folder / ROWS_FILE)
    return get_run(db, run.id)


def fair(shown: dict[str, str]) -> str:
    """The choice of a judge who likes what holds GOOD, wherever it stands."""
    good = [side for side in ("first", "second") if GOOD in shown[side]]
    return good[0] if len(good) == 1 else "tie"


def said(better: str, why: str = "because") -> str:
    """A reply in the form that is asked for."""
    return json.dumps({"why": why, "better": better})


class FakeJudge:
    """Answers each chat completion with `reply(what is shown)`; `refusals` are (status, headers) to begin with."""

    def __init__(self, reply: Callable[[dict[str, str]], str], refusals: Sequence[tuple[int, dict[str, str]]] = ()):
        self.reply, self.refusals = reply, list(refusals)
        self.asked: list[dict[str, object]] = []
        self.keys: list[str] = []
        self.url = ""

    @property
    def answered(self) -> int:
        return len(self.asked)

    @contextmanager
    def open(self) -> Iterator[FakeJudge]:
        """Serve on a free port."""
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                judge.keys.append(self.headers.get("Authorization", ""))
                if judge.refusals:
                    status, headers = judge.refusals.pop(0)
                    return self._send(status, b"{}", headers)
                judge.asked.append(body)
                shown = json.JSONDecoder().raw_decode(body["messages"][1]["content"])[0]
                content = judge.reply(shown)
                usage = {"prompt_tokens": 100, "completion_tokens": 10}
                given = {"choices": [{"message": {"content": content}}], "usage": usage}
                return self._send(200, json.dumps(given).encode(), {})

            def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *parts: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
