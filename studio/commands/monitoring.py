"""`monitor NAME`: what a project's models served and how they did, limits and alerts; `--drift`, `--label-these`.

The JSON: {"project", "production" (run id or ''), "start", "end", "figures" (of the whole time), "buckets" (the same by
stretches of `seconds`), "alerts", "watch", "drift" (the newest look, or null), "labeled" (requests that became
examples, by reason)}. Figures: "requests", "answered", "errors", "rejected", "left", "p50_ms", "p95_ms",
"first_p50_ms", "first_p95_ms", "prompt_tokens", "answer_tokens", "tokens_per_second", "error_rate", "up", "down",
"up_share", "refusal_rate", "form_failure_rate", "confidence"; null where nothing says.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from storage.database import Database
from storage.deployments import in_production
from storage.projects import find_project
from storage.records import Project
from storage.serving_records import Alert, Bucket
from studio.commands import Outcome, opened
from studio.deploy import monitoring
from studio.deploy.drifting import look_for_drift, newest_drift
from studio.deploy.label_these import REASONS, candidates, count_taken, label_these
from studio.deploy.traffic import take_up_all
from studio.errors import BadInput
from studio.settings import USER, Workspace

_SHARES = ("tokens_per_second", "error_rate", "up_share", "refusal_rate", "form_failure_rate")
_MOST_CHUNKS = 1 << 30


def add_monitor_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `monitor`."""
    parser.add_argument("name", help="the project")
    parser.add_argument("--hours", type=float, default=24.0, help="how far back (default: 24)")
    parser.add_argument("--points", type=int, default=48, help="into how many stretches of time (default: 48)")
    parser.add_argument("--drift", action="store_true", help="compare the prompts with the training snapshot first")
    parser.add_argument("--label-these", action="store_true", help="put requests that went badly into the queue")
    parser.add_argument("--most", type=int, default=200, help="requests that --label-these takes at the most")
    parser.add_argument("--limit", action="append", default=[], metavar="KIND=VALUE", help="set a limit; '' ends it")
    parser.add_argument("--webhook", help="where alerts are sent; '' for nowhere")
    parser.add_argument("--by", default=USER, help="who does this")


def monitor(workspace: Workspace, flags: Namespace) -> Outcome:
    """`monitor NAME [--hours H] [--drift] [--label-these] [--limit KIND=VALUE …] [--webhook URL]`."""
    if not 0 < flags.hours <= 24 * 3660 or not 1 <= flags.points <= 1000:
        raise BadInput("Look back over more than 0 hours (10 years at the most), in 1 to 1,000 stretches.")
    now = datetime.now(UTC)
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        take_up_all(db, workspace, _MOST_CHUNKS)
        if flags.limit or flags.webhook is not None:
            _set_limits(db, project, flags)
        if flags.drift:
            look_for_drift(db, workspace, project.id, now)
        for alert in monitoring.look(db, workspace, now):
            monitoring.wait_for_delivery(alert)
        made = None
        if flags.label_these:
            chosen = candidates(db, project.id, now, most=max(1, flags.most))
            made = label_these(db, flags.by, project.id, chosen)
        data = _data(db, project, now, flags)
    if made is not None:
        data["made"] = {"examples": made.examples, "requests": made.taken, "left_out": made.left_out}
        return Outcome(data, f"{made.taken:,} requests became {len(made.examples):,} new examples to label.")
    return Outcome(data)


def _set_limits(db: Database, project: Project, flags: Namespace) -> None:
    watch = monitoring.watch_of(db, project.id)
    limits = dict(watch.thresholds) if watch else {}
    for given in flags.limit:
        kind, _, value = given.partition("=")
        if not value:
            limits.pop(kind, None)
            continue
        try:
            limits[kind] = float(value)
        except ValueError:
            raise BadInput(f"A limit is a number, such as error_rate=0.05; '{value[:40]}' is none.") from None
    monitoring.set_watch(db, project.id, limits, flags.by, flags.webhook)


def _data(db: Database, project: Project, now: datetime, flags: Namespace) -> dict[str, object]:
    found = monitoring.figures(db, project.id, now - timedelta(hours=flags.hours), now, flags.points)
    drift, taken = newest_drift(db, project.id), count_taken(db, project.id)
    return {
        "project": project.name,
        "production": in_production(db, project.id),
        "start": found.start.isoformat(),
        "end": found.end.isoformat(),
        "seconds": found.seconds,
        "figures": figures_json(found.overall),
        "buckets": [{"start": one.start.isoformat(), **figures_json(one)} for one in found.buckets],
        "alerts": [alert_json(one) for one in monitoring.list_alerts(db, project.id)],
        "watch": dict(found.watch.thresholds) if found.watch else {},
        "drift": {"at": drift.created_at.isoformat(), **drift.report} if drift else None,
        "labeled": {reason: taken.get(reason, 0) for reason in REASONS},
    }


def figures_json(bucket: Bucket) -> dict[str, object]:
    """The figures of a stretch of time as plain values (see this module)."""
    plain = {name: value for name, value in asdict(bucket).items() if name not in ("start", "work_seconds")}
    return plain | {name: getattr(bucket, name) for name in _SHARES}


def alert_json(alert: Alert) -> dict[str, object]:
    """An alert as plain values."""
    return {
        "kind": alert.kind,
        "value": alert.value,
        "threshold": alert.threshold,
        "at": alert.created_at.isoformat(),
        "ended": alert.ended_at.isoformat() if alert.ended_at else None,
        "delivery": alert.delivery,
    }
