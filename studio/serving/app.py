"""The HTTP face: models, chat completions, completions, feedback, health and metrics, as OpenAI's clients expect them.

What it leaves out: keys, limits of size and pace (gate.py), and how a row is written (tickets.py).
"""

from __future__ import annotations

import json
import time
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.contract.serving import Key, ServeSpec
from studio.contract.traffic import Feedback, ServedRequest
from studio.errors import JobFailed, NotFound, StudioError
from studio.serving import metrics as figures
from studio.serving import told
from studio.serving.asked import ChatAsked, CompletionAsked, FeedbackAsked, sentence
from studio.serving.exchange import Exchange, Gone, Note, TimedOut
from studio.serving.gate import KEY, Doors, Gate
from studio.serving.keys import KeyRing
from studio.serving.log import TrafficLog
from studio.serving.metrics import Metrics
from studio.serving.names import NameTable
from studio.serving.resident import Lent
from studio.serving.tickets import QueueFull, Scheduler

Asked = ChatAsked | CompletionAsked

_REMEMBERED = 10_000
_SSE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class NoSuchModel(NotFound):
    """The name is not served, or not to this key."""


@dataclass(frozen=True)
class House:
    """What the routes work with."""

    spec: ServeSpec
    scheduler: Scheduler
    names: NameTable
    keys: KeyRing
    log: TrafficLog
    metrics: Metrics
    doors: Doors
    base: str
    """The base model's own name."""
    device: str = ""
    started: int = field(default_factory=lambda: int(time.time()))
    recent: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Ids of the newest requests with the keys that asked, so that nobody rates another's."""

    def served_to(self, key: Key | None) -> dict[str, str]:
        """The names a key may ask for."""
        return {name: run for name, run in self.names.names.items() if key is None or key.allows(name)}

    def note(self, line: ServedRequest) -> None:
        """Count a request and write it down."""
        self.metrics.request(line, line.model in self.names.names)
        if self.spec.log_requests:
            self.log.put(line)


