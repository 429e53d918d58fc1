"""How served models do: figures over time from the requests that were taken up, limits on them, and alerts.

A figure is held against its limit over the last hour, and only where it rests on enough requests to mean something. An
alert is raised once and ends when the figure is within its limit again. What it leaves out: drift of the prompts
(studio.deploy.drift), and sending alerts anywhere (studio.deploy.webhook).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.audit import record_in
from storage.database import Database
from storage.projects import get_project
from storage.serving_records import Alert, Bucket, Watch
from storage.traffic import buckets, forget_texts, list_feedback, served_between
from storage.watches import (
    add_watch,
    end_alert,
    get_watch,
    list_alerts,
    newest_drift,
    raise_alert,
    watched_projects,
)
from studio.deploy.webhook import checked_url, send, wait_for_delivery
from studio.errors import BadInput
from studio.language import mark, tr
from studio.settings import Workspace

__all__ = [
    "KINDS",
    "Alert",
    "Bucket",
    "Monitor",
    "Watch",
    "figures",
    "forget_old",
    "last_requests",
    "list_alerts",
    "list_feedback",
    "look",
    "overall",
    "set_watch",
    "wait_for_delivery",
    "watch_of",
]

WINDOW = timedelta(hours=1)
"""The time whose figures are held against the limits."""

MOST_DAYS = 3650
_SHARE, _POSITIVE = mark("{figure}: the limit is 0 to 1."), mark("{figure}: the limit is 0 or more.")
LEAST = 20
"""Requests (ratings, answers with a text, answers with a form) that a share has to rest on before it alerts."""


@dataclass(frozen=True)
class Kind:
    """A figure that can be watched: words for people, its value from a bucket, what it rests on, and whether it is bad
    `below` its limit (else above). `share`: it lies between 0 and 1."""

    words: str
    value: Callable[[Bucket], float | None]
    rests_on: Callable[[Bucket], int]
    below: bool = False
    share: bool = True


KINDS: Mapping[str, Kind] = {
    "p95_ms": Kind(mark("Latency p95 (ms)"), lambda b: b.p95_ms, lambda b: b.answered, share=False),
    "error_rate": Kind(mark("Error rate"), lambda b: b.error_rate, lambda b: b.requests),
    "feedback": Kind(mark("Thumbs up"), lambda b: b.up_share, lambda b: b.rated, below=True),
    "refusal_rate": Kind(mark("Refusals"), lambda b: b.refusal_rate, lambda b: b.texts),
    "form_failure_rate": Kind(mark("Answers out of form"), lambda b: b.form_failure_rate, lambda b: b.forms),
    "tokens_per_second": Kind(
        mark("Tokens a second"), lambda b: b.tokens_per_second, lambda b: b.answered, below=True, share=False
    ),
    "drift": Kind(mark("Drift of prompts"), lambda b: None, lambda b: 0),
}
"""What can be watched. `drift` alerts where the newest look at the prompts found one; its limit is the p-value."""


@dataclass(frozen=True)
class Monitor:
    """What a monitor shows of a project: figures by stretches of time and in all, the limits, alerts that are open."""

    project_id: str
    start: datetime
    end: datetime
    seconds: float
    buckets: tuple[Bucket, ...]
    overall: Bucket
    watch: Watch | None
    alerts: tuple[Alert, ...]


def figures(
    db: Database, project_id: str, start: datetime, end: datetime, points: int = 60, run_id: str | None = None
) -> Monitor:
    """The figures of a stretch of time, as about `points` stretches of whole minutes (seconds where it is short).

    Raises BadInput for a stretch that ends before it begins, NotFound.
    """
    get_project(db, project_id)
    length = (end - start).total_seconds()
    if length <= 0:
        raise BadInput("The time to look at has to end behind its begin.")
    unit = 60.0 if length >= 60.0 * points else 1.0
    seconds = unit * max(1, math.ceil(length / max(1, points) / unit))
    found = buckets(db, project_id, start, end, seconds, run_id)
    return Monitor(
        *(project_id, start, end, seconds, tuple(found), overall(db, project_id, start, end, run_id)),
        *(get_watch(db, project_id), tuple(list_alerts(db, project_id, only_open=True))),
    )


def overall(db: Database, project_id: str, start: datetime, end: datetime, run_id: str | None = None) -> Bucket:
    """The figures of a stretch of time as one: quantiles are of all its requests."""
    return buckets(db, project_id, start, end, (end - start).total_seconds(), run_id)[0]


def last_requests(db: Database, project_id: str) -> tuple[datetime, datetime] | None:
    """When a project's first and newest request came; None without any."""
    return served_between(db, project_id)


