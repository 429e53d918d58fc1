"""kill -9 of the app at random moments, while annotators work and a run trains: is every acknowledged answer there?

    python tests/bench/drill_kill.py [--kills 200] [--annotators 20] [--think 0.2] [--seed 1] [--save]

Each round starts `python app.py` on the same workspace, lets the crowd (tests/bench/crowd.py: desks, drafts, submits,
skips over HTTP) work, and kills the app at a random moment; every fifth kill comes while the app starts. Then the
database is copied as the kill left it, and in the copy is looked for: answers that were acknowledged in any round and
are gone (lost) or there twice, rows that nobody sent, rows that do not fit each other (storage.consistency), leases
that are too long, too many or of answered examples, and whether the run's events were taken up. Survived is a kill
with none of these. The run is a stand-in that keeps the process contract (tests/jobs/fake_training.py); real trainers
are killed in drill_jobs. Seconds are from starting the process to a page, on a machine that also runs crowd and run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from storage.consistency import find_broken  # noqa: E402
from storage.copying import copy_database  # noqa: E402
from storage.database import connect  # noqa: E402
from storage.opening import quiet, remove_database  # noqa: E402
from storage.runs import create_run, get_run  # noqa: E402
from studio.jobs.processes import ask_to_stop, claimed, is_alive, spawn  # noqa: E402
from studio.jobs.runs import sync_runs  # noqa: E402
from studio.settings import Workspace, open_workspace  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.bench_annotators import Setting, prepare  # noqa: E402
from tests.bench.crowd import Log, Plan, Seen, work  # noqa: E402
from tests.bench.faulty import App, fake_spec, sessions, started  # noqa: E402
from tests.bench.reliability import kill_rows  # noqa: E402

LEASE_SECONDS = 600.0
_MOST_ANSWERS = 120
_LONGEST = 30.0


@dataclass
class Round:
    """One kill: what was acknowledged until it, and every word of what is wrong after it."""

    number: int
    while_starting: bool
    start_seconds: float | None
    acknowledged: int = 0
    wrong: list[str] = field(default_factory=list)
    run_step: int = 0


@dataclass(frozen=True)
class Found:
    """The drill's sums: kills tried and survived, acknowledged answers tried and lost."""

    tried: int
    survived: int
    while_starting: int
    acknowledged: int
    lost: int
    repeated: int
    unknown: int
    broken: int
    leases: int
    runs_taken_up: int
    run_done: bool
    start_seconds_median: float
    start_seconds_most: float


