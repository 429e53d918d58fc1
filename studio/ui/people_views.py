"""What the People tab shows, as HTML: the accounts, and a page of the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.records import Account, AuditLine
from studio.language import tr, trn
from studio.people.roles import ROLES
from studio.ui.components.html import chip, empty, moment, text

OFF = (
    "<h2 class='title'>{title}</h2><p class='quiet'>{now}<br>"
    "<code>python -m studio user add NAME --role admin</code></p><p class='quiet'>{then}</p>"
)


def off_html() -> str:
    """Above the form while there are no accounts."""
    me = "<b>me</b>"
    now = tr(
        "You work alone on this machine, as {me}, and nobody is asked to log in. To work with others make the first "
        "admin here, or with the studio stopped by",
        me=me,
    )
    then = tr(
        "From then on everybody logs in, and the studio may be served on another address ({flag}). To keep what you "
        "have labeled so far under your own account, name it {me}.",
        flag="<code>--host</code>",
        me=me,
    )
    return OFF.format(title=tr("Accounts are off"), now=now, then=then)


def role_words(role: str) -> str:
    """A role with what it may do."""
    words = f"{role}: {ROLES[role]}"
    return tr(words)  # the menu of roles has these texts when the page is built


def accounts_html(accounts: Sequence[Account], opened: str = "") -> str:
    """The users with role and when they were last here."""
    if not accounts:
        return empty(tr("Nobody has an account yet"), tr("The first one is an admin, who adds the others."))
    return f'<div class="list">{"".join(_card(account, account.name == opened) for account in accounts)}</div>'


def _card(account: Account, current: bool) -> str:
    seen = tr("last seen {when}", when=moment(account.seen_at)) if account.seen_at else tr("never logged in")
    locked = chip(tr("locked"), "bad") if account.locked_until else ""
    there = trn("logged in on {count:,} browser", "logged in on {count:,} browsers", account.sessions)
    there = f" · {there}" if account.sessions else ""
    return (
        f'<button type="button" class="item {"current" if current else ""}" data-id="{text(account.name)}">'
        f'<div class="head"><b>{text(account.name)}</b>{locked}{chip(tr(account.role))}</div>'
        f'<div class="line">{seen}{there}</div></button>'
    )


def account_heading(account: Account | None) -> str:
    """Above the form: a new user, or one with what their role may do."""
    if account is None:
        told = tr("Tell them the password; they can change it themselves.")
        return f"<h2 class='title'>{tr('Add a user')}</h2><p class='quiet'>{told}</p>"
    said = tr("{role}. Since {when}.", role=text(role_words(account.role)), when=moment(account.created_at))
    if account.locked_until:
        until = moment(account.locked_until)
        said += " " + tr("Locked after failed log-ins until {when}; a new password ends that.", when=until)
    return f"<h2 class='title'>{text(account.name)}</h2><p class='quiet'>{said}</p>"


def audit_html(lines: Sequence[AuditLine]) -> str:
    """A page of the audit log, the newest first."""
    if not lines:
        return empty(tr("Nothing here"), tr("No line of the log fits these filters."))
    names = (tr("When"), tr("Who"), tr("What"), tr("Whom or which"), tr("Details"))
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
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
