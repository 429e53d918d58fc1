"""JSON routes of the labeling hot path: one commit a request, the next example in the same answer."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from storage.annotations import Act
from storage.preferences import get_preferences, set_preferences
from storage.records import Annotation
from studio.context import Studio
from studio.labeling import desk as labeling
from studio.labeling.similar import similar_examples
from studio.language import tr
from studio.web.answering import answer
from studio.web.desk_json import card_json, desk_json, task_json
from studio.web.identity import user_of

_LONGEST = 200_000
_BULK = 50


class Answer(BaseModel):
    """An answer as a form has it: text, structured value as JSON, and the annotation it began from."""

    example: str = Field(max_length=64)
    response: str = Field("", max_length=_LONGEST)
    value: str = Field("", max_length=2 * _LONGEST)
    base: str | None = Field(None, max_length=64)
    suggestion: str | None = Field(None, max_length=64)


class OneAct(Answer):
    """A submit, skip or flag of one example; `seconds` since it was shown."""

    action: Literal["submit", "skip", "flag"]
    seconds: float | None = Field(None, ge=0, le=86_400)


class ManyActs(BaseModel):
    """The same act on many examples."""

    project: str = Field(max_length=64)
    action: Literal["submit", "skip", "flag"]
    acts: list[Answer] = Field(max_length=_BULK)


class ProjectName(BaseModel):
    """Which project it is about."""

    project: str = Field(max_length=64)


class Keys(BaseModel):
    """A user's own keys: an action's name and what is pressed for it."""

    keys: dict[str, str] = Field(max_length=60)


def labeling_routes(studio: Studio) -> APIRouter:
    """Routes under /api/label. An error is {"message"}: one sentence; 409 has both versions besides."""
    router = APIRouter(prefix="/api/label")
    queues = studio.queues

    @router.get("/desk")
    def get_desk(request: Request, project: str, example: str | None = None) -> Any:
        user = user_of(request)

        def work() -> dict[str, Any]:
            studio.suggester.poke(project)
            desk = labeling.open_desk(queues, project, user.name, example)
            return {"task": task_json(desk.project), "user": {"name": user.name, "role": user.role}} | desk_json(
                desk, user.name
            )

        return answer(work)

    @router.post("/act")
    def act(request: Request, body: OneAct) -> Any:
        name = user_of(request).name
        wanted = _act(body, name, body.action, body.seconds)
        return answer(lambda: desk_json(labeling.act(queues, wanted), name), lambda newest: _both(body, newest))

    @router.post("/undo")
    def take_back(request: Request, body: ProjectName) -> Any:
        name = user_of(request).name
        return answer(lambda: desk_json(labeling.undo(queues, body.project, name), name))

    @router.post("/draft")
    def draft(request: Request, body: Answer) -> Any:
        def work() -> dict[str, Any]:
            labeling.keep_draft(queues, body.example, user_of(request).name, body.response, body.value)
            return {"saved": True}

        return answer(work)

    @router.post("/renew")
    def renew(request: Request, body: ProjectName) -> Any:
        def work() -> dict[str, Any]:
            studio.suggester.poke(body.project)
            end = labeling.renew(queues, body.project, user_of(request).name)
            return {"lease_until": end.isoformat()}

        return answer(work)

    @router.post("/leave")
    def leave(request: Request, body: ProjectName) -> Any:
        def work() -> dict[str, Any]:
            labeling.leave(queues, body.project, user_of(request).name)
            return {"left": True}

        return answer(work)

    @router.get("/bulk")
    def get_bulk(request: Request, project: str, size: int = 10, similar: str | None = None) -> Any:
        def work() -> dict[str, Any]:
            wanted = similar_examples(studio.db, project, similar) if similar else None
            cards = labeling.deal_many(queues, project, user_of(request).name, max(1, min(size, _BULK)), wanted)
            return {"cards": [card_json(card) for card in cards]}

        return answer(work)

    @router.post("/bulk")
    def act_on_many(request: Request, body: ManyActs) -> Any:
        name = user_of(request).name

        def work() -> dict[str, Any]:
            acts = [_act(one, name, body.action, None) for one in body.acts]
            result = labeling.act_on_many(queues, body.project, name, acts)
            failed = [{"example": example, "message": message} for example, message in result.failed]
            return {"done": list(result.done), "failed": failed, "desk": desk_json(result.desk, name)}

        return answer(work)

    @router.get("/keys")
    def get_keys(request: Request) -> Any:
        return answer(lambda: {"keys": get_preferences(studio.db, user_of(request).name).get("keys", {})})

    @router.post("/keys")
    def set_keys(request: Request, body: Keys) -> Any:
        def work() -> dict[str, Any]:
            name = user_of(request).name
            set_preferences(studio.db, name, {**get_preferences(studio.db, name), "keys": body.keys})
            return {"keys": body.keys}

        return answer(work)

    return router


def _act(body: Answer, annotator: str, action: str, seconds: float | None) -> Act:
    return Act(
        body.example,
        annotator,
        action,
        body.response,
        body.value,
        seconds,
        base=body.base,
        suggestion_id=body.suggestion,
        checked=True,
    )


def refused(request: Request, error: Exception) -> JSONResponse:
    """422 as one sentence. FastAPI's own answer sends back what was sent, and fails where that is no valid text."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = str(first["loc"][-1])
    if first["type"] == "string_too_long" and field == "response":
        longer = tr("The text is longer than {count:,} characters: shorten it.", count=_LONGEST)
        return JSONResponse({"message": longer}, 422)
    if first["type"] == "string_unicode":
        why = tr("The request's {field} is no text that can be stored: nothing was saved.", field=field)
    else:
        why = tr("The request's {field} cannot be used: nothing was saved.", field=field)
    return JSONResponse({"message": why}, 422)


def _both(mine: Answer, newest: Annotation) -> dict[str, Any]:
    theirs = {"id": newest.id, "response": newest.response, "value": newest.value}
    when = {"by": newest.annotator, "at": newest.created_at.isoformat()}
    return {"conflict": {"mine": {"response": mine.response, "value": mine.value}, "theirs": theirs | when}}
