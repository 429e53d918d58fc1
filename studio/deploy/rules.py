"""When a project is retrained: its rules, held against what came in since the last time.

Each rule is off until somebody sets it. A rule that fired does not fire again for the same thing: what counts is what
came after the newest retraining began, and none begins while one is under way. Drift and bad feedback say that
something is missing, so those two wait until people have labeled some of it. What it leaves out: the retraining itself
(studio.deploy.retraining).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.accepted import count_accepted
from storage.audit import record, record_in
from storage.database import Database
from storage.deployments import in_production
from storage.projects import get_project
from storage.records import Run
from storage.rules import (
    add_rules,
    begin_retraining,
    count_new_accepted,
    get_rules,
    list_retrainings,
    list_rules,
    newest_retraining,
)
from storage.runs import get_run, list_runs
from storage.serving_records import KeptRules, Retraining, Rules
from storage.traffic import count_thumbs
from storage.watches import newest_drift
from studio.contract.spec import TRAIN_FIELDS
from studio.deploy import sentences
from studio.errors import BadInput, Conflict, NotFound
from studio.settings import Workspace

__all__ = [
    "Due",
    "KeptRules",
    "Retraining",
    "Rules",
    "begin",
    "begin_due",
    "due",
    "get_rules",
    "list_retrainings",
    "reasons_of",
    "retrain_now",
    "set_rules",
]

LEAST_RATINGS = 20
"""Thumbs that the share of those that are up has to rest on."""

LEAST_NEW = 10
"""New accepted examples for which drift and bad feedback wait: without any there is nothing to learn from either."""

_FEEDBACK_AGE = timedelta(days=30)
RULES_USER = "rules"
"""Who began a retraining that a rule began."""


@dataclass(frozen=True)
class Facts:
    """What the rules of a project look at. `since`: when the newest retraining began, or the rules were set; `new`:
    accepted examples that are new to that and to the model in use; `drift_at`: when a look at the prompts behind the
    newest retraining found that they drifted, None where none did; `up` and `down`: thumbs behind it."""

    since: datetime
    new: int
    drift_at: datetime | None
    up: int
    down: int


@dataclass(frozen=True)
class Due:
    """A project that is to be retrained: why, and how. `after`: its newest retraining ('' for none) as it was seen."""

    project_id: str
    reasons: tuple[str, ...]
    accepted: int
    base_model: str
    settings: Mapping[str, object]
    champion_id: str
    after: str


def set_rules(db: Database, project_id: str, rules: Rules, user: str) -> KeptRules:
    """Set the rules of a project, all of them. Raises BadInput for a limit that cannot be, NotFound."""
    get_project(db, project_id)
    if rules.every_examples is not None and not 1 <= rules.every_examples <= 10_000_000:
        raise BadInput("Retrain every 1 to 10,000,000 new accepted examples, or leave that rule off.")
    if rules.every_days is not None and not (math.isfinite(rules.every_days) and 0.01 <= rules.every_days <= 3650):
        raise BadInput("Retrain every 0.01 to 3,650 days, or leave that rule off.")
    below = rules.feedback_below
    if below is not None and not (math.isfinite(below) and 0 < below <= 1):
        raise BadInput("The share of thumbs up below which to retrain lies between 0 and 1.")
    with db.write() as cursor:
        add_rules(cursor, project_id, rules, user)
        record_in(cursor, user, "rules set", project_id, **vars(rules))
    kept = get_rules(db, project_id)
    assert kept is not None
    return kept


def reasons_of(rules: Rules, facts: Facts, now: datetime) -> tuple[str, ...]:
    """Which rules fire, each as a sentence; none where nothing does."""
    found = []
    if rules.every_examples is not None and facts.new >= rules.every_examples:
        found.append(sentences.ENOUGH_NEW.format(new=f"{facts.new:,}", rule=f"{rules.every_examples:,}"))
    if rules.every_days is not None and now - facts.since >= timedelta(days=rules.every_days):
        days = (now - facts.since) / timedelta(days=1)
        found.append(sentences.DAYS_AGO.format(days=f"{days:.3g}", rule=f"{rules.every_days:g}"))
    learns = facts.new >= LEAST_NEW
    if rules.on_drift and learns and facts.drift_at is not None:
        found.append(sentences.DRIFTED.format(when=f"{facts.drift_at:%Y-%m-%d %H:%M}"))
    rated = facts.up + facts.down
    below = rules.feedback_below is not None and rated >= LEAST_RATINGS and facts.up / rated < rules.feedback_below
    if below and learns:
        share, limit = facts.up / rated, rules.feedback_below
        told = {"share": f"{share:.0%}", "rated": f"{rated:,}", "rule": f"{limit:.0%}"}
        found.append(sentences.THUMBS_DOWN.format(**told))
    return tuple(found)


def due(db: Database, workspace: Workspace, now: datetime) -> list[Due]:
    """The projects whose rules fire now; none that is being retrained, and none that never had a run to go by."""
    return [found for kept in list_rules(db) if (found := _due(db, kept, now)) is not None]


def begin(db: Database, found: Due, now: datetime, user: str = RULES_USER) -> Retraining:
    """Begin a retraining that is due. Raises Conflict where one began meanwhile."""
    return begin_retraining(
        db,
        found.project_id,
        found.reasons,
        found.accepted,
        user,
        found.base_model,
        found.settings,
        found.champion_id,
        now,
        found.after,
    )


def begin_due(db: Database, workspace: Workspace, now: datetime) -> list[Retraining]:
    """Begin every retraining that is due. To be called every minute or so."""
    begun = []
    for found in due(db, workspace, now):
        try:
            begun.append(begin(db, found, now))
        except Conflict:
            continue  # somebody began one by hand
    return begun


def retrain_now(db: Database, project_id: str, user: str, now: datetime) -> Retraining:
    """Begin a retraining by hand. Raises Conflict while one is under way, NotFound, and BadInput for a project that
    never had a run that was done."""
    get_project(db, project_id)
    parent = _parent(db, project_id)
    if parent is None:
        raise BadInput("Train this project once by hand: a retraining takes its base model and settings.")
    newest = newest_retraining(db, project_id)
    begun = begin(db, _found(db, project_id, (sentences.ASKED_FOR.format(user=user),), parent, newest), now, user)
    record(db, user, "retraining begin", project_id, begun.id)
    return begun


def _due(db: Database, kept: KeptRules, now: datetime) -> Due | None:
    project_id, newest = kept.project_id, newest_retraining(db, kept.project_id)
    if newest and newest.ended_at is None:
        return None
    parent = _parent(db, project_id)
    if parent is None:
        return None
    reasons = reasons_of(kept.rules, _facts(db, kept, newest, parent, now), now)
    return _found(db, project_id, reasons, parent, newest) if reasons else None


def _facts(db: Database, kept: KeptRules, newest: Retraining | None, parent: Run, now: datetime) -> Facts:
    project_id, rules = kept.project_id, kept.rules
    since = newest.created_at if newest else kept.created_at
    new = up = down = 0
    if rules.every_examples is not None or rules.on_drift or rules.feedback_below is not None:
        new = count_new_accepted(db, project_id, parent.snapshot_id)
        if newest:  # a challenger that was kept out has seen more than the model in production
            new = min(new, count_accepted(db, project_id) - newest.accepted)
    if rules.feedback_below is not None:
        # Feedback from before the rules were set counts, but what a retraining has answered does not.
        begin_at = max(newest.created_at, now - _FEEDBACK_AGE) if newest else now - _FEEDBACK_AGE
        up, down = count_thumbs(db, project_id, begin_at)
    drift = newest_drift(db, project_id) if rules.on_drift else None
    drifted = drift is not None and drift.drifted and (newest is None or drift.created_at > newest.created_at)
    return Facts(since, new, drift.created_at if drift and drifted else None, up, down)


def _found(db: Database, project_id: str, reasons: tuple[str, ...], parent: Run, newest: Retraining | None) -> Due:
    settings = {name: value for name, value in parent.spec.items() if name in TRAIN_FIELDS}
    return Due(
        *(project_id, reasons, count_accepted(db, project_id), parent.base_model, settings),
        *(in_production(db, project_id), newest.id if newest else ""),
    )


def _parent(db: Database, project_id: str) -> Run | None:
    """The run whose base model and settings the next one takes: the one in production, else the newest that is done."""
    try:
        return get_run(db, in_production(db, project_id))
    except NotFound:
        return next((run for run in list_runs(db, project_id) if run.state == "done"), None)