def main(arguments: Sequence[str] | None = None) -> Found:
    """Kill, look, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--think", type=float, default=0.2, help="mean seconds before an act")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep the page in results/")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found, rounds = drill(Path(folder) / "workspace", options)
    figures = asdict(found)
    lines = [*table(found, rounds), *kill_rows(figures), json.dumps(figures)]
    print("\n".join(lines))
    if options.save:
        note = f"--kills {options.kills} --annotators {options.annotators} --think {options.think:g}"
        saved.save("kill-cpu", "drill_kill", f"{note} --seed {options.seed}", lines, os.cpu_count() or 1)
    return found


def drill(root: Path, options: argparse.Namespace) -> tuple[Found, list[Round]]:
    """All rounds on one workspace, and a last start that ends in good order."""
    workspace, chance = open_workspace(root), random.Random(options.seed)
    people = [f"annotator-{number}" for number in range(options.annotators)]
    plan = Plan(10**9, options.think, skips=0.05, seconds=60)
    (project,) = prepare(workspace, people, [Setting(len(people), 1, plan, 150 * options.kills + 500)])
    run_id = start_stand_in(workspace, project)
    crowd = Crowd(project, plan, sessions(workspace, people))
    rounds: list[Round] = []
    try:
        for number in range(options.kills):
            rounds.append(one_round(workspace, crowd, number, chance, run_id))
            if rounds[-1].wrong or number % 10 == 9:
                print(f"kill {number + 1}: {rounds[-1].wrong or 'survived'}", file=sys.stderr, flush=True)
    finally:
        ask_to_stop(workspace.runs / run_id)
    with started(root, root.parent / "app.log"):
        pass
    db = connect(workspace.database, workspace.backups)
    sync_runs(db, workspace)
    done = get_run(db, run_id).state == "stopped"
    db.close()
    return sums(rounds, done), rounds


@dataclass
class Crowd:
    """The annotators over all rounds, and all they were told."""

    project: str
    plan: Plan
    cookies: dict[str, str]
    seen: list[Seen] = field(default_factory=list)


def one_round(workspace: Workspace, crowd: Crowd, number: int, chance: random.Random, run_id: str) -> Round:
    """Start, let them work, kill, look."""
    while_starting = number % 5 == 4
    app = App(workspace.root, workspace.root.parent / "app.log")
    made = Round(number, while_starting, None)
    try:
        if while_starting:
            time.sleep(chance.uniform(0, 6))
        else:
            made.start_seconds = app.wait()
            made.acknowledged = _work_until_killed(app, crowd, number, chance)
    finally:
        app.kill()
    copy = workspace.root.parent / "copy.duckdb"
    copy_database(workspace.database, copy)
    try:
        with quiet(copy) as cursor:
            made.wrong = look(cursor, crowd)
            row = cursor.execute("SELECT state, step FROM runs WHERE id = ?", [run_id]).fetchone()
            made.run_step = int(row[1]) if row and row[0] == "training" else 0
    finally:
        remove_database(copy)
    return made


def _work_until_killed(app: App, crowd: Crowd, number: int, chance: random.Random) -> int:
    """The moment is drawn from what was acknowledged, so that a slow machine is killed at work too."""
    log = Log()
    thread = threading.Thread(target=work, args=(app.url, crowd.project, crowd.cookies, crowd.plan, number, log))
    thread.start()
    wanted, deadline = chance.randint(0, _MOST_ANSWERS), time.monotonic() + _LONGEST
    while log.accepted < wanted and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.2))
    app.kill()
    thread.join(90)
    if thread.is_alive():
        raise SystemExit("the crowd did not come to its end")
    crowd.seen += log.seen
    return log.accepted


def look(cursor: Any, crowd: Crowd) -> list[str]:
    """What is wrong in the database that a kill left, in words that begin with its kind."""
    acts = [one for one in crowd.seen if one.kind in ("submit", "skip")]
    told = Counter(_key(one) for one in acts if one.status == 200)
    sent = Counter(_key(one) for one in acts)
    rows = cursor.execute(
        "SELECT example_id, annotator, action, response FROM annotations WHERE project_id = ?", [crowd.project]
    ).fetchall()
    kept = Counter(rows)
    wrong = [f"lost {count} {key}" for key, count in (told - kept).items()]
    wrong += [f"repeated {key}" for key, count in kept.items() if key in sent and count > sent[key]]
    wrong += [f"unknown {key}" for key in kept if key not in sent]
    wrong += [f"refused {one.kind} {one.status} {one.message}" for one in crowd.seen if one.status not in (0, 200)]
    wrong += [f"broken {one}" for one in find_broken(cursor)]
    return wrong + _leases(cursor, crowd)


def _key(one: Seen) -> tuple[str, str, str, str]:
    return one.example, one.user, one.kind, one.response


def _leases(cursor: Any, crowd: Crowd) -> list[str]:
    """Leases that last longer than one can, two that live on one example, those of examples that are done."""
    rows = cursor.execute(
        "SELECT l.example_id, count(*), max(epoch(l.expires_at)), bool_or(e.status <> 'todo') FROM leases l "
        "JOIN examples e ON e.id = l.example_id WHERE l.project_id = ? AND epoch(l.expires_at) > ? GROUP BY 1",
        [crowd.project, time.time()],
    ).fetchall()
    bad = [row for row in rows if row[1] > 1 or row[2] > time.time() + LEASE_SECONDS + 1 or row[3]]
    return [f"lease {row}" for row in bad]


def start_stand_in(workspace: Workspace, project: str) -> str:
    """A run that takes steps until it is stopped, noted and started as `start_run` does it."""
    run_id = "run-drill"
    folder = workspace.runs / run_id
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(fake_spec(workspace))
    db = connect(workspace.database, workspace.backups)
    create_run(db, run_id, project, "0" * 16, "none", "{}", 10**6)
    db.close()
    with claimed(folder) as lock:
        spawn(folder, "tests.jobs.fake_training", lock, {"FAKE_TRAINING": "slow"})
    deadline = time.monotonic() + 60
    while not (folder / "events.jsonl").exists() and time.monotonic() < deadline and is_alive(folder):
        time.sleep(0.05)
    return run_id


def sums(rounds: Sequence[Round], done: bool) -> Found:
    """What all rounds come to."""
    words = Counter(word.split()[0] for word in {word for one in rounds for word in one.wrong})
    steps = [one.run_step for one in rounds if not one.while_starting]
    starts = sorted(one.start_seconds for one in rounds if one.start_seconds is not None)
    return Found(
        tried=len(rounds),
        survived=sum(not one.wrong for one in rounds),
        while_starting=sum(one.while_starting for one in rounds),
        acknowledged=sum(one.acknowledged for one in rounds),
        lost=words["lost"],
        repeated=words["repeated"],
        unknown=words["unknown"],
        broken=words["broken"] + words["refused"],
        leases=words["lease"],
        runs_taken_up=sum(after > before for before, after in zip([0, *steps], steps, strict=False)),
        run_done=done,
        start_seconds_median=round(starts[len(starts) // 2], 2) if starts else 0.0,
        start_seconds_most=round(starts[-1], 2) if starts else 0.0,
    )


def table(found: Found, rounds: Sequence[Round]) -> list[str]:
    """The figures for people, and the first rounds that were not survived."""
    fit = sum((one.start_seconds or 0) <= 5 for one in rounds if one.start_seconds is not None)
    starts = sum(one.start_seconds is not None for one in rounds)
    served = found.tried - found.while_starting
    lines = [
        f"kill -9 of the app       {found.tried:>6} tried {found.survived:>6} survived",
        f"  of these while starting{found.while_starting:>6}",
        f"acknowledged answers     {found.acknowledged:>6} tried {found.lost:>6} lost, {found.repeated} twice, "
        f"{found.unknown} that nobody sent, {found.broken} that do not fit, {found.leases} leases wrong",
        f"run's events taken up    {found.runs_taken_up:>6} of {served} (a kill may come before the first look); "
        f"stopped and told at the end: {found.run_done}",
        f"starts                   {starts:>6}       median {found.start_seconds_median:.1f} s, "
        f"most {found.start_seconds_most:.1f} s, {fit} within 5 s",
    ]
    bad = [one for one in rounds if one.wrong][:5]
    return lines + [f"    kill {one.number + 1}: {word[:200]}" for one in bad for word in one.wrong[:3]]


if __name__ == "__main__":
    result = main()
    sys.exit(0 if result.survived == result.tried and result.run_done else 1)
