"""The HTTP face of the engine: health, models, chat completions. Who may ask and how much is settled before routing.

What it leaves out: users, rate limits and TLS; it listens on 127.0.0.1 for the studio's own processes.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.contract.bodies import read_body, replayed
from studio.errors import JobFailed, NotFound, StudioError
from studio.inference import wire
from studio.inference.batcher import Batcher, EngineBusy, Item, Ticket
from studio.inference.engine import Engine
from studio.inference.request import Delta, Finished
from studio.inference.served import NoClassifier

BODY_LIMIT = 1 << 20
"""Bytes of the longest request body."""

_HEALTH = "/health"
_GONE_CHECK_SECONDS = 0.5


@dataclass
class Activity:
    """When something was last asked (monotonic seconds), for the idle clock."""

    last: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """Now."""
        self.last = time.monotonic()


def build_app(engine: Engine, batcher: Batcher, token: str, activity: Activity | None = None) -> ASGIApp:
    """The ASGI application. Every path but /health wants `Authorization: Bearer token`."""
    app = FastAPI(title="SFT Studio engine", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(_HEALTH)
    async def health() -> dict[str, Any]:
        loaded = [{"run": run, "hash": digest} for run, digest in engine.loaded]
        return {
            "state": "stopping" if batcher.closing else "ready",
            "base": engine.base.name,
            "base_hash": engine.base.weights_hash,
            "device": str(engine.base.device),
            "adapters": loaded,
        }

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        names = [wire.BASE_MODEL, *await asyncio.to_thread(engine.available)]
        return {
            "object": "list",
            "data": [{"id": n, "object": "model", "created": 0, "owned_by": "studio"} for n in names],
        }

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await _complete(request, batcher)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def no_route(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(
            wire.failure("There is no such address here.", code="not_found"), getattr(error, "status_code", 404)
        )

    @app.exception_handler(StudioError)
    async def refused(request: Request, error: StudioError) -> JSONResponse:
        return _error_response(error)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(wire.failure("The engine failed at this request; its log says more.", "server_error"), 500)

    return _Gate(app, token, activity or Activity())


async def _complete(request: Request, batcher: Batcher) -> Response:
    try:
        asked = wire.parse(await request.body())
    except ValidationError as error:
        return JSONResponse(wire.failure(wire.sentence(error)), 400)
    items = _Items(request, batcher)
    items.start(asked)
    try:
        # The first item decides the status: an error before any text is a plain HTTP error.
        first = await items.next()
    except BaseException:
        items.ticket.cancel()
        raise
    reply = wire.Reply(asked.model)
    if asked.stream:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(items, first, reply), media_type="text/event-stream", headers=headers)
    text, done = await _collect(items, first)
    return JSONResponse(reply.whole(text, done)) if done else Response(status_code=499)


class _Items:
    """The items of one request, brought from the scheduler's thread into this event loop."""

    def __init__(self, request: Request, batcher: Batcher) -> None:
        self._request = request
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self.ticket: Ticket

    def start(self, asked: wire.ChatRequest) -> None:
        """Queue the request. Raises EngineBusy or JobFailed."""
        self.ticket = self._batcher.submit(asked.generation(), self._deliver)

    async def next(self) -> Delta | None:
        """The next piece; None when the client has gone (its row is then told to stop). Raises StudioError."""
        while True:
            try:
                item = await asyncio.wait_for(self._queue.get(), _GONE_CHECK_SECONDS)
            except TimeoutError:
                if not await self._request.is_disconnected():
                    continue
                self.ticket.cancel()
                return None
            if isinstance(item, StudioError):
                raise item
            return item

    def _deliver(self, item: Item) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:
            # The event loop has ended, and with it the client.
            self.ticket.cancel()


async def _stream(items: _Items, first: Delta | None, reply: wire.Reply) -> AsyncIterator[bytes]:
    delta = first
    try:
        yield reply.chunk(first=True)
        while delta is not None:
            if delta.text:
                yield reply.chunk(delta.text)
            if delta.done:
                yield reply.chunk(done=delta.done)
                break
            delta = await items.next()
    except StudioError as error:
        yield wire.event(wire.failure(str(error), "server_error"))
    finally:
        items.ticket.cancel()
    yield wire.DONE


async def _collect(items: _Items, first: Delta | None) -> tuple[str, Finished | None]:
    pieces: list[str] = []
    delta = first
    try:
        while delta is not None:
            pieces.append(delta.text)
            if delta.done or await items._request.is_disconnected():
                break
            delta = await items.next()
    finally:
        items.ticket.cancel()
    return "".join(pieces), delta.done if delta else None


def _error_response(error: StudioError) -> JSONResponse:
    if isinstance(error, EngineBusy):
        return JSONResponse(wire.failure(str(error), "rate_limit_error"), 429, {"Retry-After": "2"})
    if isinstance(error, NotFound):
        return JSONResponse(wire.failure(str(error), code="model_not_found"), 404)
    if isinstance(error, JobFailed):
        return JSONResponse(wire.failure(str(error), "server_error"), 503)
    return JSONResponse(
        wire.failure(str(error), code=wire.NO_CLASSIFIER if isinstance(error, NoClassifier) else None), 400
    )


class _Gate:
    """Checks the token, then the size of the body, before anything else sees the request."""

    def __init__(self, app: ASGIApp, token: str, activity: Activity) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            return
        elif scope["path"] == _HEALTH:
            await self._app(scope, receive, send)
        elif not self._known(scope):
            refusal = JSONResponse(wire.failure("This engine wants its token.", code="invalid_api_key"), 401)
            await refusal(scope, receive, send)
        else:
            self._activity.touch()
            await self._bounded(scope, receive, send)
            self._activity.touch()

    def _known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, BODY_LIMIT)
        if body is None:
            too_long = JSONResponse(
                wire.failure(f"The request is longer than {BODY_LIMIT >> 20} MiB: shorten it."), 413
            )
            await too_long(scope, receive, send)
            return
        await self._app(scope, replayed(body, receive), send)
