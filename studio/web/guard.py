"""What a request must pass: the right host, the same origin, a session, the role that its path asks for.

Checking the Host header keeps a page of another site from reaching a studio on this machine by a name that it points at
127.0.0.1; with accounts on, that site would still have no session, so any name may be used then (a reverse proxy's).
Checking Origin and Sec-Fetch-Site keeps it from posting forms and from reading here (Gradio would let a page of another
port of this machine do so). Each answer gets a policy that lets a page load nothing from outside.

TLS is not done here: for anything but a trusted network put a reverse proxy before the studio that terminates TLS,
keeps the Host header and sets X-Forwarded-Proto and X-Forwarded-For; the cookie is then marked Secure. See the README.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.records import User
from studio.language import COOKIE, asked_language, reading, tr
from studio.people.accounts import Accounts, hash_token
from studio.people.roles import ALONE, may
from studio.ui.tailored import VIEWER
from studio.web.rules import EVERYBODY, NOBODY, least_role

# Gradio's page needs inline and evaluated script; what matters here is that nothing comes from or goes to another host.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'; object-src 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_PRIVATE = ("text/html", "application/json")
_ANSWERS = "/gradio_api/queue/data"
# Whose click has just turned accounts on still waits for its answer; there is nothing else to be had on that path.
_WAITING = User(ALONE.name, "annotator")


class Guard:
    """ASGI middleware over everything. `hosts` are the names a request may be for without accounts; None allows any.

    What lies behind finds the user in scope["state"]["user"], and in ["who"] a function that gives them anew (or None
    when the session has ended since), for work that begins later than its request.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None, accounts: Accounts) -> None:
        self._app, self._hosts, self._accounts = app, hosts, accounts
        self._cookie = cookie_name(accounts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 303 to the log-in, 401 or 403."""
        if scope["type"] == "websocket":  # nothing here speaks it, so nothing has to check it
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = cookie_parser(headers.get("cookie", ""))
        language = asked_language(cookies.get(COOKIE, ""), headers.get("accept-language", ""))
        scope.setdefault("state", {})["language"] = language
        reading(language)
        if reason := self._refusal(headers, scope["method"]):
            await PlainTextResponse(reason, status_code=403)(scope, receive, send)
            return
        answer = self._identify(scope, headers, cookies.get(self._cookie, ""))
        if self._accounts.unsaved:
            asyncio.get_running_loop().run_in_executor(None, self._accounts.save)
        await (answer or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, headers: Headers, method: str) -> str | None:
        host = headers.get("host", "")
        named = self._hosts is None or _hostname(host) in self._hosts
        if not named and not self._accounts.on:
            return tr("This studio answers on 127.0.0.1 only: open it under that address.")
        origin = headers.get("origin")
        asked_for = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        followed = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if (origin is not None and _netloc(origin) != host) or not (asked_for or followed):
            return tr("This request comes from another site: open the studio's own page.")
        return None

    def _identify(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        """Put the user into the scope; what to answer instead where they may not go on."""
        token_hash = hash_token(token) if token else None
        user = self._accounts.user_of(token_hash)
        if user is None and scope["path"] == _ANSWERS and self._accounts.just_on:
            user = _WAITING
        state = scope.setdefault("state", {})
        state["who"] = partial(self._accounts.user_of, token_hash)
        state["user"] = user
        VIEWER.set(user.role if user else "annotator")
        state["session"] = token_hash
        return self._answer_for(user, scope, headers)

    def _answer_for(self, user: User | None, scope: Scope, headers: Headers) -> Response | None:
        least = least_role(scope["path"])
        if least == EVERYBODY:
            return None
        if user is None:
            if scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", ""):
                return RedirectResponse(f"/login?next={quote(_asked(scope), safe='/')}", 303)
            return JSONResponse({"message": tr("You are not logged in: open the page and log in.")}, 401)
        if least == NOBODY:
            return JSONResponse({"message": tr("This studio does not use this.")}, 403)
        if not may(user, least):
            needs = tr("This needs the role {role}; yours is {yours}.", role=tr(least), yours=tr(user.role))
            return JSONResponse({"message": needs}, 403)
        return None

    def _with_headers(self, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if self._accounts.on and headers.get("content-type", "").startswith(_PRIVATE):
                    headers.setdefault("Cache-Control", "no-store")  # the back button shows nothing after a log-out
            await send(message)

        return with_headers


def cookie_name(accounts: Accounts) -> str:
    """The session cookie's name: of one workspace, as browsers send a host's cookies to each of its ports."""
    return f"sft_studio_{hashlib.sha256(str(accounts.place).encode()).hexdigest()[:8]}"


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _asked(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])
