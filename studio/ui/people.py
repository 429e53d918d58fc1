"""People: who may log in and in what role; the audit log, searched page by page and exported. Views: people_views."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict
from uuid import uuid4

import gradio as gr

from studio.context import Studio
from studio.data.auditing import audit_choices, export_audit, record, search_audit
from studio.errors import BadInput
from studio.language import tr
from studio.people.passwords import SHORTEST
from studio.people.roles import ROLES
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import opened, text
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.people_views import account_heading, accounts_html, audit_html, off_html, role_words
from studio.ui.who import current_user

_PAGE = 50
_TO_LOGIN = "() => { window.location.assign('/login'); }"
Values = list[object]


class _Filters(TypedDict):
    text: str
    user: str
    action: str
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class _Parts:
    cards: gr.HTML
    chosen: gr.State
    heading: gr.HTML
    name: gr.Textbox
    role: gr.Dropdown
    password: gr.Textbox
    again: gr.Textbox
    first: gr.Button
    add: gr.Button
    set_role: gr.Button
    set_password: gr.Button
    log_out: gr.Button
    remove: gr.Button
    sure: gr.Group
    question: gr.HTML
    yes: gr.Button
    no: gr.Button
    new: gr.Button

    @property
    def form(self) -> list[gr.blocks.Block]:
        """What changes with the user that is looked at."""
        shown = [self.cards, self.chosen, self.heading]
        fields = [self.name, self.role, self.password, self.again]
        buttons = [self.first, self.add, self.set_role, self.set_password, self.log_out, self.remove, self.new]
        return [*shown, *fields, *buttons, self.sure, self.question]


@dataclass(frozen=True)
class _Log:
    search: gr.Textbox
    user: gr.Dropdown
    action: gr.Dropdown
    since: gr.Textbox
    until: gr.Textbox
    pages: gr.State
    table: gr.HTML
    newer: gr.Button
    older: gr.Button
    kind: gr.Dropdown
    export: gr.Button
    exported: gr.File

    @property
    def filters(self) -> list[gr.components.Component]:
        """What the log is searched by."""
        return [self.search, self.user, self.action, self.since, self.until]

    @property
    def page(self) -> list[gr.components.Component]:
        """What shows a page of it."""
        return [self.pages, self.table, self.newer, self.older]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts, log = _layout(), _layout_log()
    _wire_open(studio, frame, tab, parts)
    _wire_changes(studio, parts)
    _wire_log(studio, frame, tab, log)


def _layout() -> _Parts:
    with gr.Row(elem_id="people-columns"):
        with gr.Column(scale=6, min_width=300):
            cards = make_cards()
        with gr.Column(scale=5, min_width=300, elem_id="people-panel"):
            chosen = gr.State("")
            heading = gr.HTML()
            name = gr.Textbox(label="User name", placeholder="ann", max_lines=1)
            role = gr.Dropdown(label="Role", choices=_roles())
            set_role = gr.Button("Change role", visible=False)
            password = gr.Textbox(label="Password", type="password", placeholder=f"At least {SHORTEST} characters")
            again = gr.Textbox(label="Password again", type="password")
            first = gr.Button("Turn accounts on", variant="primary", visible=False)
            add = gr.Button("Add user", variant="primary", visible=False)
            set_password = gr.Button("Set new password", visible=False)
            with gr.Row():
                log_out = gr.Button("Log out everywhere", visible=False)
                remove = gr.Button("Remove …", visible=False)
            with gr.Group(visible=False, elem_id="people-sure") as sure:
                question = gr.HTML()
                with gr.Row():
                    yes, no = gr.Button("Remove this user", variant="stop"), gr.Button("Keep")
            new = gr.Button("Add another user", visible=False)
    return _Parts(
        cards, chosen, heading, name, role, password, again, first, add, set_role, set_password, log_out, remove, sure,
        question, yes, no, new,
    )  # fmt: skip


def _layout_log() -> _Log:
    gr.HTML("<h2 class='title' id='audit-title'>Audit log</h2><p class='quiet'>Who did what; never changed.</p>")
    with gr.Row(elem_id="audit-filters"):
        search = gr.Textbox(label="Search the log", placeholder="Any word of it", scale=3, min_width=180)
        user = gr.Dropdown(label="By", choices=[("Everybody", "")], value="", scale=2, min_width=130)
        action = gr.Dropdown(label="Action", choices=[("All", "")], value="", scale=2, min_width=150)
        since = gr.Textbox(label="From day (UTC)", placeholder="2026-11-30", max_lines=1, min_width=120)
        until = gr.Textbox(label="To day (UTC)", placeholder="2026-12-31", max_lines=1, min_width=120)
    pages, table = gr.State([]), gr.HTML()
    with gr.Row(elem_id="audit-pages"):
        newer = gr.Button("Newer", scale=0, min_width=100, interactive=False)
        older = gr.Button("Older", scale=0, min_width=100, interactive=False)
        kind = gr.Dropdown(label="Log as", choices=["csv", "jsonl"], value="csv", scale=0, min_width=110)
        export = gr.Button("Export log", scale=0, min_width=120)
    exported = gr.File(label="Exported log", visible=False, interactive=False)
    return _Log(search, user, action, since, until, pages, table, newer, older, kind, export, exported)


def _wire_open(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_open(event: gr.EventData) -> Values:
        return _form(studio, opened(event))

    def on_remove(chosen: str) -> Values:
        question = tr(
            "Remove {who}? They can log in no more; all their work is kept under their name.", who=text(chosen)
        )
        return [gr.Group(visible=True), f"<p>{question}</p>"]

    frame.on_look(tab, lambda chosen: _with_typed(_form(studio, chosen)), [parts.chosen], parts.form)
    parts.cards.open(on_open, None, parts.form, **QUICK)
    parts.new.click(lambda: _form(studio, ""), None, parts.form, **QUICK)
    parts.remove.click(on_remove, parts.chosen, [parts.sure, parts.question], **QUICK)
    parts.no.click(lambda: gr.Group(visible=False), None, parts.sure, **QUICK)


def _wire_changes(studio: Studio, parts: _Parts) -> None:
    accounts = studio.accounts

    @told
    def on_add(name: str, role: str, password: str, again: str) -> Values:
        made = accounts.add(name, role or "", _same(password, again), current_user().name)
        say(tr("{who} can log in now.", who=made.name))
        return _form(studio, "")

    @told
    def on_role(chosen: str, role: str) -> Values:
        kept = accounts.set_role(chosen, role, current_user().name)
        say(tr("{who} is {role} from now on.", who=kept.name, role=tr(kept.role)))
        return _form(studio, chosen)

    @told
    def on_password(chosen: str, password: str, again: str) -> Values:
        accounts.set_password(chosen, _same(password, again), current_user().name)
        say(tr("{who} has a new password and is logged out everywhere.", who=chosen))
        return _form(studio, chosen)

    @told
    def on_log_out(chosen: str) -> Values:
        ended = accounts.end_sessions(chosen, current_user().name)
        say(tr("{who} is logged out ({count} ended).", who=chosen, count=ended))
        return _form(studio, chosen)

    @told
    def on_yes(chosen: str) -> Values:
        accounts.remove(chosen, current_user().name)
        say(tr("{who} is removed; their work is kept.", who=chosen))
        return _form(studio, "")

    words = [parts.password, parts.again]
    parts.first.click(on_add, [parts.name, parts.role, *words], parts.form, **QUICK).success(
        None, None, None, js=_TO_LOGIN, **QUICK
    )
    parts.add.click(on_add, [parts.name, parts.role, *words], parts.form, **QUICK)
    parts.set_role.click(on_role, [parts.chosen, parts.role], parts.form, **QUICK)
    parts.set_password.click(on_password, [parts.chosen, *words], parts.form, **QUICK)
    parts.log_out.click(on_log_out, parts.chosen, parts.form, **QUICK)
    parts.yes.click(on_yes, parts.chosen, parts.form, **QUICK)


def _wire_log(studio: Studio, frame: Frame, tab: gr.Tab, log: _Log) -> None:
    @told
    def on_search(*filters: str) -> Values:
        return _log_page(studio, [], filters)

    @told
    def on_older(pages: list[int], *filters: str) -> Values:
        return _log_page(studio, pages, filters)

    @told
    def on_newer(pages: list[int], *filters: str) -> Values:
        return _log_page(studio, pages[:-2], filters)

    @told
    def on_export(kind: str, *filters: str) -> gr.File:
        folder = studio.workspace.uploads / uuid4().hex  # a path that nobody can guess
        folder.mkdir(parents=True)
        path = folder / f"audit-log.{kind if kind == 'jsonl' else 'csv'}"
        lines = export_audit(studio.db, path, **_asked(filters))
        record(studio.db, current_user().name, "audit export", subject=path.name, lines=lines)
        return gr.File(value=str(path), visible=True)

    changes = [part.change for part in (log.search, log.user, log.action, log.since, log.until)]
    gr.on(changes, on_search, log.filters, log.page, **REFRESH)
    frame.on_look(tab, on_search, log.filters, log.page)
    frame.on_look(tab, lambda: _choices(studio), [], [log.user, log.action])
    log.older.click(on_older, [log.pages, *log.filters], log.page, **QUICK)
    log.newer.click(on_newer, [log.pages, *log.filters], log.page, **QUICK)
    log.export.click(on_export, [log.kind, *log.filters], log.exported, api_visibility="private")


def _form(studio: Studio, chosen: str) -> Values:
    """Values of `_Parts.form`: accounts off, a new user (no name chosen), or one user."""
    accounts = studio.accounts
    everybody = accounts.everybody()
    account = next((one for one in everybody if one.name == chosen), None)
    fresh, on = account is None, accounts.on
    heading = account_heading(account) if on else off_html()
    role = account.role if account else "annotator" if on else "admin"
    return [
        accounts_html(everybody, chosen),
        account.name if account else "",
        heading,
        gr.Textbox(value="", visible=fresh),
        gr.Dropdown(choices=_roles(), value=role, interactive=on),
        "",
        "",
        *[gr.Button(visible=seen) for seen in (not on, on and fresh, not fresh, not fresh, not fresh, not fresh)],
        gr.Button(visible=not fresh),
        gr.Group(visible=False),
        "",
    ]


def _roles() -> list[tuple[str, str]]:
    return [(role_words(role), role) for role in ROLES]


def _with_typed(form: Values) -> Values:
    """Values of `_Parts.form` that leave name and passwords as they are: a tab that opens slowly is typed into."""
    cards, chosen, heading, _, role, _, _, *rest = form
    return [cards, chosen, heading, gr.Textbox(visible=not chosen), role, gr.skip(), gr.skip(), *rest]


def _same(password: str, again: str) -> str:
    if password != again:
        raise BadInput("The two passwords differ: type them again.")
    return password


def _log_page(studio: Studio, pages: list[int], filters: tuple[str, ...]) -> Values:
    """Values of `_Log.page`. `pages`: the number that each further page begins below, the last for the one to show."""
    asked = _asked(filters)
    lines = search_audit(studio.db, limit=_PAGE + 1, before=pages[-1] if pages else None, **asked)
    more, lines = len(lines) > _PAGE, lines[:_PAGE]
    begun = [*pages, lines[-1].number] if more else [*pages, 0]
    return [begun, audit_html(lines), gr.Button(interactive=bool(pages)), gr.Button(interactive=more)]


def _asked(filters: tuple[str, ...]) -> _Filters:
    search, user, action, since, until = filters
    end = _day(until)
    return {
        "text": search or "",
        "user": user or "",
        "action": action or "",
        "since": _day(since),
        "until": end + timedelta(days=1) if end else None,
    }


def _day(typed: str | None) -> datetime | None:
    if not (typed or "").strip():
        return None
    try:
        day = date.fromisoformat((typed or "").strip())
    except ValueError:
        raise BadInput("A day is written as 2026-11-30 (year, month, day).") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _choices(studio: Studio) -> Values:
    users, actions = audit_choices(studio.db)
    return [
        gr.Dropdown(choices=[(tr("Everybody"), ""), *[(name, name) for name in users]]),
        gr.Dropdown(choices=[(tr("All"), ""), *[(name, name) for name in actions]]),
    ]
