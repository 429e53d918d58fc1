"""Evaluations: start the process that answers and scores, tell how it goes, and read what it found.

Each run has one folder with its newest evaluation, so the page finds it again whatever ended the app meanwhile. Apart
are those that were asked for `beside` that one, on the held-out rows of another snapshot: they never take its place.
What it leaves out: the answers and figures (studio.evaluation), and votes (studio.labeling.comparing).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.accepted import sources_of
from storage.database import Database
from storage.projects import get_project
from storage.records import Project, Run
from storage.runs import get_run, list_runs
from studio.contract.evaluation import REPORT_FILE, ROWS_FILE, SOURCES_FILE, EvalReport, EvalSpec, read_eval_report
from studio.contract.spec import SPEC_FILE
from studio.errors import BadInput, DiskFull, JobFailed, StudioError
from studio.jobs import job_folders
from studio.jobs.engine import where_to_run
from studio.jobs.job_folders import Standing
from studio.jobs.processes import claimed, gives_memory_back, is_alive, spawn
from studio.language import mark, tr
from studio.settings import Workspace

EVALUATION_MODULE = "studio.evaluation"
ORDERS = ("row", "outcome", "base_score", "tuned_score", "base_loss", "tuned_loss")
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Evaluated:
    """How a run's newest evaluation stands, and its report where there is one (an older one while a newer runs)."""

    run: Run
    standing: Standing
    report: EvalReport | None = None


@dataclass(frozen=True)
class EvalRow:
    """A held-out row with both answers; scores as the leading metric gives them to a row, losses in nats a token."""

    row: int
    example_id: str
    prompt: str
    reference: str
    base: str
    tuned: str
    base_score: float
    tuned_score: float
    outcome: str
    base_loss: float | None
    tuned_loss: float | None


@dataclass(frozen=True)
class EvalPage:
    """Some rows, and how many there are in all of the kind asked for."""

    rows: tuple[EvalRow, ...]
    total: int


