"""Ten thousand requests against a real server process, most of them no ordinary ones: nothing breaks, nothing leaks.

    python tests/bench/drill_serve.py [--requests 10000] [--at-once 32] [--seed 0] [--save]

A tiny random model with an adapter, served as the app does it (`python -m studio.serving`). Ordinary requests, streams
that are cut off, half bodies, requests made by schemathesis from the server's own OpenAPI document, broken and
oversized bodies, wrong keys, no HTTP at all. Counted: answers by status, 5xx (there must be none), errors inside
streams, and of the server's process open files, threads and memory after each tenth. At the end the gauges of rows must
be 0, every line of the log must be there once, and SIGTERM must end the process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402
import psutil  # noqa: E402

from studio.contract.events import read_all  # noqa: E402
from studio.contract.serving import Key, Keys, ServeSpec, hash_of, write_keys, write_names  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.reliability import serve_rows  # noqa: E402
from tests.bench.serve_shots import Shot, made_by_schemathesis, shots  # noqa: E402
from tests.bench.served import Server, free_port, serving  # noqa: E402

KEY, NARROW, BAD = "sft-drill", "sft-narrow", ("sft-revoked", "sft-expired", "sft-never-was")
_PATIENCE = 120


@dataclass(frozen=True)
class State:
    """The server's process at a moment: requests sent by then, open files and sockets, threads, resident bytes."""

    sent: int
    files: int
    threads: int
    memory: int

    def line(self) -> str:
        """For people."""
        return f"after {self.sent:6,}: {self.files} files, {self.threads} threads, {self.memory / 2**20:.1f} MB"


@dataclass
class Found:
    """What the drill saw; `statuses` by kind of request, 0 where the client left or nothing came."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    in_stream: list[str] = field(default_factory=list)
    fives: list[str] = field(default_factory=list)
    late: int = 0
    states: list[State] = field(default_factory=list)
    gauges: dict[str, float] = field(default_factory=dict)
    lines: int = 0
    doubled: int = 0
    answered: int = 0
    stop_seconds: float = 0.0
    stop_words: str = ""
    exit_code: int | None = None
    orphans: int = 0
    log: str = ""

    def report(self) -> list[str]:
        """What is printed."""
        total: Counter[int] = sum(self.statuses.values(), Counter())
        lines = [f"{kind}: " + _counted(found) for kind, found in sorted(self.statuses.items())]
        lines.append(f"in all: {_counted(total)} (0: the client left, or spoke no HTTP)")
        lines.append(
            f"5xx: {len(self.fives)}; errors inside streams: {len(self.in_stream)}; no answer in time: {self.late}"
        )
        lines += [*self.fives[:5], *self.in_stream[:5]]
        lines += [state.line() for state in self.states]
        first, last = self.states[1], self.states[-1]
        lines.append(
            f"second tenth to the last: files {last.files - first.files:+d}, "
            f"threads {last.threads - first.threads:+d}, "
            f"memory {(last.memory - first.memory) / 2**20:+.1f} MB ({last.memory / first.memory - 1:+.1%})"
        )
        lines.append("at rest: " + ", ".join(f"{name} {value:g}" for name, value in sorted(self.gauges.items())))
        lines.append(
            f"log: {self.lines} lines, {self.doubled} twice; answers with status 200 to models: {self.answered}"
        )
        lines.append(f"SIGTERM: {self.stop_words} ended with {self.exit_code}; orphans {self.orphans}")
        figures = self.figures()
        return [*lines, *serve_rows(figures), json.dumps(figures)]

    def figures(self) -> dict[str, float]:
        """What the README's table is made of."""
        first, last = self.states[1], self.states[-1]
        return {
            "requests": sum(sum(counts.values()) for counts in self.statuses.values()),
            "fives": len(self.fives),
            "in_stream": len(self.in_stream),
            "late": self.late,
            "memory": round(last.memory / first.memory - 1, 4),
            "files": last.files - first.files,
            "doubled": self.doubled,
            "log_lost": int(self.gauges["studio_traffic_lines_lost_total"]),
        }


