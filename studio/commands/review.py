"""The command line's review and agreement: the same functions without a browser.

`review` speaks JSON lines: the next example on stdout, its decision on stdin, and the outcome on stdout. A decision is
{"decision": "accept" | "edit" | "return", "annotation"?, "response"?, "value"?, "comment"?}; it is about the first
answer shown unless `annotation` names another.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from storage.database import Database
from storage.projects import find_project
from storage.records import User
from storage.reviews import Decision
from studio.commands import Outcome, opened
from studio.errors import BadInput
from studio.labeling.agreement import agreement
from studio.labeling.review import Item, Wanted, decide, open_review
from studio.settings import Workspace


def review(workspace: Workspace, flags: Namespace) -> Outcome:
    """`review NAME [--by USER]`: show the next pending example, read one decision, write it."""
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        item = open_review(db, project.id, Wanted()).item
    if item is None:
        return Outcome({"example": None}, "Nothing waits for a reviewer.")
    print(json.dumps(as_json(item), ensure_ascii=False), flush=True)
    line = sys.stdin.readline()
    if not line.strip():
        return Outcome({"example": item.example.id, "decision": None}, "No decision on stdin: nothing was decided.")
    decision = _decision(item, line)
    with opened(workspace) as db:
        decide(db, User(flags.by, "reviewer"), decision, Wanted())
    return Outcome({"example": item.example.id, "decision": decision.decision, "by": flags.by})


def agree(workspace: Workspace, flags: Namespace) -> Outcome:
    """`agreement NAME`: how far the annotators of a project agree."""
    with opened(workspace) as db:
        return Outcome(agreement_of(db, flags.name))


def as_json(item: Item) -> dict[str, Any]:
    """An example with its answers, as a reviewer has to see it."""
    example = item.example
    return {
        "example": example.id,
        "status": example.status,
        "turns": [{"role": turn.role, "content": turn.content} for turn in example.prompt],
        "context": example.context,
        "payload": dict(example.payload),
        "differs": item.differs,
        "answers": [
            {
                "annotation": given.act.id,
                "annotator": given.act.annotator,
                "action": given.act.action,
                "response": given.act.response,
                "value": given.act.value,
                "seconds": given.act.seconds,
                "source": given.act.source,
            }
            for given in item.answers
        ],
    }


def _decision(item: Item, line: str) -> Decision:
    try:
        given = json.loads(line)
    except ValueError:
        raise BadInput("The decision on stdin is no JSON: write one object on one line.") from None
    fields = ("decision", "annotation", "response", "value", "comment")
    if not isinstance(given, dict) or not all(isinstance(given.get(field, ""), str) for field in fields):
        raise BadInput(f"The decision on stdin has to be a JSON object of texts: {', '.join(fields)}.")
    if not item.answers:
        raise BadInput("No answer to this example stands: there is nothing to decide.")
    about = given.get("annotation") or item.answers[0].act.id
    words = {name: given.get(name, "") for name in ("response", "value", "comment")}
    return Decision(item.example.id, about, given.get("decision", ""), item.stamp, **words)


def agreement_of(db: Database, name: str) -> dict[str, Any]:
    """Agreement of project `name` as {"alpha", "low", "high", "examples"}; alpha is null for fewer than ten examples.

    Free text has no alpha: the three are null and "chrf" has {"mean", "low", "high"} of pairs of answers, 0 to 100.
    """
    found = agreement(db, find_project(db, name).id)
    overall = found.overall
    if found.measure == "alpha":
        return {"alpha": overall.value, "low": overall.low, "high": overall.high, "examples": overall.examples}
    chrf = {"mean": overall.value, "low": overall.low, "high": overall.high}
    return {"alpha": None, "low": None, "high": None, "examples": overall.examples, "chrf": chrf}
