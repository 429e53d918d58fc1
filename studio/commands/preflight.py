"""`preflight NAME|SNAPSHOT`: what stands between accepted pairs and a good run, each finding with its rows."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial

from storage.database import Database
from storage.projects import find_project, get_project
from storage.records import Project
from storage.snapshots import get_snapshot
from studio.commands import Outcome, opened
from studio.data.preflight_rows import write_rows
from studio.errors import NotFound
from studio.jobs.preflighting import Target, follow_preflight, start_preflight, wait_for_rows
from studio.jobs.reports import read_named
from studio.settings import Workspace


def preflight(workspace: Workspace, flags: Namespace) -> Outcome:
    """`preflight NAME|SNAPSHOT [--model M] [--max-length N]`: exit code 0 with findings too.

    `findings` has {"check", "severity", "rows", "text"} of each, `rows` being all example ids (a table shows how many).
    """
    with opened(workspace) as db:
        project, target = _target(db, flags.name)
        asked = {
            **({"base_model": flags.model} if flags.model else {}),
            **({"max_length": flags.max_length} if flags.max_length is not None else {}),
            "task": project.task,
            "terms": project.settings.identity_terms,
            "allowed": project.settings.allowed_texts,
        }
        rows = partial(write_rows, db, workspace, target.project_id, target.snapshot_id)
        start_preflight(db, workspace, target, asked, rows)
        wait_for_rows(workspace, target)
    look = follow_preflight(workspace, target, _say)
    assert look.report is not None
    named = read_named(look.folder)
    found: list[dict[str, object]] = []
    for index, finding in enumerate(look.report.findings):
        rows_of_it = named.get(index, [])
        shown = rows_of_it if flags.json else len(rows_of_it)
        found.append({"check": finding.check, "severity": finding.severity, "rows": shown, "text": finding.text})
    return Outcome({"findings": found}, _summary(len(found), look.report.rows, look.report.model_problem))


def _target(db: Database, name: str) -> tuple[Project, Target]:
    try:
        project = find_project(db, name)
    except NotFound as no_project:
        try:
            found = get_snapshot(db, name)
        except NotFound:
            raise NotFound(f"There is no snapshot of that id either. {no_project}") from None
        return get_project(db, found.project_id), Target(found.project_id, found.id)
    return project, Target(project.id)


def _say(fraction: float, words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{fraction:4.0%} {words[:60]:60}", end="", file=sys.stderr, flush=True)


def _summary(findings: int, rows: int, problem: str) -> str:
    said = f"{rows:,} rows checked, {findings} finding{'' if findings == 1 else 's'}."
    return f"{said} {problem}" if problem else said
