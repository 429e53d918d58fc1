"""What a request may carry: a body of so much, an open page of one's own, no address for Gradio to fetch.

Gradio knows an open page by a word that its browser made up (session_hash): whoever knows the word could read the
page's answers, use its state and end its work. So a page belongs to who used it first. And Gradio fetches what an
event's value calls a file at a web address, before any handler is asked: such values are refused. What it leaves out:
uploads, which Gradio bounds itself and admins alone may send, and the forms of studio.web.accounts, which are bounded.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict, defaultdict
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.contract.bodies import read_body, replayed
from studio.language import tr
from studio.people.accounts import Accounts

BODY_LIMIT = 32 << 20
"""Bytes of the longest body: fifty answers of bulk labeling, each as long as an answer may be."""
_BODY_SECONDS = 120
_PAGES_EACH = 500
_LONGEST_WORD = 100

_GRADIO = "/gradio_api/"
_UNREAD = re.compile(r"/gradio_api/upload/?|/login/?|/logout/?|/account/?")
_OF_A_PAGE = re.compile(r"/gradio_api/heartbeat/([^/]+)/?")


class Owners:
    """Whose each open page is; of each user the newest 500 are remembered, so that nobody can push out another's."""

    def __init__(self) -> None:
        self._owner: dict[str, str] = {}
        self._pages: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)

    def may_use(self, page: str, user: str) -> bool:
        """Whether a page is this user's; one that nobody has used becomes theirs."""
        owner = self._owner.setdefault(page, user)
        if owner != user:
            return False
        mine = self._pages[user]
        mine[page] = None
        mine.move_to_end(page)
        while len(mine) > _PAGES_EACH:
            self._owner.pop(mine.popitem(last=False)[0], None)
        return True

    def is_free(self, page: str) -> bool:
        """Whether nobody has used a page yet."""
        return page not in self._owner


class Bounds:
    """ASGI middleware behind the guard, which says who sends a request."""

    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app, self._accounts, self._owners = app, accounts, Owners()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 400, 403, 408 or 413."""
        if scope["type"] != "http" or _UNREAD.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD"):
            refusal = self._refusal(scope, _pages_asked(scope))
        else:
            body, refusal = await self._read(scope, receive)
            receive = replayed(body, receive)
        await (refusal or self._app)(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes, JSONResponse | None]:
        """The body, and why it goes no further."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await read_body(scope, receive, BODY_LIMIT)
        except TimeoutError:
            late = tr("The request did not arrive within {seconds} seconds: send it again.", seconds=_BODY_SECONDS)
            return b"", _said(408, late)
        if body is None:
            longer = tr("The request is longer than {size} MiB: send less at once.", size=BODY_LIMIT >> 20)
            return b"", _said(413, longer)
        if not scope["path"].startswith(_GRADIO) or not body:
            return body, self._refusal(scope, _pages_asked(scope))
        try:
            told = await run_in_threadpool(json.loads, body)
        except (ValueError, RecursionError):
            return b"", _said(400, tr("The request is no JSON: nothing was done."))
        if fetches(told):
            return b"", _said(400, tr("A file has to be uploaded: nothing is fetched from an address."))
        page = told.get("session_hash") if isinstance(told, dict) else None
        return body, self._refusal(scope, [*_pages_asked(scope), *([page] if page is not None else [])])

    def _refusal(self, scope: Scope, pages: list[object]) -> JSONResponse | None:
        """The answer to who uses another one's page."""
        if not pages or not self._accounts.on:
            return None
        state = scope.get("state", {})
        user = state["who"]()
        for page in pages:
            if not isinstance(page, str) or len(page) > _LONGEST_WORD:
                return _said(400, tr("The page's name cannot be used: load it again."))
            # Without a session: who has just turned accounts on waits for the answer.
            mine = self._owners.may_use(page, user.name) if user else self._owners.is_free(page)
            if not mine:
                return _said(403, tr("This page was opened by somebody else: load it again."))
        return None


def fetches(value: Any) -> bool:
    """Whether somewhere in an event's values stands a file that Gradio would fetch from an address."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            path = part.get("path")
            if "meta" in part and isinstance(path, str) and "://" in path:
                return True
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return False


def _pages_asked(scope: Scope) -> list[object]:
    """The pages that a request's address names."""
    if not scope["path"].startswith(_GRADIO):
        return []
    found = _OF_A_PAGE.fullmatch(scope["path"])
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return [*([found[1]] if found else []), *query.get("session_hash", [])]


def _said(status: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message}, status)
