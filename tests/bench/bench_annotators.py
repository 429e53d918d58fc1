"""Many annotators at once: throughput and latency of the labeling routes, and whether the queue keeps its word.

    python tests/bench/bench_annotators.py [--annotators 50,200,400] [--overlaps 1,3] [--submits 5000] [--think 2]
                                           [--no-saturation] [--expiry] [--label-studio [--peer-seconds 45]]

The app under test is `python app.py` on a fresh workspace. Each annotator has an account and logs in through the form;
requests are those of the page (tests/bench/crowd.py): desk, a draft while typing, submit, renewals, now and then a skip
or an undo. Thinking takes an exponentially distributed time with the mean given. After the runs the app is stopped and
what every annotator was told is compared with the database (tests/bench/crowd_check.py). "Latency" is that of a submit,
which brings the next card with it, measured by the client, which shares the machine with the server.
`--label-studio` does the same work (next task and submit) against Label Studio, with and without thinking, and prints
the ratios; see tests/bench/label_studio.py for how it is installed and served.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from storage.database import connect  # noqa: E402
from storage.projects import create_project  # noqa: E402
from storage.records import Settings  # noqa: E402
from storage.users import put_user  # noqa: E402
from studio.settings import Workspace, open_workspace  # noqa: E402
from tests.bench import served  # noqa: E402
from tests.bench.bench_start import cpu_name  # noqa: E402
from tests.bench.crowd import Log, Plan, log_in, quantile, work  # noqa: E402
from tests.bench.crowd_check import Verdict, check  # noqa: E402

PASSWORD = "correct horse battery staple"
INSERT_EXAMPLES = """
INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at)
SELECT replace(uuid()::VARCHAR, '-', ''), $project, '[["user", "Question number ' || n || ': where is my parcel?"]]',
       '', sha256($project || n), 'bench', 'todo', now()::TIMESTAMP