def main(arguments: Sequence[str] | None = None) -> Found:
    """Run the drill and print what it saw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = drill(Path(folder), options.requests, options.at_once, options.seed)
    lines = found.report()
    print("\n".join(lines))
    if options.save:
        note = f"--requests {options.requests} --at-once {options.at_once} --seed {options.seed}"
        saved.save("drill-serve-cpu", "drill_serve", note, lines, os.cpu_count() or 1)
    return found


def drill(folder: Path, count: int, at_once: int, seed: int = 0) -> Found:
    """So many requests against a server in `folder`."""
    home, port = _made(folder), free_port()
    spec = ServeSpec.model_validate_json((home / "spec.json").read_text()).model_copy(update={"port": port})
    (home / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "studio.serving", str(home)]
    found = Found()
    with serving(
        command, port, folder / "log.txt", "/health", {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    ) as server:
        document = httpx.get(f"{server.url}/openapi.json", headers=_bearer(), trust_env=False).json()
        made = made_by_schemathesis(document, max(5, count // 60), seed)
        fired = shots(count, KEY, BAD, NARROW, made, seed)
        tenth = max(1, count // 10)
        for number in range(0, count, tenth):
            batch = [shot for _, shot in zip(range(min(tenth, count - number)), fired, strict=False)]
            asyncio.run(_fire(port, batch, at_once, found))
            found.gauges = _rest(server)
            found.states.append(_state(server, number + len(batch)))
        _stop(server, home, found)
    _read_log(home, found)
    found.log = (folder / "log.txt").read_text(errors="replace")
    return found


def _made(folder: Path) -> Path:
    """A server's folder with a tiny model, an adapter, keys and names."""
    from tests import tiny
    from tests.inference.conftest import make_adapter

    base = tiny.make_model(folder / "base")
    runs, home = folder / "runs", folder / "server"
    make_adapter(runs, "one", base, scale=0.5, seed=1)
    home.mkdir()
    now = datetime.now(UTC)
    past = now - timedelta(days=1)
    keys = [_key("a", KEY, now), _key("b", NARROW, now).model_copy(update={"models": ("run-1",)})]
    keys += [_key("c", BAD[0], now).model_copy(update={"revoked": past})]
    keys += [_key("d", BAD[1], now).model_copy(update={"expires": past})]
    write_keys(home / "keys.json", Keys(keys=tuple(keys)))
    write_names(home, {"run-1": "one", "Mail@production": "one"})
    spec = ServeSpec(
        models=folder, runs=runs, keys=home / "keys.json", base_model=str(base), device="cpu", dtype="float32",
        batch_rows=16, queue_limit=48, body_limit=256 << 10, requests_a_minute=0, drain_seconds=10,
    )  # fmt: skip
    (home / "spec.json").write_text(spec.model_dump_json())
    return home


def _key(name: str, token: str, now: datetime) -> Key:
    return Key(id=f"key-{name}", name=name, hash=hash_of(token), created=now)


async def _fire(port: int, batch: Iterable[Shot], at_once: int, found: Found) -> None:
    room = asyncio.Semaphore(at_once)

    async def one(shot: Shot) -> None:
        async with room:
            await _shoot(port, shot, found)

    await asyncio.gather(*(one(shot) for shot in batch))


async def _shoot(port: int, shot: Shot, found: Found) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            with suppress(ConnectionError):
                for part in shot.parts:
                    writer.write(part)
                    await writer.drain()
            with suppress(ConnectionError):
                said = await (reader.read() if shot.read is None else reader.read(shot.read))
    except TimeoutError:
        found.late += 1
    finally:
        if shot.read is not None:
            writer.transport.abort()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    _note(shot, said, found)


def _note(shot: Shot, said: bytes, found: Found) -> None:
    match = re.match(rb"HTTP/1\.\d (\d{3})", said)
    status = int(match[1]) if match else 0
    found.statuses.setdefault(shot.kind, Counter())[status] += 1
    asked = shot.parts[0][:400].decode("utf-8", "replace")
    if status >= 500:
        found.fives.append(f"{said[:300]!r} to {asked!r}")
    if status == 200 and b'"server_error"' in said:
        found.in_stream.append(f"{said[-300:]!r} to {asked!r}")
    if status == 200 and shot.read is None and asked.startswith(("POST /v1/chat", "POST /v1/compl")):
        found.answered += 1


def _rest(server: Server) -> dict[str, float]:
    """The gauges once nothing is at work any more, or after half a minute."""
    until = time.monotonic() + 30
    while True:
        page = httpx.get(f"{server.url}/metrics", headers=_bearer(), trust_env=False).text
        gauges = {
            name: float(value)
            for name, value in re.findall(r"^(studio_\w+_(?:rows|requests|lost_total)) (\S+)$", page, re.M)
        }
        left = sum(value for name, value in gauges.items() if name.endswith(("rows", "requests")))
        if left <= 1 or time.monotonic() > until:  # the look itself is an open request
            return gauges
        time.sleep(0.1)


def _state(server: Server, sent: int) -> State:
    process = psutil.Process(server.process.pid)
    time.sleep(0.3)  # sockets of clients that left are closed a moment later
    return State(sent, process.num_fds(), process.num_threads(), process.memory_info().rss)


def _stop(server: Server, home: Path, found: Found) -> None:
    tree = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    start = datetime.now(UTC)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(60)
    ended = datetime.now(UTC)
    found.stop_seconds, found.exit_code = (ended - start).total_seconds(), server.process.returncode
    last = [event for event in read_all(home) if event.data.get("state") in ("stopping", "stopped")]
    steps = [
        f"{event.data.get('message') or 'done'} after {(event.at - start).total_seconds():.1f} s" for event in last
    ]
    found.stop_words = ", ".join([*steps, f"process gone after {found.stop_seconds:.1f} s,"])
    found.orphans = sum(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in tree)


def _read_log(home: Path, found: Found) -> None:
    files = sorted(home.glob("traffic*.jsonl"))
    ids = [
        json.loads(line)["id"] for file in files for line in file.read_bytes().splitlines() if b'"request"' in line[:20]
    ]
    found.lines, found.doubled = len(ids), len(ids) - len(set(ids))


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


def _counted(found: Counter[int]) -> str:
    return ", ".join(f"{status} × {count}" for status, count in sorted(found.items()))


if __name__ == "__main__":
    main()
