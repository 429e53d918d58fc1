"""The labeling desk as JSON, field by field, for the form in the browser."""

from __future__ import annotations

from typing import Any

from storage.records import Draft, Example, Project, Turn
from studio.contract.tools import calls_text
from studio.labeling.cards import Card
from studio.labeling.desk import Desk


def task_json(project: Project) -> dict[str, Any]:
    """What decides which form is shown."""
    settings = project.settings
    return {
        "kind": project.task,
        "labels": [{"name": label.name, "colour": label.colour} for label in settings.labels],
        "rating_max": settings.rating_max,
        "source_language": settings.source_language,
        "target_language": settings.target_language,
        "code_language": settings.code_language,
        "ask_margin": settings.ask_margin,
        "ask_reason": settings.ask_reason,
        "order": settings.order,
        "review": settings.review,
        "overlap": settings.overlap,
    }


def desk_json(desk: Desk, user: str) -> dict[str, Any]:
    """The desk of one user; of the others only how many label this project now."""
    counts = desk.counts
    return {
        "card": card_json(desk.card),
        "next": card_json(desk.next),
        "counts": {
            "todo": counts.todo,
            "labeled": counts.labeled,
            "skipped": counts.skipped,
            "flagged": counts.flagged,
            "dropped": counts.dropped,
            "mine": desk.left,
        },
        "today": desk.today,
        "median_seconds": desk.median_seconds,
        "taken_back": desk.taken_back,
        "undoable": desk.undoable,
        "leases": {"mine": desk.leases.get(user, 0), "others": len(desk.leases.keys() - {user})},
        "history": [
            {
                "example": past.example_id,
                "text": past.text,
                "action": past.action,
                "response": past.response,
                "at": past.at.isoformat(),
            }
            for past in desk.history
        ],
    }


def card_json(card: Card | None) -> dict[str, Any] | None:
    """A card, or None."""
    if card is None:
        return None
    example, offer = card.example, card.suggestion
    return example_json(example) | {
        "source": example.source,
        "revision": card.revision,
        "answer": _draft_json(card.answer),
        "draft": _draft_json(card.draft),
        "suggestion": {
            "id": offer.id,
            "response": offer.response,
            "value": offer.value,
            "source": offer.source,
            "rate": offer.rate,
            "uncertainty": offer.uncertainty,
        }
        if offer
        else None,
        "comment": {"by": card.comment[0], "text": card.comment[1]} if card.comment else None,
        "lease_until": card.lease_until.isoformat() if card.lease_until else None,
    }


def example_json(example: Example) -> dict[str, Any]:
    """What a form and a reviewer both see of an example."""
    return {
        "id": example.id,
        "position": example.position,
        "turns": [_turn(turn) for turn in example.prompt],
        "context": example.context,
        "payload": dict(example.payload),
        "status": example.status,
    }


def _turn(turn: Turn) -> dict[str, str]:
    said = {"role": turn.role, "content": turn.content}
    return said | ({"extra": turn.extra, "calls": calls_text(turn.extra)} if turn.extra else {})


def _draft_json(draft: Draft | None) -> dict[str, str] | None:
    return {"response": draft.response, "value": draft.value} if draft else None
