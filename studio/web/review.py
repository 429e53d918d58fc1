"""JSON routes of the reviewer's desk: one commit a decision, the next example in the same answer.

Only reviewers and admins get here: studio.web.rules says so for every path under /api/review.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from storage.records import Annotation
from storage.reviews import Decision
from studio.context import Studio
from studio.labeling import review as reviewing
from studio.labeling.gold import remove_gold, set_gold
from studio.labeling.review import Item, Overview, ReviewDesk, Wanted
from studio.web.answering import answer
from studio.web.desk_json import example_json, task_json
from studio.web.identity import user_of

_LONGEST = 200_000


class Scope(BaseModel):
    """Which part of the queue the reviewer works on."""

    kind: Literal["all", "pending", "flagged", "differing"] = "all"
    annotator: str = Field("", max_length=200)

    @property
    def wanted(self) -> Wanted:
        """The same for the domain."""
        return Wanted(self.kind, self.annotator)


class OneDecision(Scope):
    """A decision about one answer (`annotation`) of an example as it was at `stamp`."""

    example: str = Field(max_length=64)
    annotation: str = Field(max_length=64)
    decision: Literal["accept", "edit", "return"]
    stamp: str = Field(max_length=64)
    response: str = Field("", max_length=_LONGEST)
    value: str = Field("", max_length=2 * _LONGEST)
    comment: str = Field("", max_length=_LONGEST)


class Undo(Scope):
    """Whose newest decision of which project to take back."""

    project: str = Field(max_length=64)


class Many(BaseModel):
    """Accept what waits of one annotator, or of the import, if it is still `expected` in number."""

    project: str = Field(max_length=64)
    annotator: str = Field("", max_length=200)
    source: Literal["", "import"] = ""
    expected: int = Field(ge=1)


class Known(BaseModel):
    """An example whose right answer is known; `remove` makes it an ordinary one again."""

    example: str = Field(max_length=64)
    response: str = Field("", max_length=_LONGEST)
    value: str = Field("", max_length=2 * _LONGEST)
    remove: bool = False


def review_routes(studio: Studio) -> APIRouter:
    """Routes under /api/review. An error is {"message"}: one sentence; 409 has the example as it is now besides."""
    router = APIRouter(prefix="/api/review")
    db = studio.db

    @router.get("/desk")
    def get_desk(
        request: Request,
        project: str,
        kind: str = "all",
        annotator: str = "",
        after: int = 0,
        example: str | None = None,
    ) -> Any:
        user = user_of(request)

        def work() -> dict[str, Any]:
            desk = reviewing.open_review(db, project, Wanted(kind, annotator), after, example)
            return {"task": task_json(desk.project), "user": {"name": user.name, "role": user.role}} | _desk(desk)

        return _answer(work)

    @router.get("/overview")
    def get_overview(project: str) -> Any:
        return _answer(lambda: _overview(reviewing.overview(db, project)))

    @router.post("/decide")
    def decide(request: Request, body: OneDecision) -> Any:
        about = Decision(
            body.example, body.annotation, body.decision, body.stamp, body.response, body.value, body.comment
        )
        return _answer(lambda: _desk(reviewing.decide(db, user_of(request), about, body.wanted)))

    @router.post("/undo")
    def undo(request: Request, body: Undo) -> Any:
        return _answer(lambda: _desk(reviewing.undo_decision(db, user_of(request), body.project, body.wanted)))

    @router.post("/bulk")
    def accept_all(request: Request, body: Many) -> Any:
        def work() -> dict[str, Any]:
            user, many = user_of(request), (body.annotator, body.source, body.expected)
            return {"accepted": reviewing.accept_all(db, user, body.project, *many)}

        return _answer(work)

    @router.post("/gold")
    def gold(request: Request, body: Known) -> Any:
        def work() -> dict[str, Any]:
            if body.remove:
                remove_gold(db, user_of(request), body.example)
            else:
                set_gold(db, user_of(request), body.example, body.response, body.value)
            return {"gold": not body.remove}

        return _answer(work)

    return router


def _answer(work: Callable[[], dict[str, Any]]) -> Any:
    return answer(work, lambda newest: {"item": _item(newest) if isinstance(newest, Item) else None})


def _desk(desk: ReviewDesk) -> dict[str, Any]:
    return {"item": _item(desk.item), "next": _item(desk.next), "taken_back": desk.taken_back}


def _overview(found: Overview) -> dict[str, Any]:
    waiting = found.waiting
    return {
        "waiting": {"pending": waiting.pending, "flagged": waiting.flagged, "differing": waiting.differing},
        "bulk": [{"annotator": bulk.annotator, "source": bulk.source, "count": bulk.count} for bulk in found.bulk],
    }


def _item(item: Item | None) -> dict[str, Any] | None:
    if item is None:
        return None
    example = item.example
    return example_json(example) | {
        "review": example.review,
        "returned_to": example.returned_to,
        "waits": item.waits,
        "differs": item.differs,
        "stamp": item.stamp,
        "gold": {"response": item.gold.response, "value": item.gold.value, "by": item.gold.created_by}
        if item.gold
        else None,
        "answers": [_act(given.act) | {"suggested": _suggested(given.suggested)} for given in item.answers],
        "revisions": [_act(act) for act in item.revisions],
        "decisions": [
            {
                "by": row.reviewer,
                "decision": row.decision,
                "about": row.annotator,
                "comment": row.comment,
                "undone": row.undone,
                "at": row.created_at.isoformat(),
            }
            for row in item.decisions
        ],
    }


def _act(act: Annotation) -> dict[str, Any]:
    return {
        "id": act.id,
        "by": act.annotator,
        "action": act.action,
        "response": act.response,
        "value": act.value,
        "seconds": act.seconds,
        "source": act.source,
        "at": act.created_at.isoformat(),
    }


def _suggested(suggested: tuple[str, str, str] | None) -> dict[str, str] | None:
    return dict(zip(("source", "response", "value"), suggested, strict=True)) if suggested else None