def start_evaluation(db: Database, workspace: Workspace, run_id: str, *, beside: str = "", **asked: Any) -> Run:
    """Start the evaluation of a run; `asked`: fields of EvalSpec. Answers given before are not given again. `beside`:
    the id of another snapshot on which it is evaluated besides, its own evaluation staying as it is.

    Raises BadInput (no weights yet, one is at work, no held-out rows), BadSpec, NotFound, DiskFull, JobFailed.
    """
    run = get_run(db, run_id)
    if not run.adapter_hash:
        raise BadInput(tr("Run {number} has no weights yet: evaluate it when it has ended.", number=run.number))
    if beside:
        asked = {"snapshot": workspace.snapshots / Path(beside).name, **asked}
    spec = _spec(workspace, get_project(db, run.project_id), run, asked)
    ids = _ids(spec)
    folder = folder_of(workspace, run_id, beside)
    with _LOCK:
        if is_alive(folder):
            words = tr("Run {number} is being evaluated already: wait for it, or cancel it.", number=run.number)
            raise BadInput(words)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "events.jsonl").unlink(missing_ok=True)
            (folder / SOURCES_FILE).write_text(json.dumps(sources_of(db, run.project_id, ids)), encoding="utf-8")
            (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            words = tr("The evaluation cannot be written to {folder}: {reason}.", folder=folder, reason=why)
            raise DiskFull(words) from error
        with claimed(folder) as lock:
            spawn(folder, EVALUATION_MODULE, lock, gives_memory_back())
    return run


def evaluate_ended(db: Database, workspace: Workspace, run_id: str) -> bool:
    """Start the evaluation of a run that has just ended, if its project wants that and there is something to evaluate;
    whether it was started. What stands in the way is said when somebody asks for it."""
    run = get_run(db, run_id)
    if run.spec.get("objective", "sft") != "sft" or not get_project(db, run.project_id).settings.evaluate_runs:
        return False
    try:
        start_evaluation(db, workspace, run_id, ways=False)
    except StudioError:
        return False
    return True


def look_at(workspace: Workspace, run: Run, beside: str = "") -> Evaluated:
    """How a run's newest evaluation stands, or the one on another snapshot `beside` it."""
    folder, found = folder_of(workspace, run.id, beside), standing_of(workspace, run.id, beside)
    stamp = _stamp(folder / REPORT_FILE)
    if stamp is None:
        return Evaluated(run, found)
    try:
        return Evaluated(run, found, _report_of(folder, stamp))
    except JobFailed as error:
        return Evaluated(run, found if found.alive else Standing("failed", words=str(error)))


def standing_of(workspace: Workspace, run_id: str, beside: str = "") -> Standing:
    """How a run's newest evaluation stands, without its report: for those who look every second."""
    words = (mark("The evaluation broke off"), mark("Cancelled: what was answered is kept."))
    return job_folders.standing(folder_of(workspace, run_id, beside), *words)


def cancel_evaluation(workspace: Workspace, run_id: str, beside: str = "") -> None:
    """End a run's evaluation; answers that were given stay."""
    job_folders.end(folder_of(workspace, run_id, beside))


def follow_evaluation(
    workspace: Workspace, run: Run, on_progress: Callable[[float, str], object] = lambda fraction, words: None
) -> EvalReport:
    """See an evaluation to its end; an interrupt cancels it. Raises JobFailed, Cancelled."""
    job_folders.follow(
        lambda: look_at(workspace, run).standing, lambda: cancel_evaluation(workspace, run.id), on_progress
    )
    return read_eval_report(folder_of(workspace, run.id))


def list_rows(
    workspace: Workspace, run_id: str, outcome: str = "", order: str = "row", start: int = 0, count: int = 20
) -> EvalPage:
    """Rows of a run's evaluation: only wins, ties or losses where `outcome` says so, by a key of ORDERS.

    Raises BadInput for another key, JobFailed where there are none.
    """
    if order not in ORDERS:
        known = ", ".join(ORDERS)
        raise BadInput(tr("Rows cannot be sorted by '{order}'; by: {known}.", order=order, known=known))
    path = folder_of(workspace, run_id) / ROWS_FILE
    try:
        table = _table_of(path, _stamp(path))
        if outcome:
            table = table.filter(pc.field("outcome") == outcome)
        table = table.sort_by([(order, "ascending"), ("row", "ascending")])
        rows = tuple(EvalRow(**row) for row in table.slice(start, count).to_pylist())
    except (OSError, KeyError, TypeError, pa.ArrowException) as error:
        raise JobFailed("The rows of this evaluation cannot be read: evaluate again.") from error
    return EvalPage(rows, table.num_rows)


def leaderboard(db: Database, workspace: Workspace, project_id: str) -> list[list[Evaluated]]:
    """The evaluated runs of a project, those on the same held-out rows together: the board with the newest run first,
    on each the best first by its leading metric."""
    boards: dict[tuple[str, str], list[Evaluated]] = {}
    for run in list_runs(db, project_id):
        found = look_at(workspace, run)
        if found.report:
            boards.setdefault((found.report.held_out, found.report.verdict.metric), []).append(found)
    return [sorted(board, key=_rank) for board in boards.values()]


def folder_of(workspace: Workspace, run_id: str, beside: str = "") -> Path:
    """Where a run's newest evaluation lies, or the one on another snapshot `beside` it."""
    name = Path(run_id).name
    return workspace.evaluations / f"{name}.beside" / Path(beside).name if beside else workspace.evaluations / name


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes whenever the file is written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


# Screens look again and again, at every report of a project for its board: a file is read once until it changes.
@lru_cache(maxsize=64)
def _report_of(folder: Path, stamp: tuple[int, int]) -> EvalReport:
    return read_eval_report(folder)


@lru_cache(maxsize=4)
def _table_of(path: Path, stamp: tuple[int, int] | None) -> pa.Table:
    return pq.read_table(path)


def _rank(found: Evaluated) -> float:
    assert found.report is not None
    lead = found.report.metrics[found.report.verdict.metric]
    return -lead.tuned if lead.higher else lead.tuned


def _spec(workspace: Workspace, project: Project, run: Run, asked: dict[str, Any]) -> EvalSpec:
    device, dtype = where_to_run(run.spec)
    settings = project.settings
    known = {
        "run": run.id,
        "runs": workspace.runs,
        "models": workspace.models,
        "snapshot": workspace.snapshots / run.snapshot_id,
        "answers": workspace.evaluations / "answers",
        "metrics": workspace.metrics,
        "base_model": run.base_model,
        "device": device,
        "dtype": dtype,
        "task": project.task,
        "labels": labels_of(project),
        "form_kind": settings.form_kind,
        "form": settings.form,
        "own": tuple(dict.fromkeys(name for line in settings.metrics.splitlines() if (name := line.strip()))),
        "suite": settings.suite,
        "instructions": instructions_of(project),
    }
    try:
        return EvalSpec.model_validate(known | asked)
    except ValidationError as error:
        raise job_folders.unusable(error) from None


def labels_of(project: Project) -> tuple[str, ...]:
    """The names of a project's labels; of ratings, the numbers."""
    if project.task == "rating":
        return tuple(str(number) for number in range(1, project.settings.rating_max + 1))
    return tuple(label.name for label in project.settings.labels)


def instructions_of(project: Project) -> str:
    """What the base is told besides when it is asked how far a prompt alone would go: guidelines and labels."""
    labels = labels_of(project) if project.task in ("classification", "multi-label", "rating") else ()
    several = project.task == "multi-label"
    how = "one or more of these labels, separated by commas," if several else "one of these labels"
    named = f"Answer with {how} and nothing else: {', '.join(labels)}." if labels else ""
    return "\n\n".join(part for part in (project.guidelines.strip(), named) if part)


def _ids(spec: EvalSpec) -> Sequence[str]:
    """The examples of the split. Raises BadInput where there is none."""
    try:
        column = pq.read_table(spec.snapshot / f"{spec.split}.parquet", columns=["example_id"])["example_id"]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BadInput("The run's snapshot cannot be read: verify it on Datasets.") from error
    if not len(column):
        split = tr(spec.split)
        words = tr(
            "The run's snapshot has no {split} rows: freeze one that holds some out, and train on it.", split=split
        )
        raise BadInput(words)
    return [str(one) for one in column.to_pylist()]
