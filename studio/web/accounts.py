"""Log in, log out, one's own password: forms that work without JavaScript, and the session's cookie.

Passwords are checked in FastAPI's worker threads (plain `def` routes), as argon2 takes a tenth of a second of CPU. A
form is read by hand, bounded, before it is parsed: anybody may send one.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from studio.errors import StudioError
from studio.language import tr
from studio.people.accounts import ABSOLUTE, Accounts
from studio.web.guard import cookie_name
from studio.web.identity import user_of
from studio.web.pages import account_page, login_page

_LONGEST_FORM = 16_384


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; {} for one that is too long or no form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


Form = Annotated[dict[str, str], Depends(form_of)]


def account_routes(accounts: Accounts) -> APIRouter:
    """/login, /logout and /account."""
    router = APIRouter()

    @router.get("/login")
    def show_login(request: Request, next: str = "/") -> Response:
        if not accounts.on or request.scope["state"].get("user"):
            return RedirectResponse(local_path(next), 303)
        return HTMLResponse(login_page(local_path(next)))

    @router.post("/login")
    def log_in(request: Request, form: Form) -> Response:
        name, target = form.get("name", "")[:100], local_path(form.get("next", "/"))
        if not accounts.on:
            return RedirectResponse("/", 303)
        try:
            token = accounts.log_in(name, form.get("password", ""), address_of(request))
        except StudioError as error:
            return HTMLResponse(login_page(target, name, tr(str(error))), 401)
        return _logged_in(request, token, target)

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        if session := request.scope["state"].get("session"):
            accounts.log_out(session)
        answer = RedirectResponse("/login" if accounts.on else "/", 303)
        answer.delete_cookie(cookie_name(accounts), httponly=True, samesite="lax", secure=_is_https(request))
        return answer

    @router.get("/logout")
    def ask_to_log_out() -> Response:
        return RedirectResponse("/account", 303)  # a link alone logs nobody out; Gradio would answer here otherwise

    @router.get("/account")
    def show_account(request: Request, changed: str = "") -> Response:
        if not accounts.on:
            return RedirectResponse("/", 303)
        return HTMLResponse(account_page(user_of(request), done=tr("Your password is changed.") if changed else ""))

    @router.post("/account")
    def change_password(request: Request, form: Form) -> Response:
        user = user_of(request)
        if not accounts.on:
            return RedirectResponse("/", 303)
        if form.get("new") != form.get("again"):
            return HTMLResponse(account_page(user, tr("The two new passwords differ: type them again.")), 400)
        try:
            new = form.get("new", "")
            token = accounts.change_password(user.name, form.get("old", ""), new, address_of(request))
        except StudioError as error:
            return HTMLResponse(account_page(user, tr(str(error))), 400)
        return _logged_in(request, token, "/account?changed=1")

    def _logged_in(request: Request, token: str, target: str) -> Response:
        """A new session; one that this browser had before ends, so that no token outlives a log-in."""
        if before := request.scope["state"].get("session"):
            accounts.log_out(before)
        answer = RedirectResponse(target, 303)
        answer.set_cookie(
            cookie_name(accounts),
            token,
            max_age=int(ABSOLUTE.total_seconds()),
            path="/",
            secure=_is_https(request),
            httponly=True,
            samesite="lax",
        )
        return answer

    return router


def local_path(wanted: str) -> str:
    """Where to go after the log-in: a path of this studio, else its page. `//host`, `/\\host` and the like are none."""
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or not wanted.isprintable():
        return "/"
    return "/" if wanted.partition("?")[0] in ("/login", "/logout") else wanted


def address_of(request: Request) -> str:
    """Where a request comes from (uvicorn takes X-Forwarded-For from a proxy on this machine only)."""
    return request.client.host if request.client else ""


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"
