"""The gate before every route: whose key it is, how often it asks, how long the body is, and whether the server ends.

Without any key only this machine is served, and no web page that some browser shows (a foreign Origin or Host). What it
leaves out: which models a key may ask for (app.py), TLS.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.contract.bodies import read_body, replayed
from studio.contract.serving import Key, ServeSpec, is_own_machine
from studio.contract.traffic import ServedRequest
from studio.serving.keys import KeyRing, Pace
from studio.serving.told import failure, new_id

KEY = "studio.key"
"""Where in a request's scope its Key stands (None without keys)."""

_OPEN = frozenset({"/health"})
_BODY_SECONDS = 60
_DRAIN_RETRY = 5
_UNREAD_SECONDS = 15.0


@dataclass
class Doors:
    """What the gate and the server's end both know. `busy`: whole requests that have no last byte yet."""

    draining: bool = False
    busy: int = 0
    refused: Callable[[ServedRequest], object] = field(default=lambda line: None)
    turned_away: Callable[[int], object] = field(default=lambda status: None)


class Gate:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, spec: ServeSpec, keys: KeyRing, doors: Doors) -> None:
        self._app = app
        self._spec = spec
        self._keys = keys
        self._doors = doors
        self._pace = Pace()
        self._own = is_own_machine(spec.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._bounded(scope, receive, _impatient(send))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """Why a request goes no further, and who asks."""
        key: Key | None = None
        if self._keys.needed or not self._own:
            key = self._known(scope)
            if key is None:
                words = "Give a valid API key as `Authorization: Bearer KEY`: this one is unknown, revoked or expired."
                return self._told(401, failure(words, "authentication_error", "invalid_api_key"))
        elif not _from_here(scope):
            words = "Without API keys this server answers programs of this machine only: make a key first."
            return self._told(403, failure(words, "permission_error", "not_allowed"))
        scope[KEY] = key
        if scope["method"] != "POST":
            return None
        if self._doors.draining:
            return self._ending(key)
        limit = self._spec.requests_a_minute if key else 0
        wait = self._pace.take(key.id, key.a_minute or limit) if key else 0.0
        if wait:
            words = f"This key may ask {(key and key.a_minute) or limit} times a minute: ask again later."
            return self._noted(429, failure(words, "rate_limit_error", "rate_limit_exceeded"), key, math.ceil(wait))
        return None

    def _known(self, scope: Scope) -> Key | None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or given[0][:7].lower() != b"bearer ":
            return None
        return self._keys.find(given[0][7:].strip().decode("utf-8", "replace"))

    def _told(self, status: int, body: dict[str, object]) -> JSONResponse:
        self._doors.turned_away(status)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return JSONResponse(body, status, headers)

    def _noted(self, status: int, body: dict[str, object], key: Key | None, retry: int = 0) -> JSONResponse:
        at, name = datetime.now(UTC), new_id("chat")
        self._doors.refused(
            ServedRequest(id=name, at=at, model="", key_id=key.id if key else "", status=status, finish="error")
        )
        return JSONResponse(body, status, {"Retry-After": str(retry)} if retry else {})

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body before anything else sees the request."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await read_body(scope, receive, self._spec.body_limit)
        except TimeoutError:
            late = failure(f"The request did not arrive within {_BODY_SECONDS} seconds: send it again.", code="timeout")
            await self._noted(408, late, scope[KEY])(scope, receive, send)
            return
        if body is None:
            words = f"The request is longer than {self._spec.body_limit:,} bytes: shorten it."
            await self._noted(413, failure(words, code="too_long"), scope[KEY])(scope, receive, send)
            return
        # What is still on its way here when the server ends holds nothing up: only whole requests are waited for.
        if self._doors.draining and scope["method"] == "POST":
            await self._ending(scope[KEY])(scope, receive, send)
            return
        self._doors.busy += 1
        try:
            await self._app(scope, replayed(body, receive), send)
        finally:
            self._doors.busy -= 1

    def _ending(self, key: Key | None) -> JSONResponse:
        words = "This server is ending: ask again in some seconds."
        return self._noted(503, failure(words, "server_error", "ending"), key, _DRAIN_RETRY)


def _impatient(send: Send) -> Send:
    """`send`, but a connection whose client reads nothing for long is broken off: nobody would ever free its place, and
    the server could not end. (uvicorn waits for a full socket without limit.)"""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        return send
    loop = asyncio.get_running_loop()

    async def sent(message: Message) -> None:
        late = loop.call_later(_UNREAD_SECONDS, transport.abort)
        try:
            await send(message)
        finally:
            late.cancel()

    return sent


def _from_here(scope: Scope) -> bool:
    """Whether no browser sent this on behalf of a web page: names of this machine only, in Host and Origin."""
    for name, value in scope["headers"]:
        if name in (b"host", b"origin"):
            text = value.decode("latin-1")
            try:
                host = urlsplit(text if "//" in text else f"//{text}").hostname
            except ValueError:
                return False
            if not host or not is_own_machine(host):
                return False
    return True
