"""JSON routes of the labeling hot path: one commit a request, the next example in the same answer."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from storage.examples import get_example
from storage.records import Example
from studio.errors import NotFound, StudioError
from studio.jobs.context import Studio
from studio.labeling.queue import Card, Desk, flag, keep_draft, open_desk, skip, submit, undo
from studio.settings import USER

_LONGEST = 200_000


class Act(BaseModel):
    """A submit, skip or flag of one example; `seconds` since it was shown."""

    example: str = Field(max_length=64)
    action: Literal["submit", "skip", "flag"]
    response: str = Field("", max_length=_LONGEST)
    seconds: float | None = Field(None, ge=0, le=86_400)


class Draft(BaseModel):
    """What stands in the form right now."""

    example: str = Field(max_length=64)
    response: str = Field(max_length=_LONGEST)


class ProjectName(BaseModel):
    """Which project's newest act to take back."""

    project: str = Field(max_length=64)


def labeling_routes(studio: Studio) -> APIRouter:
    """Routes under /api/label. An error is {"message"}: one sentence."""
    router = APIRouter(prefix="/api/label")
    db = studio.db

    @router.get("/desk")
    def get_desk(project: str, example: str | None = None) -> Any:
        return _answer(lambda: open_desk(db, project, USER, example))

    @router.post("/act")
    def act(body: Act) -> Any:
        verb = {"submit": submit, "skip": skip, "flag": flag}[body.action]
        return _answer(lambda: verb(db, body.example, USER, body.response, body.seconds))

    @router.post("/undo")
    def take_back(body: ProjectName) -> Any:
        return _answer(lambda: undo(db, body.project, USER))

    @router.post("/draft")
    def draft(body: Draft) -> Any:
        def keep() -> None:
            get_example(db, body.example)  # a draft of nothing would wait for ever
            keep_draft(db, body.example, USER, body.response)

        return _answer(keep)

    return router


def refused(request: Request, error: Exception) -> JSONResponse:
    """422 as one sentence. FastAPI's own answer sends back what was sent, and fails where that is no valid text."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = str(first["loc"][-1])
    if first["type"] == "string_too_long" and field == "response":
        return JSONResponse({"message": f"The text is longer than {_LONGEST:,} characters: shorten it."}, 422)
    why = "is no text that can be stored" if first["type"] == "string_unicode" else "cannot be used"
    return JSONResponse({"message": f"The request's {field} {why}: nothing was saved."}, 422)


def _answer(work: Any) -> Any:
    try:
        result = work()
    except StudioError as error:
        return JSONResponse({"message": str(error)}, 404 if isinstance(error, NotFound) else 400)
    return _desk_json(result) if isinstance(result, Desk) else {"saved": True}


def _desk_json(desk: Desk) -> dict[str, Any]:
    counts = desk.counts
    return {
        "card": _card_json(desk.card),
        "counts": {
            "todo": counts.todo,
            "labeled": counts.labeled,
            "skipped": counts.skipped,
            "flagged": counts.flagged,
        },
        "today": desk.today,
        "median_seconds": desk.median_seconds,
        "taken_back": desk.taken_back,
        "history": [
            {
                "example": done.example.id,
                "text": done.example.text[:120],
                "action": done.annotation.action,
                "at": done.annotation.created_at.isoformat(),
            }
            for done in desk.history
        ],
    }


def _card_json(card: Card | None) -> dict[str, Any] | None:
    if card is None:
        return None
    example: Example = card.example
    return {
        "id": example.id,
        "turns": [{"role": turn.role, "content": turn.content} for turn in example.prompt],
        "context": example.context,
        "status": example.status,
        "source": example.source,
        "draft": card.draft or card.revision or "",
    }
