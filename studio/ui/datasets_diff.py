"""What changed between two snapshots of a project: sums first, then the rows of each kind by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from studio.context import Studio
from studio.data.browse import list_snapshots
from studio.data.diff import KINDS, Diff, diff_rows, diff_snapshots
from studio.data.snapshots import count_rows
from studio.errors import BadInput
from studio.language import mark, tr
from studio.ui.components.html import empty, number, text
from studio.ui.datasets_views import PAGE, diff_html, diff_rows_html
from studio.ui.errors import told
from studio.ui.frame import REFRESH, Frame
from studio.ui.work import Work

_FAILED = mark("The snapshots could not be compared")


@dataclass(frozen=True)
class Parts:
    """The menus of two snapshots, and what differs between them."""

    before: gr.Dropdown
    after: gr.Dropdown
    compare: gr.Button
    found: gr.State
    sums: gr.HTML
    kind: gr.Radio
    page: gr.Number
    rows: gr.HTML


def layout() -> Parts:
    """Lay the part out."""
    with gr.Row(elem_id="datasets-pick"):
        before = gr.Dropdown(label="From snapshot", choices=[], min_width=130)
        after = gr.Dropdown(label="To snapshot", choices=[], min_width=130)
        compare = gr.Button("Show changes", scale=0, min_width=130)
    sums = gr.HTML(_only_one())
    with gr.Row():
        choices = [(name, key) for key, name in KINDS.items()]
        kind = gr.Radio(label="Rows that were", choices=choices, value="added", visible=False, scale=3)
        page = gr.Number(
            label="Page of changes", value=1, minimum=1, precision=0, scale=0, min_width=140, visible=False
        )
    return Parts(before, after, compare, gr.State(None), sums, kind, page, gr.HTML())


def wire(studio: Studio, frame: Frame, tab: gr.Tab, snapshot: gr.State, parts: Parts) -> None:
    """Wire the part; `snapshot` is the one looked at, which is compared with the one before it."""
    shown = [parts.sums, parts.found, parts.kind, parts.page]

    def on_menus(chosen: str | None, current: str) -> list[object]:
        return [*menus(studio, chosen, current), _idle(studio, chosen), None, *_controls(None), ""]

    def on_compare(before: str | None, after: str | None) -> Iterator[list[object]]:
        work = Work(lambda own: _diff(studio, before, after, own), _FAILED)
        while work.running(0.2):
            yield [work.html(diff_html), gr.skip(), gr.skip(), gr.skip()]
        found = work.result if isinstance(work.result, Diff) else None
        yield [work.html(diff_html), found, *_controls(found)]

    @told
    def on_rows(found: Diff | None, kind: str, page: float) -> str:
        number = max(1, int(page or 1))
        if found is None:
            return ""
        rows = diff_rows(studio.workspace, studio.db, found, kind, (number - 1) * PAGE, PAGE)
        return diff_rows_html(rows, kind, number)

    reset = [parts.before, parts.after, *shown, parts.rows]
    gr.on([tab.select, snapshot.change], on_menus, [frame.project, snapshot], reset, **REFRESH)
    asked = [parts.before, parts.after]
    parts.compare.click(on_compare, asked, shown, api_visibility="private", show_progress="hidden").then(
        on_rows, [parts.found, parts.kind, parts.page], parts.rows, **REFRESH
    )
    parts.kind.change(lambda: 1, None, parts.page, **REFRESH)
    changes = [parts.kind.change, parts.page.change]
    gr.on(changes, on_rows, [parts.found, parts.kind, parts.page], parts.rows, **REFRESH)


def menus(studio: Studio, chosen: str | None, current: str) -> list[gr.Dropdown]:
    """Both menus for a project: the snapshot in hand, and the one frozen before it."""
    found = list_snapshots(studio.db, chosen) if chosen else []
    choices = [(f"v{item.version} · {item.id[:8]}", item.id) for item in found]
    ids = [item.id for item in found]
    at = ids.index(current) if current in ids else 0
    older = ids[at + 1] if at + 1 < len(ids) else (ids[-1] if ids else None)
    newer = ids[at] if ids else None
    if newer == older and len(ids) > 1:  # the oldest is in hand: what came after it
        newer = ids[at - 1]
    return [gr.Dropdown(choices=choices, value=older), gr.Dropdown(choices=choices, value=newer)]


def _idle(studio: Studio, chosen: str | None) -> str:
    if chosen and len(list_snapshots(studio.db, chosen)) > 1:
        how = tr("Choose two snapshots and show what changed from one to the other.")
        return f'<p class="quiet">{text(how)}</p>'
    return _only_one()


def _only_one() -> str:
    how = tr("Freeze a second snapshot: what changed since the first appears here.")
    return empty(tr("Nothing to compare with"), how)


def _controls(found: Diff | None) -> list[object]:
    """The kinds of rows with their numbers, the first that has any chosen; and the page."""
    if found is None:
        return [gr.Radio(visible=False), gr.Number(visible=False, value=1)]
    choices = [(f"{tr(name)} {number(found.counts[kind])}", kind) for kind, name in KINDS.items()]
    first = next((kind for kind in KINDS if found.counts[kind]), "added")
    return [gr.Radio(choices=choices, value=first, visible=True), gr.Number(value=1, visible=True)]


def _diff(studio: Studio, before: str | None, after: str | None, work: Work[Diff]) -> Diff:
    if not before or not after:
        raise BadInput("Choose two snapshots.")
    total = sum(sum(count_rows(studio.workspace, one).values()) for one in (before, after)) or 1

    def note(rows: int) -> None:
        work.note(rows / total, tr("Comparing: {rows:,} of {total:,} rows", rows=rows, total=total))

    return diff_snapshots(studio.workspace, studio.db, before, after, note)
