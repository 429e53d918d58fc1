"""The pages without Gradio, as HTML that works without JavaScript: log in, and one's own account."""

from __future__ import annotations

from html import escape
from pathlib import Path

from storage.records import User
from studio.language import reader, tr
from studio.people.passwords import SHORTEST

_STYLE = (Path(__file__).parent / "login.css").read_text(encoding="utf-8")


def login_page(next_path: str = "/", name: str = "", error: str = "") -> str:
    """The log-in, with what was wrong about the last try."""
    first = "password" if name else "name"
    lost = tr("No account, or the password forgotten? An admin of this studio can help: People tab.")
    return _page(
        tr("Log in"),
        f"""<section><h1>{tr("Log in")}</h1><p>{tr("To label, review and train together.")}</p>{_notice(error)}
<form method="post" action="/login">
<input type="hidden" name="next" value="{escape(next_path)}">
{_field("name", tr("Name"), "text", "username", name, first == "name")}
{_field("password", tr("Password"), "password", "current-password", "", first == "password")}
<button>{tr("Log in")}</button></form></section>
<p>{lost}</p>""",
    )


def account_page(user: User, error: str = "", done: str = "") -> str:
    """Who is logged in, and a form for another password."""
    role = escape(tr("Role: {role}", role=tr(user.role)))
    rule = tr("At least {count} characters. You are logged out everywhere else.", count=SHORTEST)
    return _page(
        tr("Your account"),
        f"""<section><h1>{escape(user.name)}</h1>
<p>{role} · <a href="/">{tr("Back to the studio")}</a></p></section>
<section><h1>{tr("Change password")}</h1><p>{rule}</p>
{_notice(error)}{_notice(done, "good")}
<form method="post" action="/account">
<input type="hidden" name="username" autocomplete="username" value="{escape(user.name)}">
{_field("old", tr("Old password"), "password", "current-password", "", bool(error))}
{_field("new", tr("New password"), "password", "new-password")}
{_field("again", tr("New password again"), "password", "new-password")}
<button>{tr("Change password")}</button></form></section>
<form method="post" action="/logout"><button class="plain">{tr("Log out")}</button></form>""",
    )


def _field(name: str, label: str, kind: str, complete: str, value: str = "", focus: bool = False) -> str:
    return (
        f'<label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}" value="{escape(value)}" '
        f'autocomplete="{complete}" autocapitalize="none" spellcheck="false" required maxlength="1000"'
        f"{' autofocus' if focus else ''}>"
    )


def _notice(sentence: str, kind: str = "") -> str:
    return f'<div class="notice {kind}" role="alert">{escape(sentence)}</div>' if sentence else ""


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="{reader()}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} · SFT Studio</title><style>{_STYLE}</style></head>"
        f'<body><main><p class="brand">SFT Studio</p>{body}</main></body></html>'
    )
