"""The rows of a finding as HTML: texts with what a repair would change, groups side by side, one row open for editing.

Data in, HTML out. All texts are somebody's: each goes through `text()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.records import Project
from studio.context import Studio
from studio.contract.preflight import Finding
from studio.data.fields import field_words, fingerprint, read_fields
from studio.data.repairing import Held, Proposal, read_held, read_proposals
from studio.jobs.preflighting import Look
from studio.jobs.reports import NamedRow, rows_of_finding
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, text
from studio.ui.components.words import word_diff

_GROUPS = 8
_OF_GROUP = 6
_LONGEST = 6000
_KEPT = 160
_PLACEHOLDER = re.compile(r"(\[[A-Z][A-Z_]*_\d+\])")
_STATES = {
    "todo": (mark("to label"), ""),
    "skipped": ("skipped", ""),
    "flagged": ("flagged", "warn"),
    "dropped": ("dropped", "bad"),
}


@dataclass(frozen=True)
class RowsPage:
    """A page of a finding's rows: in groups, those of one group beside each other. `stays` are rows shown besides that
    no repair touches; `proposed` says whether there is any proposal at all for the finding."""

    groups: tuple[tuple[Held, ...], ...]
    proposals: Mapping[str, tuple[Proposal, ...]]
    stays: frozenset[str]
    page: int
    pages: int
    total: int
    proposed: bool


def rows_page(studio: Studio, look: Look, finding: int, page: int) -> RowsPage:
    """Read a page of rows with what is proposed for them. Raises JobFailed."""
    assert look.report is not None and look.about is not None
    rows = rows_of_finding(look.folder, finding)
    groups = _grouped(rows)
    pages = max(1, -(-len(groups) // _GROUPS))
    page = min(max(1, page), pages)
    shown = groups[(page - 1) * _GROUPS : page * _GROUPS]
    beside = _beside(look.report.findings[finding], {row.example_id for row in rows})
    wanted = [[*beside.get(group[0].cluster, ()), *(row.example_id for row in group)][:_OF_GROUP] for group in shown]
    ids = [one for group in wanted for one in group]
    held = {one.example_id: one for one in read_held(studio.db, look.about.project_id, ids)}
    proposals: dict[str, list[Proposal]] = {}
    for proposal in read_proposals(look.folder, finding, ids):
        proposals.setdefault(proposal.example_id, []).append(proposal)
    return RowsPage(
        tuple(tuple(held[one] for one in group if one in held) for group in wanted),
        {key: tuple(found) for key, found in proposals.items()},
        frozenset(one for group in beside.values() for one in group),
        *(page, pages, len(rows), bool(proposals) or bool(read_proposals(look.folder, finding, None))),
    )


def rows_html(project: Project, page: RowsPage, editing: str = "") -> str:
    """The rows of a page. `editing`: the example whose texts stand in fields."""
    parts = []
    for group in page.groups:
        cards = "".join(_card(project, page, held, editing) for held in group)
        parts.append(f'<div class="pf-group">{cards}</div>' if len(group) > 1 else cards)
    return f'<div class="pf-rows">{"".join(parts)}</div>{_pages(page)}'


def _grouped(rows: Sequence[NamedRow]) -> list[list[NamedRow]]:
    """Rows of one cluster together, others each alone."""
    groups: list[list[NamedRow]] = []
    for row in rows:
        if groups and row.cluster >= 0 and groups[-1][0].cluster == row.cluster:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _beside(finding: Finding, named: set[str]) -> dict[int, list[str]]:
    """Of the groups that the report shows whole: the rows that no repair would touch, by the group's number."""
    groups = finding.details.get("examples")
    if not isinstance(groups, list):
        return {}
    found = {at: [str(one) for one in group if str(one) not in named][:2] for at, group in enumerate(groups)
             if isinstance(group, list)}  # fmt: skip
    return {at: ids for at, ids in found.items() if ids}


def _card(project: Project, page: RowsPage, held: Held, editing: str) -> str:
    key, number = text(held.example_id), held.position
    stays = held.example_id in page.stays
    state, kind = _STATES.get(held.status, ("", ""))
    marks = chip(tr(state), kind) if state else ""
    marks += chip(tr("stays"), "good") if stays else ""
    choose = text(tr("Choose example {number}", number=number))
    box = (
        f"<b>#{number}</b>"
        if stays
        else f'<label><input type="checkbox" data-row="{key}" aria-label="{choose}"> #{number}</label>'
    )
    fields = read_fields(project.task, held)
    if held.example_id == editing:
        body, action = _editors(held, fields), _button("cancel", held, tr("Close"), f"change-{held.example_id}")
    else:
        body = _texts(page.proposals.get(held.example_id, ()), held, fields)
        edit = _button("change", held, tr("Edit"), f"change-{held.example_id}")
        action = edit if held.status == "labeled" else ""
    return f'<article class="pf-row {text(held.status)}"><header>{box}{marks}{action}</header>{body}</article>'


