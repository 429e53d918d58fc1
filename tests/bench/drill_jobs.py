"""kill -9 of a trainer, an evaluator and an inference server at random moments: is the state true, can it go on?

    python tests/bench/drill_jobs.py [--kills 10] [--seed 1] [--save]

So many kills of each kind, on a tiny random model. A kill comes after a random share of the time that one whole job
of its kind took; a job that had said its last word by then is not counted, and another is begun. Survived is a kill
after which, within 10 seconds, the app's own look says `failed` with a sentence, and no process of the job's session is
left; after which the run or evaluation is taken up again and comes to its end, and the server answers when it is
started anew. A trained run has to end with the same weights, bit for bit, as one that was never killed. GPU memory is
looked at where there is an NVIDIA driver, and said to be not looked at elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from storage.annotations import annotate  # noqa: E402
from storage.database import Database, connect  # noqa: E402
from storage.projects import create_project  # noqa: E402
from storage.records import Run  # noqa: E402
from studio.contract.events import read_all  # noqa: E402
from studio.data.snapshots import freeze  # noqa: E402
from studio.jobs import evaluating, serving  # noqa: E402
from studio.jobs.processes import ask_to_stop, is_alive  # noqa: E402
from studio.jobs.runs import follow_run, get_run, resume_run, start_run, sync_runs  # noqa: E402
from studio.settings import Workspace, open_workspace  # noqa: E402
from tests import tiny  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.reliability import jobs_rows  # noqa: E402
from tests.labeling.samples import put_examples  # noqa: E402

_TRUE_SECONDS = 10.0


@dataclass
class Tally:
    """One kind of job: kills tried and survived, and words for those that were not."""

    kind: str
    tried: int = 0
    survived: int = 0
    before_first_word: int = 0
    slowest_look: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where the jobs run, and a finished run that was never killed."""

    db: Database
    workspace: Workspace
    snapshot: str
    base: str
    whole: Run