def build_app(house: House) -> ASGIApp:
    """The ASGI application behind its gate."""
    app = FastAPI(title="SFT Studio server", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    house.doors.refused, house.doors.turned_away = house.note, house.metrics.refused

    @app.get("/health")
    async def health() -> JSONResponse:
        state = _state(house)
        return JSONResponse({"state": state}, 200 if state in ("ready", "lent") else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(house.metrics.page(), media_type=figures.CONTENT_TYPE)

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        return {"object": "list", "data": [_model(house, *one) for one in house.served_to(request.scope[KEY]).items()]}

    @app.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> dict[str, Any]:
        return _model(house, name, _run_of(house, name, request.scope[KEY]))

    @app.post("/v1/chat/completions", openapi_extra=_body_schema(ChatAsked))
    async def chat_completions(request: Request) -> Response:
        return await _Answering(house, request, "chat", ChatAsked).answer()

    @app.post("/v1/completions", openapi_extra=_body_schema(CompletionAsked))
    async def completions(request: Request) -> Response:
        return await _Answering(house, request, "completion", CompletionAsked).answer()

    @app.post("/v1/feedback", openapi_extra=_body_schema(FeedbackAsked))
    async def feedback(request: Request) -> JSONResponse:
        return await _feedback(house, request)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def no_route(request: Request, error: Exception) -> JSONResponse:
        status = getattr(error, "status_code", 404)
        return JSONResponse(told.failure("There is no such address here.", code="not_found"), status)

    @app.exception_handler(StudioError)
    async def refused(request: Request, error: StudioError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(told.failure("The server failed; its log says more.", "server_error"), 500)

    return Gate(app, house.spec, house.keys, house.doors)


def refusal(error: StudioError) -> JSONResponse:
    """An error before the first piece, as HTTP. Clients of OpenAI's ask again by themselves where that may help."""
    if isinstance(error, QueueFull):
        body = told.failure(str(error), "rate_limit_error", "queue_full")
        return JSONResponse(body, 429, {"Retry-After": str(error.seconds)})
    if isinstance(error, TimedOut):
        return JSONResponse(told.failure(str(error), "server_error", "timeout"), 504, {"x-should-retry": "false"})
    if isinstance(error, Gone):
        return JSONResponse(told.failure(str(error), "server_error"), 499)
    if isinstance(error, NotFound):
        return JSONResponse(told.failure(str(error), code="model_not_found", field="model"), 404)
    if isinstance(error, Lent):
        return JSONResponse(told.failure(str(error), "server_error", "memory_lent"), 503, {"Retry-After": "60"})
    if isinstance(error, JobFailed):
        return JSONResponse(told.failure(str(error), "server_error"), 503, {"Retry-After": "5"})
    return JSONResponse(told.failure(str(error)), 400)


class _Answering:
    """One request to a model, from its body to its line in the log."""

    def __init__(self, house: House, request: Request, route: told.Route, kind: type[Asked]) -> None:
        key: Key | None = request.scope[KEY]
        self._house = house
        self._request = request
        self._route = route
        self._kind = kind
        self._key = key
        self._note = Note(told.new_id(route), route, key.id if key else "")
        self._asked: Asked | None = None
        self._exchange: Exchange | None = None

    async def answer(self) -> Response:
        """The response. What goes wrong before the first piece is a plain HTTP error."""
        streams = False
        try:
            response = await self._respond()
            streams = isinstance(response, StreamingResponse)
        except StudioError as error:
            response = refusal(error)
            self._note.status, self._note.finish = response.status_code, _finish_of(error)
        except ValidationError as error:
            words, name = sentence(error)
            response = JSONResponse(told.failure(words, field=name), 400)
            self._note.status, self._note.finish = 400, "error"
        except BaseException:
            self._note.status, self._note.finish = 500, "error"
            raise
        finally:
            if not streams:
                self._end()
        response.headers["x-request-id"] = self._note.id
        return response

    async def _respond(self) -> Response:
        body = await self._request.body()
        asked = self._asked = self._kind.model_validate_json(body)
        self._note.model = asked.model
        self._note.run = run = _run_of(self._house, asked.model, self._key)
        requests = asked.requests(run or None, self._house.spec)
        scores = requests[0].logprobs is not None
        exchange = self._exchange = Exchange(self._request, requests, self._house.spec.timeout_seconds, scores)
        exchange.start(self._house.scheduler)
        first = await exchange.next()
        self._note.first()
        reply = told.Reply(self._route, asked.model, self._note.id, asked.usage_wanted)
        if asked.stream:
            return _Events(self._stream(exchange, first, reply), media_type="text/event-stream", headers=_SSE)
        pieces = await exchange.whole(first)
        self._note.finish = _reason(exchange)
        return JSONResponse(reply.whole(pieces, exchange.usage(asked.choices)))

    async def _stream(self, exchange: Exchange, first: Sequence[told.Piece], reply: told.Reply) -> AsyncIterator[bytes]:
        assert self._asked is not None
        pieces = first
        try:
            while pieces:
                yield b"".join(reply.chunk(piece) for piece in pieces)
                pieces = await exchange.next()
            self._note.finish = _reason(exchange)
            if reply.with_usage:
                yield reply.usage_chunk(exchange.usage(self._asked.choices))
            yield told.DONE
        except StudioError as error:
            self._note.status, self._note.finish = refusal(error).status_code, _finish_of(error)
            yield told.event(told.failure(str(error), "server_error"))
            yield told.DONE
        except Exception:
            traceback.print_exc()
            self._note.status, self._note.finish = 500, "error"
            yield told.event(told.failure("The server failed; its log says more.", "server_error"))
        finally:
            if not self._note.finish:  # closed from outside: nobody reads any more
                self._note.status, self._note.finish = 499, "disconnect"
            self._end()

    def _end(self) -> None:
        if self._exchange:
            self._exchange.close()
            if self._note.status == 200 and self._asked and self._asked.form is not None:
                self._note.form_ok = all(_is_json(text) for text in self._exchange.texts)
        house = self._house
        house.note(self._note.line(self._exchange, self._asked.choices if self._asked else 1, self._messages()))
        house.recent[self._note.id] = self._note.key_id
        while len(house.recent) > _REMEMBERED:
            house.recent.popitem(last=False)

    def _messages(self) -> tuple[dict[str, str], ...] | None:
        """Prompt and first answer, where they are kept; the log redacts them."""
        if not self._house.spec.keep_texts or self._asked is None or self._exchange is None:
            return None
        if isinstance(self._asked, ChatAsked):
            turns = [turn.message() for turn in self._asked.messages]
            said = [{"role": turn.role, "content": turn.content} for turn in turns]
        else:
            prompt = self._asked.prompts[0]
            said = [{"role": "user", "content": prompt if isinstance(prompt, str) else ""}]
        return (*said, {"role": "assistant", "content": self._exchange.texts[0]})


class _Events(StreamingResponse):
    """A stream whose iterator itself learns that the client has left (Exchange), and is closed in any case."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.stream_response(send)
        finally:
            close = getattr(self.body_iterator, "aclose", None)
            if close:
                await close()


async def _feedback(house: House, request: Request) -> JSONResponse:
    key: Key | None = request.scope[KEY]
    key_id = key.id if key else ""
    try:
        asked = FeedbackAsked.model_validate_json(await request.body())
    except ValidationError as error:
        words, name = sentence(error)
        return JSONResponse(told.failure(words, field=name), 400)
    if house.recent.get(asked.request_id, key_id) != key_id:
        return JSONResponse(told.failure("There is no such request of this key.", code="not_found"), 404)
    line = Feedback(
        request_id=asked.request_id, at=datetime.now(UTC), rating=asked.rating, text=asked.text, key_id=key_id
    )
    if house.spec.log_requests:
        house.log.put(line)
    house.metrics.feedback(asked.rating)
    return JSONResponse({"object": "feedback", "request_id": asked.request_id, "rating": asked.rating})


def _state(house: House) -> str:
    """`lent`: the model has left the memory for a job; a request brings it back where there is room for both."""
    if house.doors.draining:
        return "stopping"
    if not house.scheduler.alive:
        return "failed"
    return "lent" if house.scheduler.lent_to else "ready"


def _run_of(house: House, name: str, key: Key | None) -> str:
    run = house.served_to(key).get(name)
    if run is None:
        raise NoSuchModel("There is no such model here, or not for this key: GET /v1/models lists them.")
    return run


def _model(house: House, name: str, run: str) -> dict[str, Any]:
    own = {"base": house.base, "run": run or None}
    return {"id": name, "object": "model", "created": house.started, "owned_by": "studio"} | own


def _reason(exchange: Exchange) -> str:
    reasons = {end.reason for end in exchange.ends.values()}
    return "length" if "length" in reasons else "stop"


def _finish_of(error: StudioError) -> str:
    return "timeout" if isinstance(error, TimedOut) else "disconnect" if isinstance(error, Gone) else "error"


def _is_json(text: str) -> bool:
    """Whether an answer is whole; where it is, it has its form, as nothing else could be written."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _body_schema(kind: type[Any]) -> dict[str, Any]:
    """What a route takes, for its OpenAPI document; the body itself is read and checked here."""
    content: Mapping[str, Any] = {"application/json": {"schema": _flat(kind.model_json_schema())}}
    return {"requestBody": {"required": True, "content": content}}


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema with its definitions put in their places."""
    definitions = schema.pop("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, list):
            return [put(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return put(definitions[part["$ref"].rsplit("/", 1)[1]])
        return {name: put(one) for name, one in part.items()}

    return put(schema)
