"""`why RUN --prompt TEXT [--answer TEXT] [--gradients]`: the training pairs that speak most for an answer."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping

from storage.projects import get_project
from storage.runs import get_run
from studio.commands import Outcome, opened
from studio.contract.chat import Message, conversation
from studio.errors import BadInput
from studio.jobs.why import Explanation, TrainingPair, explain
from studio.settings import Workspace


def why(workspace: Workspace, flags: Namespace) -> Outcome:
    """`why`: {"answer", "nearest", "gradients"}, the lists of {"row", "split", "example", "score", "prompt", "answer"}.

    Without an answer the run's model is asked first; "gradients" is null unless they were asked for.
    """
    if not flags.prompt.strip():
        raise BadInput("The prompt is empty.")
    with opened(workspace) as db:
        run = get_run(db, flags.run)
        system = get_project(db, run.project_id).system_prompt
    turns = conversation([Message("user", flags.prompt)], system)
    asked = {"shown": flags.top} if flags.top is not None else {}
    found = explain(workspace, run.id, turns, flags.answer or "", flags.gradients, _say, **asked)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return Outcome(result(found), found.note)


def result(found: Explanation) -> dict[str, object]:
    """An explanation as JSON shows it."""
    by_gradient = None if found.by_gradient is None else [_row(pair) for pair in found.by_gradient]
    return {"answer": found.answer, "nearest": [_row(pair) for pair in found.nearest], "gradients": by_gradient}


def _row(pair: TrainingPair) -> Mapping[str, object]:
    where = {"row": pair.row, "split": pair.split, "example": pair.example_id, "score": pair.score}
    return where | {"prompt": pair.prompt, "answer": pair.answer}


def _say(fraction: float, words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{fraction:4.0%} {words[:60]:60}", end="", file=sys.stderr, flush=True)
