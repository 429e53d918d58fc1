"""The peer: Label Studio in a virtual environment of its own, doing the same work through its own API.

    python tests/bench/label_studio.py --install        (once; about 1 GB, into $LABEL_STUDIO_VENV or the cache)

Served as `label-studio start` serves it (Django's threaded server, SQLite), log level ERROR, analytics off, on a data
folder of its own, with an account and a legacy token for each annotator. One annotator: GET /api/projects/ID/next/,
think, POST /api/tasks/ID/annotations/, again. Its rate counts half of the requests answered a second, because in a
short run many tasks have been handed out and not yet come back. What it leaves out: Label Studio's Docker image
(uwsgi, PostgreSQL), drafts and pages: they are not asked of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import served  # noqa: E402
from tests.bench.crowd import quantile  # noqa: E402

if TYPE_CHECKING:
    from tests.bench.bench_annotators import Result

VERSION = "1.23.0"
SMALL = (8, 0.0)
CACHE = Path.home() / ".cache" / "sft-studio-bench"
VENV = Path(os.environ.get("LABEL_STUDIO_VENV", CACHE / "label-studio"))
TOKEN = "0123456789abcdef0123456789abcdef01234567"
FORM = '<View><Text name="text" value="$text"/><TextArea name="answer" toName="text"/></View>'
_QUIET = {"LATEST_VERSION_CHECK": "false", "COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
_ACCOUNTS = """
import json, os, sys
from pathlib import Path
import label_studio
sys.path.insert(0, str(Path(label_studio.__file__).parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
import django
django.setup()
from organizations.models import Organization, OrganizationMember
from rest_framework.authtoken.models import Token
from users.models import User
home = Organization.objects.first()
tokens = {}
for name in json.loads(sys.argv[1]):
    user, _ = User.objects.get_or_create(email=name + "@bench.local", username=name, active_organization=home)
    OrganizationMember.objects.get_or_create(user=user, organization=home)
    tokens[name] = Token.objects.get_or_create(user=user)[0].key
print("TOKENS" + json.dumps(tokens))
"""


@dataclass(frozen=True)
class Peer:
    """What a run against Label Studio gave. `refused`: how often it answered with what but success; `crowded`: tasks
    that more annotators answered than the overlap asks."""

    annotators: int
    think: float
    per_second: float
    submits: int
    submit_p95: float
    next_p95: float
    refused: str
    crowded: int
    cpu_milliseconds: float
    memory_bytes: int


def compare(results: Sequence[Result], seconds: float) -> list[Peer]:
    """Run the settings with overlap 1 and at most 200 annotators on Label Studio too, and print the ratios.

    A small crowd comes first: with many, SQLite refuses some of them, and a rate without that is the better peer.
    """
    ours = {(one.setting.annotators, one.setting.plan.think): one for one in results if wanted(one)}
    peers = measure([SMALL, *ours], seconds)
    print(f"\nLabel Studio {VERSION}{'':27}{'tasks/s':>10}{'submit p95':>12}{'next p95':>10}{'CPU ms':>8}{'MB':>6}")
    for peer in peers:
        thinking = f"{peer.think:g} s" if peer.think else "none"
        print(
            f"{peer.annotators:>4} annotators  overlap 1  thinking {thinking:>5}{peer.per_second:>14.1f}"
            f"{peer.submit_p95:>12.0f}{peer.next_p95:>10.0f}{peer.cpu_milliseconds:>8.0f}"
            f"{peer.memory_bytes / 1e6:>6.0f}"
            f"   {peer.submits} submits, {peer.crowded} crowded; refused: {peer.refused}"
        )
    for peer in peers[1:]:
        mine = ours[peer.annotators, peer.think]
        rate = mine.log.per_second / peer.per_second if peer.per_second else float("inf")
        cost = peer.cpu_milliseconds / mine.cpu_milliseconds
        thinking = f"thinking {peer.think:g} s" if peer.think else "no thinking"
        print(
            f"ratio, {peer.annotators} annotators, {thinking}: {rate:.1f} by the clock, "
            f"{cost:.1f} by processor time (target 5)"
        )
    best = max(peer.per_second for peer in peers)
    most = max(one.log.per_second for one in ours.values())
    print(f"ratio of the best of each: {most:.1f} / {best:.1f} = {most / best:.1f} (target 5)")
    return peers


def wanted(result: Result) -> bool:
    """Whether a setting is run against Label Studio too: a crowd that keeps it busy."""
    one = result.setting
    return (
        one.overlap == 1 and not one.plan.naps and one.annotators <= 200 and (one.annotators > 50 or not one.plan.think)
    )


def measure(settings: Sequence[tuple[int, float]], seconds: float) -> list[Peer]:
    """Serve Label Studio and run each (annotators, mean thinking) for some seconds, each in a project of its own."""
    people = [f"annotator{number}" for number in range(max(count for count, _ in settings))]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        tokens = accounts(Path(folder) / "data", people)
        return [run(server, dict(list(tokens.items())[:count]), think, seconds) for count, think in settings]


def run(server: served.Server, tokens: Mapping[str, str], think: float, seconds: float) -> Peer:
    """One crowd for some seconds."""
    print(f"Label Studio, {len(tokens)} annotators, thinking {think:g} s …", file=sys.stderr, flush=True)
    project = create_project(server.url, 6000)
    before, begun = server.cpu_seconds(), time.perf_counter()
    seen = asyncio.run(_crowd(server.url, project, tokens, think, seconds))
    spent, lasted = server.cpu_seconds() - before, time.perf_counter() - begun
    good = [one for one in seen if one[1] in (200, 201)]
    people: dict[int, set[str]] = defaultdict(set)
    for kind, _, _, task, name in good:
        if kind == "submit":
            people[task].add(name)
    times = {kind: sorted(1000 * one[2] for one in good if one[0] == kind) for kind in ("submit", "next")}
    return Peer(
        len(tokens), think, len(good) / 2 / lasted, len(times["submit"]),
        quantile(times["submit"], 0.95), quantile(times["next"], 0.95), failures(seen),
        sum(len(names) > 1 for names in people.values()), 1000 * spent / max(len(good) / 2, 1), server.memory_bytes(),
    )  # fmt: skip


def failures(seen: Sequence[Any]) -> str:
    """Requests without success by kind and status; 404 to "next" means that all tasks it looked at are locked."""
    counts = Counter((kind, status) for kind, status, *_ in seen if status not in (200, 201))
    return ", ".join(f"{count} {kind} with {status}" for (kind, status), count in counts.items()) or "none"


def create_project(url: str, tasks: int) -> int:
    """A project with tasks, each to be answered once."""
    with httpx.Client(
        base_url=url, trust_env=False, timeout=120, headers={"Authorization": f"Token {TOKEN}"}
    ) as client:
        asked = {"title": "The same work", "label_config": FORM, "maximum_annotations": 1}
        made = client.post("/api/projects/", json=asked).raise_for_status().json()
        rows = [{"text": f"Question number {number}: where is my parcel?"} for number in range(tasks)]
        client.post(f"/api/projects/{made['id']}/import", json=rows).raise_for_status()
        return int(made["id"])


async def _crowd(url: str, project: int, tokens: Mapping[str, str], think: float, seconds: float) -> list[Any]:
    deadline, seen = time.perf_counter() + seconds, []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(total=300)) as session:

        async def ask(name: str, kind: str, task: int, path: str, body: object = None) -> Any:
            sent, status, answer = time.perf_counter(), 0, {}
            try:
                headers = {"Authorization": f"Token {tokens[name]}"}
                async with session.request("POST" if body else "GET", path, json=body, headers=headers) as reply:
                    status = reply.status
                    answer = await reply.json() if reply.content_type == "application/json" else {}
            except aiohttp.ClientError as error:
                answer = {"error": str(error)}
            seen.append((kind, status, time.perf_counter() - sent, task or answer.get("id"), name))
            return answer

        async def one(name: str) -> None:
            chance = random.Random(name)
            await asyncio.sleep(chance.expovariate(1 / think) / 2 if think else 0)
            while time.perf_counter() < deadline:
                task = (await ask(name, "next", 0, f"/api/projects/{project}/next/")).get("id")
                if think:
                    await asyncio.sleep(chance.expovariate(1 / think))
                if task is None or time.perf_counter() > deadline:
                    await asyncio.sleep(0.1)
                    continue
                text = {"text": [f"{name} on {task}"]}
                mark = {"from_name": "answer", "to_name": "text", "type": "textarea", "value": text}
                body = {"result": [mark], "lead_time": think, "was_cancelled": False}
                await ask(name, "submit", task, f"/api/tasks/{task}/annotations/", body)

        crowd = [asyncio.create_task(one(name)) for name in tokens]
        await asyncio.wait(crowd, timeout=seconds)  # what is under way at the end is not waited for
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    return seen


@contextmanager
def serving(folder: Path) -> Iterator[served.Server]:
    """Label Studio on a fresh data folder. Its migrations take half a minute, so a migrated folder is kept."""
    if not (VENV / "bin" / "label-studio").exists():
        raise SystemExit("Label Studio is not installed: run python tests/bench/label_studio.py --install first.")
    kept, data, port = VENV / "fresh-data", folder / "data", served.free_port()
    if kept.exists():
        shutil.copytree(kept, data)
    data.mkdir(exist_ok=True)
    command = [
        str(VENV / "bin" / "label-studio"), "start", "--no-browser", "--data-dir", str(data), "--port", str(port),
        "--internal-host", "127.0.0.1", "--username", "bench@bench.local", "--password", "benchbench",
        "--user-token", TOKEN, "--enable-legacy-api-token", "--log-level", "ERROR",
    ]  # fmt: skip
    with served.serving(command, port, folder / "log", "/health", environment(data)) as server:
        if not kept.exists():
            shutil.copytree(data, kept)
        yield server


def accounts(data: Path, people: Sequence[str]) -> dict[str, str]:
    """Make the annotators, members of the one organisation; their tokens."""
    command = [str(VENV / "bin" / "python"), "-c", _ACCOUNTS, json.dumps(list(people))]
    ended = subprocess.run(
        command, env={**os.environ, **environment(data)}, capture_output=True, text=True, check=False, cwd=data
    )
    line = next((line for line in ended.stdout.splitlines() if line.startswith("TOKENS")), "")
    if not line:
        raise SystemExit(f"Label Studio's accounts were not made: {ended.stderr[-2000:]}")
    return dict(json.loads(line.removeprefix("TOKENS")))


def environment(data: Path) -> dict[str, str]:
    """What Label Studio reads from the environment."""
    return {**_QUIET, "LABEL_STUDIO_BASE_DATA_DIR": str(data)}


def install() -> None:
    """Make the virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(VENV / "bin" / "pip"), "install", "--quiet", f"label-studio=={VERSION}"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true")
    if parser.parse_args().install:
        install()
