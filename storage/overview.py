"""How many of what a project has at each station of its loop: a few aggregates, each one look at one table.

What it leaves out: what the figures mean for the next step (studio.jobs.overview).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.database import Database, aware, naive


@dataclass(frozen=True)
class Tally:
    """Where a project's examples stand. `accepted`: pairs that a snapshot would take; `pending` and `flagged` wait for
    a reviewer, `returned` for the person they were sent back to (they are among those `todo` as well)."""

    todo: int = 0
    labeled: int = 0
    skipped: int = 0
    flagged: int = 0
    pending: int = 0
    returned: int = 0
    accepted: int = 0

    @property
    def total(self) -> int:
        """All examples, those that were dropped left out."""
        return self.todo + self.labeled + self.skipped + self.flagged


@dataclass(frozen=True)
class Changes:
    """What came to a project since a moment. `answers` counts submits of other people than the one who asks."""

    answers: int = 0
    imported: int = 0
    decisions: int = 0
    snapshots: int = 0
    runs_done: int = 0
    runs_failed: int = 0
    votes: int = 0
    requests: int = 0
    alerts: int = 0


@dataclass(frozen=True)
class RunBrief:
    """A run that is at work, or ended a little while ago. `project` is its project's name; `step` of `steps`."""

    id: str
    project_id: str
    project: str
    number: int
    state: str
    step: int
    steps: int
    eta_seconds: float | None
    ended_at: datetime | None


def tally(db: Database, project_id: str) -> Tally:
    """One look at the project's examples."""
    rows = db.query(
        "SELECT status, review, count(*) FROM examples WHERE project_id = ? AND status <> 'dropped' GROUP BY ALL",
        [project_id],
    )
    asks = db.one(
        "SELECT coalesce(json_extract_string(settings, '$.review') = 'true', false) FROM projects WHERE id = ?",
        [project_id],
    )
    taken = ("accepted",) if asks and asks[0] else ("accepted", "", "returned")

    def of(status: str = "", *reviews: str) -> int:
        return sum(n for s, review, n in rows if status in ("", s) and (not reviews or review in reviews))

    return Tally(
        todo=of("todo"),
        labeled=of("labeled"),
        skipped=of("skipped"),
        flagged=of("flagged"),
        pending=of("", "pending") - of("flagged", "pending"),
        returned=of("todo", "returned"),
        accepted=of("labeled", *taken),
    )


def count_open_alerts(db: Database, project_id: str) -> int:
    """Figures of a project that are beyond their limits now."""
    row = db.one("SELECT count(*) FROM alerts WHERE project_id = ? AND ended_at IS NULL", [project_id])
    return int(row[0]) if row else 0


def runs_of_late(db: Database, since: datetime) -> list[RunBrief]:
    """Runs of all projects that are at work, or ended since then; the newest last."""
    rows = db.query(
        "SELECT r.id, r.project_id, p.name, r.number, r.state, r.step, r.steps, r.eta_seconds, r.ended_at "
        "FROM runs r JOIN projects p ON p.id = r.project_id "
        "WHERE r.state NOT IN ('done', 'stopped', 'failed') OR r.ended_at >= ? ORDER BY r.created_at",
        [naive(since)],
    )
    return [RunBrief(*(*row[:-1], aware(row[-1]) if row[-1] else None)) for row in rows]


def count_requests(db: Database, project_id: str, since: datetime) -> int:
    """Requests that a project's models were asked since then."""
    row = db.one("SELECT count(*) FROM requests WHERE project_id = ? AND at_time >= ?", [project_id, naive(since)])
    return int(row[0]) if row else 0


def count_taken(db: Database, project_id: str) -> int:
    """Served requests that became examples to label."""
    row = db.one("SELECT count(*) FROM request_examples WHERE project_id = ?", [project_id])
    return int(row[0]) if row else 0


def losses(db: Database, run_id: str, most: int) -> list[float]:
    """The training loss of a run at no more than about `most` of its steps, in their order; nats a target token."""
    rows = db.query(
        "SELECT loss FROM (SELECT seq, json_extract(data, '$.loss')::DOUBLE AS loss, "
        "row_number() OVER (ORDER BY seq) AS nth, count(*) OVER () AS total "
        "FROM run_events WHERE run_id = ? AND kind = 'step') "
        "WHERE loss IS NOT NULL AND ((nth - 1) % greatest(1, total // ?) = 0 OR nth = total) ORDER BY seq",
        [run_id, most],
    )
    return [float(row[0]) for row in rows]


def answers_since(db: Database, project_id: str, user: str, since: datetime) -> int:
    """How many answers a person submitted since then."""
    row = db.one(
        "SELECT count(*) FROM annotations WHERE project_id = ? AND annotator = ? AND action = 'submit' "
        "AND created_at >= ?",
        [project_id, user, naive(since)],
    )
    return int(row[0]) if row else 0


def changes_since(db: Database, project_id: str, user: str, since: datetime) -> Changes:
    """What others and the machine did in a project since then; `user` is who asks."""
    row = db.one(_CHANGES, {"project": project_id, "user": user, "since": naive(since)})  # type: ignore[arg-type]
    return Changes(*(int(number) for number in row)) if row else Changes()


_CHANGES = """
SELECT (SELECT count(*) FROM annotations WHERE project_id = $project AND created_at > $since AND action = 'submit'
            AND source <> 'import' AND annotator <> $user),
       (SELECT count(*) FROM examples WHERE project_id = $project AND created_at > $since),
       (SELECT count(*) FROM reviews WHERE project_id = $project AND created_at > $since AND decision <> 'undo'
            AND reviewer <> $user),
       (SELECT count(*) FROM snapshots WHERE project_id = $project AND created_at > $since),
       (SELECT count(*) FROM runs WHERE project_id = $project AND ended_at > $since AND state = 'done'),
       (SELECT count(*) FROM runs WHERE project_id = $project AND ended_at > $since AND state = 'failed'),
       (SELECT count(*) FROM votes WHERE project_id = $project AND created_at > $since AND choice <> 'undo'
            AND user_name <> $user),
       (SELECT count(*) FROM requests WHERE project_id = $project AND at_time > $since),
       (SELECT count(*) FROM alerts WHERE project_id = $project AND created_at > $since)
"""


def accepted_after(db: Database, project_id: str, moment: datetime) -> int:
    """Accepted pairs whose answer, or its acceptance, is newer than a moment: what a snapshot of then does not have."""
    row = db.one(
        "SELECT count(*) FROM examples e JOIN annotations a ON a.id = e.annotation_id "
        "WHERE e.project_id = $project AND e.status = 'labeled' AND (e.review = 'accepted' OR e.review <> 'pending' "
        "AND NOT (SELECT coalesce(json_extract_string(p.settings, '$.review') = 'true', false) FROM projects p "
        "WHERE p.id = $project)) AND (a.created_at > $moment OR e.id IN (SELECT example_id FROM reviews "
        "WHERE project_id = $project AND decision IN ('accept', 'edit') AND created_at > $moment))",
        {"project": project_id, "moment": naive(moment)},  # type: ignore[arg-type]
    )
    return int(row[0]) if row else 0