def _button(act: str, held: Held, words: str, key: str) -> str:
    label = text(tr("{doing} example {number}", doing=words, number=held.position))
    return (
        f'<button type="button" class="find-do" data-act="{act}" data-row="{text(held.example_id)}" '
        f'data-key="{text(key)}" aria-label="{label}">{text(words)}</button>'
    )


def _texts(proposals: Sequence[Proposal], held: Held, fields: Mapping[str, str]) -> str:
    """Each text with what would be written into it; copies stand below as texts of their own."""
    roles = [turn.role for turn in held.turns]
    over = {one.field: one for one in proposals if one.copy == 0}
    lines = []
    for name, value in fields.items():
        proposal = over.get(name)
        shown = _clip(value) if proposal is None else _proposed(value, proposal)
        lines.append(_line(field_words(name, roles), shown))
    for one in proposals:
        if one.copy > 0:
            said = _proposed(fields.get(one.field, ""), one)
            lines.append(_line(tr("copy, {field}", field=field_words(one.field, roles)), said, "copy"))
    return f'<div class="pf-texts">{"".join(lines)}</div>'


def _line(name: str, shown: str, kind: str = "") -> str:
    return f'<div class="pf-text {kind}"><b>{text(name)}</b><p>{shown}</p></div>'


def _proposed(value: str, proposal: Proposal) -> str:
    if proposal.copy == 0 and value == proposal.after:
        return f"{_clip(value)} {chip(tr('written'), 'good')}"
    if fingerprint(value) != proposal.before_hash:
        return _clip(value) + " " + chip(tr("changed since the check"), "warn")
    return redacted(value, proposal.after) or word_diff(value[:_LONGEST], proposal.after[:_LONGEST])


def redacted(before: str, after: str) -> str:
    """`before` with what placeholders stand for in <del> and the placeholder in <ins>; long stretches between are
    shortened. '' where `after` is not `before` with placeholders put in."""
    pieces = _PLACEHOLDER.split(after)
    if len(pieces) < 3:
        return ""
    shown, at = [_shortened(pieces[0])], len(pieces[0])
    if not before.startswith(pieces[0]):
        return ""
    last = len(pieces) - 1
    for place in range(1, last, 2):
        put, rest = pieces[place], pieces[place + 1]
        end = len(before) - len(rest) if place + 1 == last else before.find(rest, at)
        if end < at or not before.startswith(rest, end):
            return ""
        gone = before[at:end]
        shown.append(text(put) if gone == put else f"<del>{text(gone)}</del><ins>{text(put)}</ins>")
        shown.append(_shortened(rest))
        at = end + len(rest)
    return "".join(shown) if at == len(before) else ""


def _shortened(value: str) -> str:
    """A stretch without change: its ends, as what matters stands beside them."""
    if len(value) <= 2 * _KEPT + 40:
        return text(value)
    left = tr("… {count:,} characters …", count=len(value) - 2 * _KEPT)
    return f"{text(value[:_KEPT])}<i> {text(left)} </i>{text(value[-_KEPT:])}"


def _clip(value: str) -> str:
    return text(value if len(value) <= _LONGEST else value[:_LONGEST] + "…")


def _editors(held: Held, fields: Mapping[str, str]) -> str:
    roles = [turn.role for turn in held.turns]
    parts = []
    for name, value in fields.items():
        words = field_words(name, roles)
        save = text(tr("Save {field}", field=words))
        rows = min(14, 2 + value.count("\n") + len(value) // 90)
        parts.append(
            f'<div class="pf-edit"><label>{text(words)}<textarea rows="{rows}" data-field="{text(name)}" '
            f'data-hash="{fingerprint(value)}" spellcheck="false">\n{text(value)}</textarea></label>'
            f'<button type="button" class="find-do" data-act="save" data-row="{text(held.example_id)}" '
            f'data-key="change-{text(held.example_id)}">{save}</button></div>'
        )
    return "".join(parts)


def _pages(page: RowsPage) -> str:
    if page.pages == 1:
        return ""

    def turn(words: str, to: int, name: str, label: str) -> str:
        off = "" if 1 <= to <= page.pages else " disabled"
        return (
            f'<button type="button" class="find-do" data-act="turn" data-page="{to}" data-key="{name}" '
            f'aria-label="{text(label)}"{off}>{text(words)}</button>'
        )

    back = turn(tr("‹ Back"), page.page - 1, "Previous page", tr("Previous page"))
    on = turn(tr("Next ›"), page.page + 1, "Next page", tr("Next page"))
    at = tr("page {page:,} of {pages:,}", page=page.page, pages=page.pages)
    rows = trn("{count:,} row", "{count:,} rows", page.total)
    label = text(tr("Pages of rows"))
    return f'<nav class="find-pages" aria-label="{label}">{back}<span>{text(f"{at} · {rows}")}</span>{on}</nav>'
