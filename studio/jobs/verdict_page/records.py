"""What the verdict's page is made of: the report, the records of the run, and rows where their texts may go along.

Read in one go, so that the page itself is a pure function. What it leaves out: who may ask (studio.web, studio.ui).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from storage.database import Database
from storage.projects import get_project
from storage.records import Run
from storage.runs import get_run
from storage.snapshots import get_snapshot
from studio.contract.evaluation import EvalReport, read_eval_spec
from studio.contract.events import newest
from studio.contract.export import Records
from studio.contract.judging import JudgeReport
from studio.errors import BadInput, BadSpec, JobFailed, NotFound
from studio.jobs.evaluating import EvalRow, folder_of, labels_of, list_rows, look_at
from studio.jobs.exporting_model import records_of
from studio.jobs.judging import look_at_judge
from studio.language import tr
from studio.settings import Workspace

_ALL = 1_000_000


@dataclass(frozen=True)
class VerdictRecords:
    """One evaluation with where it comes from. `rows` are all of its rows, () without `texts`; `labels` are the names
    that the project's settings give its labels: others stand only in rows. Seeds: of the run in `about.settings`, of
    the snapshot's split, of the evaluation; None where it is not known. `judged`: what a judge found, if one was asked.
    """

    run_id: str
    base_model: str
    report: EvalReport
    about: Records
    made: datetime
    texts: bool
    rows: tuple[EvalRow, ...] = ()
    labels: tuple[str, ...] = ()
    snapshot_id: str = ""
    split_seed: int | None = None
    eval_seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    judged: JudgeReport | None = None


def read_records(db: Database, workspace: Workspace, run_id: str, texts: bool) -> VerdictRecords:
    """Raises NotFound for a run that there is not, BadInput for one that is not evaluated yet."""
    run = get_run(db, run_id)
    report = evaluated(workspace, run)
    judging = look_at_judge(workspace, run)
    return VerdictRecords(
        run_id=run.id,
        base_model=run.base_model,
        report=report,
        about=records_of(db, workspace, run),
        made=datetime.now(UTC),
        texts=texts,
        rows=_rows(workspace, run.id) if texts else (),
        labels=labels_of(get_project(db, run.project_id)),
        snapshot_id=report.snapshot,
        split_seed=_split_seed(db, run),
        eval_seed=_eval_seed(workspace, run.id),
        versions=_versions(workspace, run.id),
        judged=judging.report if not judging.stale else None,
    )


def evaluated(workspace: Workspace, run: Run) -> EvalReport:
    """The report of a run's newest evaluation. Raises BadInput where there is none."""
    report = look_at(workspace, run).report
    if report is None:
        number = run.number
        raise BadInput(
            tr("Run {number} is not evaluated yet: evaluate it first, then save its verdict.", number=number)
        )
    return report


def _rows(workspace: Workspace, run_id: str) -> tuple[EvalRow, ...]:
    try:
        return list_rows(workspace, run_id, count=_ALL).rows
    except JobFailed:
        return ()  # the figures are there all the same


def _split_seed(db: Database, run: Run) -> int | None:
    try:
        return get_snapshot(db, run.snapshot_id, run.project_id).seed
    except NotFound:
        return None


def _eval_seed(workspace: Workspace, run_id: str) -> int | None:
    try:
        return read_eval_spec(folder_of(workspace, run_id)).seed
    except BadSpec:
        return None


def _versions(workspace: Workspace, run_id: str) -> dict[str, str]:
    found = newest(workspace.runs / run_id, "versions")
    return {str(name): str(version) for name, version in found.items()} if isinstance(found, dict) else {}
