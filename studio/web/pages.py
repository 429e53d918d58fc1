"""The pages without Gradio, as HTML that works without JavaScript: log in, and one's own account."""

from __future__ import annotations

from html import escape
from pathlib import Path

from storage.records import User
from studio.people.passwords import SHORTEST

_STYLE = (Path(__file__).parent / "login.css").read_text(encoding="utf-8")


def login_page(next_path: str = "/", name: str = "", error: str = "") -> str:
    """The log-in, with what was wrong about the last try."""
    first = "password" if name else "name"
    return _page(
        "Log in",
        f"""<section><h1>Log in</h1><p>To label, review and train together.</p>{_notice(error)}
<form method="post" action="/login">
<input type="hidden" name="next" value="{escape(next_path)}">
{_field("name", "Name", "text", "username", name, first == "name")}
{_field("password", "Password", "password", "current-password", "", first == "password")}
<button>Log in</button></form></section>
<p>No account, or the password forgotten? An admin of this studio can help: People tab.</p>""",
    )


def account_page(user: User, error: str = "", done: str = "") -> str:
    """Who is logged in, and a form for another password."""
    return _page(
        "Your account",
        f"""<section><h1>{escape(user.name)}</h1>
<p>Role: {escape(user.role)} · <a href="/">Back to the studio</a></p></section>
<section><h1>Change password</h1><p>At least {SHORTEST} characters. You are logged out everywhere else.</p>
{_notice(error)}{_notice(done, "good")}
<form method="post" action="/account">
<input type="hidden" name="username" autocomplete="username" value="{escape(user.name)}">
{_field("old", "Old password", "password", "current-password", "", bool(error))}
{_field("new", "New password", "password", "new-password")}
{_field("again", "New password again", "password", "new-password")}
<button>Change password</button></form></section>
<form method="post" action="/logout"><button class="plain">Log out</button></form>""",
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
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} · SFT Studio</title><style>{_STYLE}</style></head>"
        f'<body><main><p class="brand">SFT Studio</p>{body}</main></body></html>'
    )
