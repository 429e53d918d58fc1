"""`promote NAME RUN`, `rollback NAME`, `rules NAME …`: what is in production, and when it is trained anew.

The JSON of the first two: {"project", "model" (the name a server answers to), "production" (run id), "run" (number),
"history": [{"run", "number", "kind", "by", "why", "at"}], newest first}; of rules: {"project", "rules":
{"every_examples", "every_days", "on_drift", "feedback_below"}, "retrainings": [{"step", "reasons", "run", "message",
"began", "ended"}], newest first}.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from dataclasses import replace
from datetime import UTC, datetime

from storage.database import Database
from storage.deployments import in_production, list_deployments
from storage.projects import find_project
from storage.records import Project
from storage.runs import list_runs, run_number
from storage.serving_records import Rules
from studio.commands import Outcome, opened
from studio.deploy import production
from studio.deploy import rules as retraining_rules
from studio.errors import NotFound
from studio.settings import USER, Workspace


def add_promote_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `promote`."""
    parser.add_argument("name", help="the project")
    parser.add_argument("run", help="the run: its id, or its number in the project")
    parser.add_argument("--why", default="", help="the reason, kept in the history")
    parser.add_argument("--by", default=USER, help="who does this")


def add_rollback_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `rollback`."""
    parser.add_argument("name", help="the project")
    parser.add_argument("--why", default="", help="the reason, kept in the history")
    parser.add_argument("--by", default=USER, help="who does this")


def add_rules_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `rules`."""
    parser.add_argument("name", help="the project")
    parser.add_argument("--every-examples", type=int, metavar="N", help="retrain every N new accepted examples")
    parser.add_argument("--every-days", type=float, metavar="D", help="retrain every D days")
    parser.add_argument(
        "--on-drift", action="store_true", help="retrain when the prompts have drifted (waits for new labels)"
    )
    parser.add_argument(
        "--feedback-below",
        type=float,
        metavar="X",
        help="retrain when fewer thumbs are up, 0 to 1 (waits for new labels)",
    )
    parser.add_argument("--off", action="store_true", help="turn all rules off, but those named beside it")
    parser.add_argument("--now", action="store_true", help="begin a retraining; the app does the rest")
    parser.add_argument("--by", default=USER, help="who does this")


def promote(workspace: Workspace, flags: Namespace) -> Outcome:
    """`promote NAME RUN [--why TEXT]`: put a finished run into production."""
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        run_id = run_named(db, project, flags.run)
        production.promote(db, workspace, project.id, run_id, flags.by, flags.why)
        return _standing(db, project, "is in production now")


def rollback(workspace: Workspace, flags: Namespace) -> Outcome:
    """`rollback NAME [--why TEXT]`: put back what was in production before."""
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        production.rollback(db, workspace, project.id, flags.by, flags.why)
        return _standing(db, project, "is in production again")


def rules(workspace: Workspace, flags: Namespace) -> Outcome:
    """`rules NAME [--every-examples N] [--every-days D] [--on-drift] [--feedback-below X] [--off] [--now]`: set those
    that are named, and show all."""
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        kept = retraining_rules.get_rules(db, project.id)
        before = kept.rules if kept and not flags.off else Rules()
        given = {
            name: value
            for name in ("every_examples", "every_days", "on_drift", "feedback_below")
            if (value := getattr(flags, name)) is not None and value is not False
        }
        if given or flags.off:
            retraining_rules.set_rules(db, project.id, replace(before, **given), flags.by)
        if flags.now:
            retraining_rules.retrain_now(db, project.id, flags.by, datetime.now(UTC))
        return Outcome(_rules(db, project))


def _rules(db: Database, project: Project) -> dict[str, object]:
    kept = retraining_rules.get_rules(db, project.id)
    begun = retraining_rules.list_retrainings(db, project.id)
    return {
        "project": project.name,
        "rules": vars(kept.rules if kept else Rules()),
        "retrainings": [
            {
                "step": one.step,
                "reasons": list(one.reasons),
                "run": one.run_id,
                "message": one.message,
                "began": one.created_at.isoformat(),
                "ended": one.ended_at.isoformat() if one.ended_at else None,
            }
            for one in begun
        ],
    }


def _standing(db: Database, project: Project, words: str) -> Outcome:
    run_id = in_production(db, project.id)
    number, name = run_number(db, run_id), production.production_name(project.name)
    history = [
        {
            "run": row.run_id,
            "number": run_number(db, row.run_id),
            "kind": row.kind,
            "by": row.user,
            "why": row.why,
            "at": row.created_at.isoformat(),
        }
        for row in list_deployments(db, project.id)
    ]
    data = {"project": project.name, "model": name, "production": run_id, "run": number, "history": history}
    return Outcome(data, f"Run {number} {words}: {name}.")


def run_named(db: Database, project: Project, given: str) -> str:
    """A run by its id, or by its number in the project. Raises NotFound."""
    if not given.isdecimal():
        return given
    for run in list_runs(db, project.id):
        if run.number == int(given):
            return run.id
    raise NotFound(f"'{project.name}' has no run {given[:20]}: `runs` lists them.")
