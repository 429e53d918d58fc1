"""Annotators, a training run and serving load for as long as one likes: does anything grow, does anything slow down?

    python tests/bench/drill_soak.py [--minutes 60] [--annotators 20] [--think 2] [--save]

One `python app.py`; the crowd labels over HTTP (tests/bench/crowd.py), a tiny model trains run after run, and a server
of the same tiny model is asked by two clients. Every few seconds memory and open handles of the app and of the server
are noted. The slope is the least-squares line through the second half of the readings, in MB an hour: the first half is
warming up. p95 is that of a submit, over the first and the last sixth of the time (of an hour: ten minutes). At the end
the database is held against what the crowd was told. Times are those of a machine that does all of it at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from storage.database import connect  # noqa: E402
from storage.opening import quiet  # noqa: E402
from studio.contract.serving import ServeSpec  # noqa: E402
from studio.contract.spec import TrainSpec  # noqa: E402
from studio.jobs.processes import ask_to_stop, claimed, is_alive, spawn  # noqa: E402
from studio.settings import Workspace, open_workspace  # noqa: E402
from tests import tiny  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.bench_annotators import Setting, prepare  # noqa: E402
from tests.bench.crowd import Log, Plan, quantile, work  # noqa: E402
from tests.bench.drill_kill import Crowd, look  # noqa: E402
from tests.bench.faulty import sessions, started  # noqa: E402
from tests.bench.reliability import soak_rows  # noqa: E402
from tests.bench.served import free_port, serving  # noqa: E402


@dataclass(frozen=True)
class Reading:
    """Seconds since the beginning; bytes resident and open handles of app and server."""

    at: float
    app_bytes: int
    app_handles: int
    server_bytes: int
    server_handles: int


@dataclass(frozen=True)
class Soaked:
    """What came of it. Slopes in MB an hour over the second half; p95 in milliseconds."""

    minutes: float
    submits: int
    lost: int
    wrong: int
    requests: int
    request_failures: int
    runs: int
    app_slope_mb: float
    server_slope_mb: float
    app_handles_first: int
    app_handles_last: int
    server_handles_first: int
    server_handles_last: int
    p95_first: float
    p95_last: float


def main(arguments: Sequence[str] | None = None) -> Soaked:
    """Run the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--think", type=float, default=2.0)
    parser.add_argument("--save", action="store_true", help="keep the page in results/")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), options)
    figures = asdict(found)
    lines = [*table(found), *soak_rows(figures), json.dumps(figures)]
    print("\n".join(lines))
    if options.save:
        saved.save("soak-cpu", "drill_soak", f"--minutes {options.minutes:g}", lines, os.cpu_count() or 1)
    return found


def soak(folder: Path, options: argparse.Namespace) -> Soaked:
    """Everything at once for so many minutes."""
    workspace, seconds = open_workspace(folder / "workspace"), 60 * options.minutes
    people = [f"annotator-{number}" for number in range(options.annotators)]
    plan = Plan(10**9, options.think, skips=0.05, seconds=seconds)
    most = int(seconds * options.annotators / max(options.think, 0.1) * 1.3) + 100
    (project,) = prepare(workspace, people, [Setting(len(people), 1, plan, most)])
    cookies, log, over = sessions(workspace, people), Log(), threading.Event()
    base = tiny.make_model(folder / "base")
    asked: list[int] = []
    with started(workspace.root, folder / "app.log") as app, _server(workspace, base, folder) as server:
        others = [threading.Thread(target=_ask, args=(server.url, over, asked)) for _ in range(2)]
        runs: list[int] = []
        others.append(threading.Thread(target=_train, args=(workspace, base, over, runs)))
        for other in others:
            other.start()
        crowd = threading.Thread(target=work, args=(app.url, project, cookies, plan, 0, log))
        crowd.start()
        readings = _read(psutil.Process(app.process.pid), psutil.Process(server.process.pid), crowd, seconds)
        over.set()
        for other in others:
            other.join()
    told = Crowd(project, plan, cookies, log.seen)
    connect(workspace.database, workspace.backups).close()
    with quiet(workspace.database, read_only=True) as cursor:
        wrong = look(cursor, told)
    return _soaked(options.minutes, log, wrong, readings, asked, len(runs))