def main(arguments: Sequence[str] | None = None) -> list[Tally]:
    """Kill, look, go on, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each kind (default: %(default)s)")
    parser.add_argument("--kinds", default="trainer,evaluator,server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep the page in results/")
    options = parser.parse_args(arguments)
    kinds = {"trainer": kill_trainer, "evaluator": kill_evaluator, "server": kill_server}
    chance, tallies = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder))
        for kind in options.kinds.split(","):
            tallies.append(Tally(kind))
            kinds[kind](place, tallies[-1], options.kills, chance)
        place.db.close()
    figures = {one.kind: asdict(one) for one in tallies}
    lines = [*table(tallies), *jobs_rows(figures), json.dumps(figures)]
    print("\n".join(lines))
    if options.save:
        saved.save("jobs-cpu", "drill_jobs", f"--kills {options.kills} --seed {options.seed}", lines, 1)
    return tallies


def prepare(folder: Path) -> Place:
    """A tiny model, a snapshot of 40 pairs, and a run that nobody kills."""
    workspace = open_workspace(folder / "workspace")
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Drill")
    texts = [f"Question {number}: where is my parcel?" for number in range(40)]
    for number, example in enumerate(put_examples(db, project.id, texts)):
        annotate(db, example, "me", "submit", f"On its way, number {number}.")
    base = str(tiny.make_model(folder / "base"))
    snapshot = freeze(db, workspace, project.id, 0.1, 0.2).snapshot.id
    whole = _ended(db, workspace, _start(db, workspace, snapshot, base))
    if whole.state != "done":
        raise SystemExit(f"the run that nobody killed ended as {whole.state}: {whole.message}")
    return Place(db, workspace, snapshot, base, whole)


def kill_trainer(place: Place, tally: Tally, kills: int, chance: random.Random) -> None:
    """Runs killed at random moments and resumed."""
    db, workspace = place.db, place.workspace
    seconds = (place.whole.ended_at - place.whole.created_at).total_seconds() if place.whole.ended_at else 10.0
    for _ in _rounds(tally, kills):
        run = _start(db, workspace, place.snapshot, place.base)

        def look(run_id: str = run.id) -> str:
            sync_runs(db, workspace)
            found = get_run(db, run_id)
            return found.message if found.state == "failed" else ""

        if not _kill(workspace.runs / run.id, chance.uniform(0, seconds), look, tally):
            continue  # it was done before the kill came
        resume_run(db, workspace, run.id)
        ended = _ended(db, workspace, run)
        same = ended.adapter_hash == place.whole.adapter_hash
        _count(tally, ended.state == "done" and same, f"resumed it ended as {ended.state}, same weights: {same}")


def kill_evaluator(place: Place, tally: Tally, kills: int, chance: random.Random) -> None:
    """Evaluations killed at random moments and started again."""
    db, workspace, run = place.db, place.workspace, place.whole
    folder = evaluating.folder_of(workspace, run.id)
    began = time.monotonic()
    evaluating.start_evaluation(db, workspace, run.id, ways=False)
    expected = evaluating.follow_evaluation(workspace, run)
    seconds = time.monotonic() - began
    for _ in _rounds(tally, kills):
        shutil.rmtree(workspace.evaluations, ignore_errors=True)  # kept answers would make it too short to be met
        evaluating.start_evaluation(db, workspace, run.id, ways=False)

        def look() -> str:
            found = evaluating.standing_of(workspace, run.id)
            return found.words if found.state == "failed" else ""

        if not _kill(folder, chance.uniform(0, seconds), look, tally):
            continue
        evaluating.start_evaluation(db, workspace, run.id, ways=False)
        report = evaluating.follow_evaluation(workspace, run)
        same = report.metrics == expected.metrics
        _count(tally, same, "started again it found other figures")


def kill_server(place: Place, tally: Tally, kills: int, chance: random.Random) -> None:
    """Servers killed while they load or answer, and started again."""
    db, workspace, run = place.db, place.workspace, place.whole
    for _ in _rounds(tally, kills):
        folder = serving.start_serving(db, workspace, [run.id])
        if chance.random() < 0.5:
            serving.wait_until_serving(folder)
            _ask(folder)

        def look(folder: Path = folder) -> str:
            found = serving.serving_standing(folder)
            return found.standing.words if found.standing.state == "failed" and not found.ready else ""

        _kill(folder, chance.uniform(0, 3), look, tally)
        again = serving.start_serving(db, workspace, [run.id])
        serving.wait_until_serving(again)
        answered = _ask(again)
        serving.stop_serving(again)
        _count(tally, answered, "started again it did not answer")


def _rounds(tally: Tally, kills: int) -> Iterator[None]:
    """As many jobs as that many kills take; gives up after five times as many, where each ends too soon."""
    for _ in range(5 * kills):
        if tally.tried == kills:
            return
        yield


def _start(db: Database, workspace: Workspace, snapshot: str, base: str) -> Run:
    settings = {"max_steps": 30, "device": "cpu", "samples": 0, "evaluations": 2, "lora_rank": 4, "checkpoints": 8}
    return start_run(db, workspace, snapshot, base, settings)


def _ended(db: Database, workspace: Workspace, run: Run) -> Run:
    follow_run(workspace, run.id, lambda event: None)
    sync_runs(db, workspace)
    return get_run(db, run.id)


def _ask(folder: Path) -> bool:
    import httpx

    body = {"model": "base", "messages": [{"role": "user", "content": "Where?"}], "max_tokens": 4}
    url = serving.serving_standing(folder).url
    return httpx.post(f"{url}/chat/completions", json=body, trust_env=False, timeout=120).status_code == 200


def _kill(folder: Path, after: float, look: Callable[[], str], tally: Tally) -> bool:
    """Kill a job's process after so many seconds and note what is wrong; False when it had ended before."""
    session = json.loads((folder / "process.json").read_text())["pid"]
    deadline = time.monotonic() + after
    while time.monotonic() < deadline and is_alive(folder):
        time.sleep(0.01)
    if not is_alive(folder):
        look()
        return False
    spoken = (folder / "events.jsonl").exists()
    # Only the job's own process: what it started must go by itself.
    psutil.Process(session).kill()
    killed = time.monotonic()
    while is_alive(folder) and time.monotonic() - killed < _TRUE_SECONDS:
        time.sleep(0.01)
    if [event.kind for event in read_all(folder)][-1:] == ["done"]:
        look()
        return False
    tally.tried += 1
    tally.before_first_word += not spoken
    while not (words := look()) and time.monotonic() - killed < _TRUE_SECONDS:
        time.sleep(0.05)
    tally.slowest_look = max(tally.slowest_look, round(time.monotonic() - killed, 2))
    if not words:
        tally.wrong.append("10 seconds later it was not said to have failed")
    while (left := _session(session)) and time.monotonic() - killed < _TRUE_SECONDS:
        time.sleep(0.05)
    if left:
        tally.wrong.append(f"processes are left: {left}")
        ask_to_stop(folder, hard=True)
    if gpu := _gpu_of(session):
        tally.wrong.append(f"GPU memory is held: {gpu}")
    return True


def _session(session: int) -> list[str]:
    """Living processes of a session."""
    found = []
    for process in psutil.process_iter(["pid", "status", "name"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.info['name']}")
        except (ProcessLookupError, PermissionError):
            continue
    return found


def _gpu_of(pid: int) -> str:
    """What nvidia-smi says that a process holds; '' without a driver."""
    import subprocess

    if not shutil.which("nvidia-smi"):
        return ""
    command = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return "; ".join(line for line in told.splitlines() if line.split(",")[0].strip() == str(pid))


def _count(tally: Tally, good: bool, what: str) -> None:
    if not good:
        tally.wrong.append(what)
    tally.survived = tally.tried - len(tally.wrong)


def table(tallies: Sequence[Tally]) -> list[str]:
    """The figures for people."""
    lines = [
        f"kill -9 of a {one.kind:10} {one.tried:>4} tried {one.survived:>4} survived "
        f"({one.before_first_word} before its first word; state true after {one.slowest_look:.2f} s at the most)"
        for one in tallies
    ]
    lines += [f"    {one.kind}: {word}" for one in tallies for word in one.wrong[:5]]
    gpu = "looked at after each kill" if shutil.which("nvidia-smi") else "not looked at: no NVIDIA driver here"
    return [*lines, f"GPU memory: {gpu}"]


if __name__ == "__main__":
    sys.exit(0 if all(one.survived == one.tried for one in main()) else 1)
