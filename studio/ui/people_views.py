"""What the People tab shows, as HTML: the accounts, and a page of the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.records import Account, AuditLine
from studio.people.roles import ROLES
from studio.ui.components.html import chip, count, empty, moment, text

OFF = (
    "<h2 class='title'>Accounts are off</h2><p class='quiet'>You work alone on this machine, as <b>me</b>, and nobody "
    "is asked to log in. To work with others make the first admin here, or with the studio stopped by<br>"
    "<code>python -m studio user add NAME --role admin</code></p><p class='quiet'>From then on everybody logs in, and "
    "the studio may be served on another address (<code>--host</code>). To keep what you have labeled so far under "
    "your own account, name it <b>me</b>.</p>"
)
NEW = "<h2 class='title'>Add a user</h2><p class='quiet'>Tell them the password; they can change it themselves.</p>"


def accounts_html(accounts: Sequence[Account], opened: str = "") -> str:
    """The users with role and when they were last here."""
    if not accounts:
        return empty("Nobody has an account yet", "The first one is an admin, who adds the others.")
    return f'<div class="list">{"".join(_card(account, account.name == opened) for account in accounts)}</div>'


def _card(account: Account, current: bool) -> str:
    seen = f"last seen {moment(account.seen_at)}" if account.seen_at else "never logged in"
    locked = chip("locked", "bad") if account.locked_until else ""
    there = f" · logged in on {count(account.sessions, 'browser')}" if account.sessions else ""
    return (
        f'<button type="button" class="item {"current" if current else ""}" data-id="{text(account.name)}">'
        f'<div class="head"><b>{text(account.name)}</b>{locked}{chip(account.role)}</div>'
        f'<div class="line">{seen}{there}</div></button>'
    )


def account_heading(account: Account | None) -> str:
    """Above the form: a new user, or one with what their role may do."""
    if account is None:
        return NEW
    locked = ""
    if account.locked_until:
        locked = f" Locked after failed log-ins until {moment(account.locked_until)}; a new password ends that."
    return (
        f"<h2 class='title'>{text(account.name)}</h2><p class='quiet'>{text(account.role)}: "
        f"{text(ROLES[account.role])}. Since {moment(account.created_at)}.{locked}</p>"
    )


def audit_html(lines: Sequence[AuditLine]) -> str:
    """A page of the audit log, the newest first."""
    if not lines:
        return empty("Nothing here", "No line of the log fits these filters.")
    head = "".join(f'<th scope="col">{name}</th>' for name in ("When", "Who", "What", "Whom or which", "Details"))
    body = "".join(_row(line) for line in lines)
    return f'<div class="table audit"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(line: AuditLine) -> str:
    concerned = " · ".join(part for part in (line.project, line.subject) if part)
    return (
        f"<tr><td class='when'>{moment(line.at)}</td><td>{text(line.user or '–')}</td>"
        f"<td><b>{text(line.action)}</b></td><td>{text(concerned)}</td><td>{text(details_words(line.details))}</td></tr>"
    )


def details_words(details: Mapping[str, object], longest: int = 300) -> str:
    """Details as "name: value" in one line, cut where they are long (an export has all of it)."""
    words = "; ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in details.items() if value not in ("", None)
    )
    return words if len(words) <= longest else words[: longest - 1] + "…"
