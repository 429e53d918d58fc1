"""How a project's loop stands: the figures of each station, recent runs, and what came since one's last visit.

What it leaves out: which step is next (studio.jobs.next_step), and how it is shown (studio.ui.home).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.database import Database
from storage.deployments import in_production
from storage.overview import (
    Changes,
    RunBrief,
    Tally,
    accepted_after,
    answers_since,
    changes_since,
    count_open_alerts,
    count_requests,
    count_taken,
    losses,
    runs_of_late,
    tally,
)
from storage.projects import get_project
from storage.records import Project, Run, Snapshot, User
from storage.runs import list_runs, run_number
from storage.snapshots import list_snapshots
from storage.traffic import count_thumbs
from studio.contract.events import ACTIVE_STATES
from studio.jobs.evaluating import look_at
from studio.labeling.queue import Queues
from studio.settings import Workspace

RECENT = 4
"""How many runs the overview has curves of."""

WEEK = timedelta(days=7)
_POINTS = 40
_LATE = timedelta(minutes=30)


@dataclass(frozen=True)
class RunLook:
    """A run with its curve (training losses in nats a target token) and its verdict ('' kind: not evaluated)."""

    run: Run
    losses: tuple[float, ...]
    kind: str = ""
    sentence: str = ""
    needed: int | None = None

    @property
    def active(self) -> bool:
        """Whether a process of it is at work; one that waits or is paused has none."""
        return self.run.state in ACTIVE_STATES


@dataclass(frozen=True)
class Overview:
    """What a project's Home shows. `left`: examples that wait for the person who asks; `today`: their answers of the
    last 24 hours; `fresh`: accepted pairs newer than the newest snapshot; `in_service`: that run's number; `requests`,
    `up` and `down` (thumbs) are of the last seven days; `taken`: requests that became examples, ever. `changes` came
    since `since`; None without an earlier visit."""

    project: Project
    tally: Tally
    left: int
    today: int
    snapshots: int
    newest: Snapshot | None
    fresh: int
    runs: int
    recent: tuple[RunLook, ...]
    in_service: int | None
    in_service_id: str
    requests: int
    up: int
    down: int
    taken: int
    alerts: int
    since: datetime | None = None
    changes: Changes | None = None


@dataclass(frozen=True)
class Badges:
    """Small figures beside the tabs; the three of runs and alerts are empty for those who may not see runs."""

    to_label: int
    to_review: int
    alerts: int = 0
    runs: tuple[RunBrief, ...] = ()


def overview(
    db: Database,
    workspace: Workspace,
    queues: Queues,
    project_id: str,
    user: User,
    since: datetime | None = None,
    now: datetime | None = None,
) -> Overview:
    """Everything that a project's Home shows to a user whose last visit was at `since`. Raises NotFound."""
    now = now or datetime.now(UTC)
    project = get_project(db, project_id)
    found = tally(db, project_id)
    snapshots, runs = list_snapshots(db, project_id), list_runs(db, project_id)
    newest = snapshots[0] if snapshots else None
    serving = in_production(db, project_id)
    up, down = count_thumbs(db, project_id, now - WEEK)
    return Overview(
        project,
        found,
        _left(queues, project, found, user),
        answers_since(db, project_id, user.name, now - timedelta(days=1)),
        len(snapshots),
        newest,
        accepted_after(db, project_id, newest.created_at) if newest else found.accepted,
        len(runs),
        tuple(_look(db, workspace, run) for run in runs[:RECENT]),
        run_number(db, serving) if serving else None,
        serving,
        count_requests(db, project_id, now - WEEK),
        up,
        down,
        count_taken(db, project_id),
        count_open_alerts(db, project_id),
        since,
        changes_since(db, project_id, user.name, since) if since else None,
    )


def badges(db: Database, project_id: str, sees_runs: bool, now: datetime | None = None) -> Badges:
    """The figures beside the tabs for a project; runs of all projects, those that ended up to half an hour ago too."""
    found = tally(db, project_id)
    to_review = found.pending + found.flagged
    if not sees_runs:
        return Badges(found.todo, to_review)
    runs = tuple(runs_of_late(db, (now or datetime.now(UTC)) - _LATE))
    return Badges(found.todo, to_review, count_open_alerts(db, project_id), runs)


def _left(queues: Queues, project: Project, found: Tally, user: User) -> int:
    """Where several people answer each example, one's own answers leave the example in the queue for the others."""
    if project.settings.overlap <= 1 or not found.todo:
        return found.todo
    with queues.locked(project.id) as queue:
        return queue.left_for(user.name)


def _look(db: Database, workspace: Workspace, run: Run) -> RunLook:
    curve = tuple(losses(db, run.id, _POINTS))
    report = look_at(workspace, run).report if run.state == "done" else None
    if report is None:
        return RunLook(run, curve)
    verdict = report.verdict
    return RunLook(run, curve, verdict.kind, verdict.sentence, verdict.needed)
