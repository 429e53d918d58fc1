"""`evaluate RUN`: base and tuned answers to held-out rows and what they show; `leaderboard NAME`: runs by it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from storage.projects import find_project
from studio.commands import Outcome, opened, teller
from studio.contract.evaluation import EvalReport
from studio.jobs.evaluating import Evaluated, follow_evaluation, start_evaluation
from studio.jobs.evaluating import leaderboard as boards_of
from studio.settings import Workspace

_FIGURES = ("base", "tuned", "difference", "low", "high", "p")


def evaluate(workspace: Workspace, flags: Namespace) -> Outcome:
    """`evaluate RUN`: answer the held-out split with base and tuned model; an interrupt cancels, and answers stay."""
    asked: dict[str, Any] = {"split": flags.split, "ways": not flags.no_ways}
    if flags.rows:
        asked["most_rows"] = flags.rows
    with opened(workspace) as db:
        run = start_evaluation(db, workspace, flags.run, **asked)
    report = follow_evaluation(workspace, run, teller())
    return Outcome(result(report), report.verdict.sentence)


def result(report: EvalReport) -> dict[str, object]:
    """A report as one JSON object: rows, metrics and verdict first."""
    metrics = {name: {key: getattr(one, key) for key in _FIGURES} for name, one in report.metrics.items()}
    return {
        "rows": report.rows,
        "metrics": metrics,
        "verdict": report.verdict.sentence,
        "by": report.verdict.metric,
        "run": report.run,
        "held_out": report.held_out,
        "base_is": report.base_is,
        "advice": report.advice,
        "ways": [way.model_dump(exclude={"words"}) for way in report.ways],
        "notes": list(report.notes),
    }


def leaderboard(workspace: Workspace, flags: Namespace) -> Outcome:
    """`leaderboard NAME`: the evaluated runs of a project, those on the same held-out rows together, the best first."""
    with opened(workspace) as db:
        boards = boards_of(db, workspace, find_project(db, flags.name).id)
    found = [{"held_out": _report(board[0]).held_out, "runs": [_line(one) for one in board]} for board in boards]
    return Outcome({"boards": found}, "" if found else "No run is evaluated yet: `python -m studio evaluate RUN`.")


def _report(found: Evaluated) -> EvalReport:
    assert found.report is not None  # only evaluated runs stand on a board
    return found.report


def _line(found: Evaluated) -> dict[str, object]:
    report = _report(found)
    return {
        "run": found.run.id,
        "number": found.run.number,
        "base_model": found.run.base_model,
        "rows": report.rows,
        "metrics": {name: one.tuned for name, one in report.metrics.items()},
        "verdict": report.verdict.sentence,
    }