def _soaked(minutes: float, log: Log, wrong: list[str], readings: list[Reading], asked: list[int], runs: int) -> Soaked:
    submits = [one for one in log.seen if one.kind == "submit" and one.status == 200]
    began, ended = submits[0].received, submits[-1].received
    sixth = (ended - began) / 6
    first = sorted(1000 * (one.received - one.sent) for one in submits if one.received <= began + sixth)
    last = sorted(1000 * (one.received - one.sent) for one in submits if one.received >= ended - sixth)
    late = readings[len(readings) // 2 :]
    return Soaked(
        minutes=minutes,
        submits=len(submits),
        lost=sum(word.startswith("lost") for word in wrong),
        wrong=len(wrong),
        requests=len(asked),
        request_failures=sum(status != 200 for status in asked),
        runs=runs,
        app_slope_mb=round(slope([(one.at, one.app_bytes) for one in late]), 1),
        server_slope_mb=round(slope([(one.at, one.server_bytes) for one in late]), 1),
        app_handles_first=late[0].app_handles,
        app_handles_last=late[-1].app_handles,
        server_handles_first=late[0].server_handles,
        server_handles_last=late[-1].server_handles,
        p95_first=round(quantile(first, 0.95), 1),
        p95_last=round(quantile(last, 0.95), 1),
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """MB an hour of the least-squares line through (seconds, bytes); 0 of fewer than two points."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread * 3600 / 1e6 if spread else 0.0


def _read(app: psutil.Process, server: psutil.Process, crowd: threading.Thread, seconds: float) -> list[Reading]:
    began, readings = time.monotonic(), []
    while crowd.is_alive():
        one = [(process.memory_info().rss, process.num_fds()) for process in (app, server)]
        readings.append(Reading(time.monotonic() - began, *one[0], *one[1]))
        crowd.join(min(10.0, seconds / 40))
    return readings


def _server(workspace: Workspace, base: Path, folder: Path):  # type: ignore[no-untyped-def]
    home, port = folder / "server", free_port()
    home.mkdir()
    spec = ServeSpec(
        models=workspace.models,
        runs=workspace.runs,
        keys=home / "keys.json",
        base_model=str(base),
        device="cpu",
        dtype="float32",
        port=port,
    )
    (home / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "studio.serving", str(home)]
    return serving(command, port, folder / "server.log", "/health", {"OMP_NUM_THREADS": "1"})


def _ask(url: str, over: threading.Event, asked: list[int]) -> None:
    import httpx

    body = {"model": "base", "messages": [{"role": "user", "content": "Where is my parcel?"}], "max_tokens": 8}
    with httpx.Client(trust_env=False, timeout=120) as client:
        while not over.wait(0.5):
            try:
                asked.append(client.post(f"{url}/v1/chat/completions", json=body).status_code)
            except httpx.HTTPError:
                asked.append(0)


def _train(workspace: Workspace, base: Path, over: threading.Event, runs: list[int]) -> None:
    """Real trainers, one after the other, beside the app: it is the load that counts here."""
    snapshot = tiny.make_snapshot(workspace.root / "soak-rows", tiny.pairs(40), tiny.pairs(6, 100), tiny.pairs(6, 200))
    spec = TrainSpec(
        snapshot=snapshot, models=workspace.models, base_model=str(base), max_steps=400, device="cpu", samples=0
    )
    while not over.is_set():
        folder = workspace.root / "soak-runs" / f"run-{len(runs)}"
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(spec.model_dump_json())
        with claimed(folder) as lock:
            spawn(folder, "studio.training", lock, {"OMP_NUM_THREADS": "1"})
        while is_alive(folder) and not over.wait(0.5):
            pass
        with suppress(OSError):
            ask_to_stop(folder)
        while is_alive(folder):
            time.sleep(0.1)
        runs.append(len(runs))


def table(found: Soaked) -> list[str]:
    """The figures for people."""
    return [
        f"{found.minutes:g} minutes: {found.submits} submits, {found.lost} lost, {found.wrong} findings; "
        f"{found.requests} requests served, {found.request_failures} failed; {found.runs} runs trained",
        f"app:    {found.app_slope_mb:+.1f} MB an hour, handles {found.app_handles_first} → {found.app_handles_last}",
        f"server: {found.server_slope_mb:+.1f} MB an hour, "
        f"handles {found.server_handles_first} → {found.server_handles_last}",
        f"p95 of a submit: first sixth {found.p95_first:.1f} ms, last sixth {found.p95_last:.1f} ms",
    ]


if __name__ == "__main__":
    result = main()
    sys.exit(0 if not result.wrong and not result.request_failures else 1)
