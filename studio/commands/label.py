"""`python -m studio label`: one example on stdout as JSON, its answer read from stdin as JSON, then what became of it.

The example is lent to the annotator between the two, as in the browser, and the database is free meanwhile.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from storage.annotations import Act
from storage.projects import find_project
from studio.commands import Outcome, opened
from studio.errors import BadInput
from studio.labeling.cards import Card
from studio.labeling.desk import act, leave, open_desk
from studio.labeling.queue import Queues
from studio.settings import Workspace

_FIELDS = {"action", "response", "value", "seconds"}


def label(workspace: Workspace, flags: Namespace) -> Outcome:
    """`label NAME --by USER`: show the next example, read one answer, write it. An empty stdin gives the example back.

    The answer is {"response": text, "value"?: JSON text, "action"?: submit | skip | flag, "seconds"?: number}.
    """
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        card = open_desk(Queues(db), project.id, flags.by, ahead=1).card
    if card is None:
        return Outcome({"example": None}, "Nothing waits for this annotator.")
    print(json.dumps(_shown(card), ensure_ascii=False), flush=True)
    line = sys.stdin.readline()
    with opened(workspace) as db:
        queues = Queues(db)
        if not line.strip():
            leave(queues, project.id, flags.by)
            return Outcome({"example": card.example.id, "saved": None}, "No answer on stdin: nothing was saved.")
        given = _answer(card, flags.by, line)
        left = act(queues, given, ahead=0).left
    return Outcome({"example": card.example.id, "saved": given.action, "left": left})


def _shown(card: Card) -> dict[str, Any]:
    example = card.example
    return {
        "example": example.id,
        "turns": [{"role": turn.role, "content": turn.content} for turn in example.prompt],
        "context": example.context,
        "payload": dict(example.payload),
        "draft": card.draft.response if card.draft else "",
        "suggestion": card.suggestion.response if card.suggestion else "",
        "comment": card.comment[1] if card.comment else "",
    }


def _answer(card: Card, annotator: str, line: str) -> Act:
    try:
        given = json.loads(line)
    except ValueError:
        raise BadInput("The answer on stdin is no JSON: write one object on one line.") from None
    if not isinstance(given, dict) or not given.keys() <= _FIELDS:
        raise BadInput(f"The answer on stdin has to be a JSON object of {', '.join(sorted(_FIELDS))}.")
    texts = {name: given.get(name, "") for name in ("response", "value")}
    action, seconds = given.get("action", "submit"), given.get("seconds")
    if not all(isinstance(text, str) for text in (action, *texts.values())):
        raise BadInput("Action, response and value of the answer on stdin have to be texts.")
    if seconds is not None and not isinstance(seconds, (int, float)):
        raise BadInput("The seconds of the answer on stdin have to be a number.")
    suggestion = card.suggestion.id if card.suggestion else None
    return Act(
        card.example.id,
        annotator,
        action,
        **texts,
        seconds=seconds,
        base=card.revision,
        suggestion_id=suggestion,
        checked=True,
    )