def set_watch(
    db: Database,
    project_id: str,
    thresholds: Mapping[str, float],
    user: str,
    webhook: str | None = None,
    keep_days: int | None = -1,
) -> Watch:
    """Set the limits of a project, all of them, where alerts are sent ('': nowhere; None: as before), and after how
    many days texts of requests are forgotten (None: never; -1: as before).

    Raises BadInput for a kind that is not in KINDS, a limit or a number of days that cannot be, or a URL that is not
    http(s); NotFound.
    """
    get_project(db, project_id)
    for kind, limit in thresholds.items():
        if kind not in KINDS:
            raise BadInput(tr("'{name}' cannot be watched; there are: {known}.", name=kind, known=", ".join(KINDS)))
        if not math.isfinite(limit) or limit < 0 or (KINDS[kind].share and limit > 1):
            told = _SHARE if KINDS[kind].share else _POSITIVE
            raise BadInput(tr(told, figure=tr(KINDS[kind].words)))
    before = get_watch(db, project_id)
    url = (before.webhook if before else "") if webhook is None else checked_url(webhook)
    days = (before.keep_days if before else None) if keep_days == -1 else keep_days
    if days is not None and not 1 <= days <= MOST_DAYS:
        told = mark("Texts can be kept for 1 to {days:,} days; leave the field empty to keep them for good.")
        raise BadInput(tr(told, days=MOST_DAYS))
    with db.write() as cursor:
        add_watch(cursor, project_id, thresholds, url, user, days)
        record_in(cursor, user, "watch set", project_id, limits=dict(thresholds), webhook=bool(url), keep_days=days)
    kept = get_watch(db, project_id)
    assert kept is not None
    return kept


def watch_of(db: Database, project_id: str) -> Watch | None:
    """What is watched of a project."""
    return get_watch(db, project_id)


def look(db: Database, workspace: Workspace, now: datetime) -> list[Alert]:
    """Hold the last hour of every project against its limits; the alerts that are new. Each is sent to the project's
    webhook on a thread of its own, so this never waits for anybody. To be called every minute or so."""
    raised: list[Alert] = []
    for project_id in watched_projects(db):
        watch = get_watch(db, project_id)
        if watch and watch.thresholds:
            raised += _look_at(db, watch, now)
    return raised


def forget_old(db: Database, now: datetime) -> int:
    """Delete the texts of requests that are older than their project keeps them; how many. To be called now and then.

    Counts stay, and so do examples that were made of them."""
    found = 0
    for project_id in watched_projects(db):
        watch = get_watch(db, project_id)
        if watch and watch.keep_days is not None:
            found += forget_texts(db, project_id, now - timedelta(days=watch.keep_days))
    return found


def _look_at(db: Database, watch: Watch, now: datetime) -> list[Alert]:
    project_id, raised = watch.project_id, []
    hour = overall(db, project_id, now - WINDOW, now)
    for kind in KINDS:
        limit = watch.thresholds.get(kind)
        if limit is None:
            end_alert(db, project_id, kind, now)
            continue
        value, bad = _drift(db, project_id, limit) if kind == "drift" else _held(KINDS[kind], hour, limit)
        if bad and value is not None:
            alert = raise_alert(db, project_id, kind, value, limit, now)
            if alert:
                raised.append(alert)
                if watch.webhook:
                    send(db, watch.webhook, get_project(db, project_id).name, alert)
        elif bad is False:
            end_alert(db, project_id, kind, now)
    return raised


def _held(kind: Kind, hour: Bucket, limit: float) -> tuple[float | None, bool | None]:
    """A figure, and whether it is beyond its limit; None where too few requests say."""
    value = kind.value(hour)
    if value is None or kind.rests_on(hour) < LEAST:
        return value, None
    return value, value < limit if kind.below else value > limit


def _drift(db: Database, project_id: str, limit: float) -> tuple[float | None, bool | None]:
    found = newest_drift(db, project_id)
    if found is None:
        return None, None
    p = found.report.get("p")
    value = float(p) if isinstance(p, (int, float)) else None
    return value, None if value is None else value < limit