FROM range($count) r(n) ORDER BY n
"""


@dataclass(frozen=True)
class Setting:
    """One run of a crowd."""

    annotators: int
    overlap: int
    plan: Plan
    examples: int

    @property
    def name(self) -> str:
        """How the table calls it."""
        thinking = f"{self.plan.think:g} s" if self.plan.think else "none"
        return f"{self.annotators:>4} annotators  overlap {self.overlap}  thinking {thinking:>5}"


@dataclass(frozen=True)
class Result:
    """What came of it. `cpu_milliseconds`: processor time of the server for one acknowledged submit."""

    setting: Setting
    log: Log
    verdict: Verdict
    cpu_milliseconds: float
    memory_bytes: int


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    """Run the bench and print its figures."""
    options = parse(arguments)
    planned = settings(options)
    print(f"Python {platform.python_version()}, duckdb {version('duckdb')}, uvicorn {version('uvicorn')}, ", end="")
    print(f"aiohttp {version('aiohttp')}; {cpu_name()}, {os.cpu_count()} threads")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder) / "workspace", planned)
    show(results)
    if options.label_studio:
        from tests.bench import label_studio

        label_studio.compare(results, options.peer_seconds)
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"type": lambda text: [int(word) for word in text.split(",")]}
    parser.add_argument("--annotators", default=[50, 200, 400], **numbers)
    parser.add_argument("--overlaps", default=[1, 3], **numbers)
    parser.add_argument("--submits", type=int, default=5000, help="of each setting (default: %(default)s)")
    parser.add_argument("--think", type=float, default=2.0, help="mean seconds (default: %(default)s)")
    parser.add_argument("--skips", type=float, default=0.02, help="share of the acts (default: %(default)s)")
    parser.add_argument("--undos", type=float, default=0.01, help="share of the acts (default: %(default)s)")
    parser.add_argument("--no-saturation", action="store_true", help="leave out the runs without thinking")
    parser.add_argument("--expiry", action="store_true", help="a run more in which leases run out in people's hands")
    parser.add_argument("--label-studio", action="store_true", help="the same work against Label Studio")
    parser.add_argument("--peer-seconds", type=float, default=45.0, help="of each run against Label Studio")
    return parser.parse_args(arguments)


def settings(options: argparse.Namespace) -> list[Setting]:
    """The runs that the command line asks for, in order."""
    submits = options.submits
    busy = Plan(submits, options.think, skips=options.skips, undos=options.undos)
    found = [Setting(people, overlap, busy, 0) for overlap in options.overlaps for people in options.annotators]
    if not options.no_saturation:
        found += [Setting(people, 1, Plan(submits, 0.0, drafts=False), 0) for people in options.annotators]
    if options.expiry:
        dozing = Plan(min(submits, 1000), 0.1, naps=0.1, nap_seconds=2.5)
        found += [Setting(options.annotators[0], overlap, dozing, 0) for overlap in options.overlaps]
    return [Setting(one.annotators, one.overlap, one.plan, room(one)) for one in found]


def room(setting: Setting) -> int:
    """Examples enough that nobody waits, few enough that all meet at the same ones."""
    return setting.plan.submits * 11 // (10 * setting.overlap) + 2 * setting.annotators


def measure(root: Path, planned: Sequence[Setting]) -> list[Result]:
    """Run each setting against one app, then stop it and check each against its database."""
    workspace = open_workspace(root)
    people = [f"annotator-{number}" for number in range(max(one.annotators for one in planned))]
    projects = prepare(workspace, people, planned)
    logs, costs, memory = [], [], []
    with served.studio(root) as app:
        cookies = log_in(app.url, people, PASSWORD)
        for setting, project in zip(planned, projects, strict=True):
            print(f"{setting.name} …", file=sys.stderr, flush=True)
            chosen = dict(list(cookies.items())[: setting.annotators])
            before = app.cpu_seconds()
            logs.append(work(app.url, project, chosen, setting.plan))
            costs.append(1000 * (app.cpu_seconds() - before) / max(logs[-1].accepted, 1))
            memory.append(app.memory_bytes())
    verdicts = [
        check(log, workspace.database, project, one.overlap)
        for log, project, one in zip(logs, projects, planned, strict=True)
    ]
    return [Result(*row) for row in zip(planned, logs, verdicts, costs, memory, strict=True)]


def prepare(workspace: Workspace, people: Sequence[str], planned: Sequence[Setting]) -> list[str]:
    """A project with examples for each setting, and the accounts (one hash for all: 400 would take minutes)."""
    from argon2 import PasswordHasher

    db = connect(workspace.database, workspace.backups)
    projects = []
    for number, setting in enumerate(planned):
        minutes = 1 / 60 if setting.plan.naps else 10.0
        project = create_project(
            db, f"Bench {number}", settings=Settings(overlap=setting.overlap, lease_minutes=minutes)
        )
        with db.write() as cursor:
            cursor.execute(INSERT_EXAMPLES, {"project": project.id, "count": setting.examples})
        projects.append(project.id)
    hashed = PasswordHasher().hash(PASSWORD)
    with db.write() as cursor:
        for name in people:
            put_user(cursor, name, "annotator", hashed)
    db.close()
    return projects


def show(results: Sequence[Result]) -> None:
    """Print a line a setting, then what the database says."""
    print(f"{'':47}{'submits/s':>10}{'median ms':>11}{'p95':>8}{'p99':>8}{'CPU ms':>8}{'MB':>6}")
    for result in results:
        times = result.log.milliseconds("submit")
        middle, high, higher = (quantile(times, share) for share in (0.5, 0.95, 0.99))
        print(
            f"{result.setting.name:47}{result.log.per_second:>10.1f}{middle:>11.1f}{high:>8.1f}{higher:>8.1f}"
            f"{result.cpu_milliseconds:>8.2f}{result.memory_bytes / 1e6:>6.0f}"
        )
    for result in results:
        print(f"{result.setting.name:47} {'clean' if result.verdict.clean else 'NOT CLEAN'}: {result.verdict}")
        for failure in result.log.failures()[:3]:
            print(f"    {failure.kind} answered {failure.status}: {failure.message[:200]}")


if __name__ == "__main__":
    sys.exit(0 if all(result.verdict.clean for result in main()) else 1)
