"""Datasets: freeze the accepted pairs into a snapshot; look into it, verify it, trace its rows, take it away as a file.

What changed between two snapshots is datasets_diff.py; what all of it looks like, datasets_views.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.data.browse import count_examples, list_snapshots
from studio.data.lineage import of_example, of_snapshot
from studio.data.snapshot_files import read_manifest
from studio.data.snapshots import GROUPINGS, Frozen, count_rows, read_split, search_split, verify
from studio.data.transfers import freeze_for
from studio.errors import BadInput, StudioError
from studio.jobs.curves import list_curves
from studio.language import mark, tr
from studio.ui import datasets_diff, export
from studio.ui.components.find_list import story_panel
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import empty, notice, opened, text
from studio.ui.components.lineage import lineage_html
from studio.ui.datasets_views import (
    PAGE,
    cards_html,
    curve_html,
    frozen_html,
    head_html,
    rows_html,
    sound_html,
    waiting_html,
)
from studio.ui.errors import told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.who import current_user
from studio.ui.work import Work

_GROUPINGS = [(words.capitalize(), key) for key, words in GROUPINGS.items()]
_NOT_FROZEN = mark("The freeze failed and no snapshot was made")
_NOT_CHECKED = mark("The check failed")
_SPLITS = [("Train", "train"), ("Validation", "validation"), ("Test", "test")]


@dataclass(frozen=True)
class _Form:
    """How a snapshot is made."""

    waiting: gr.HTML
    validation: gr.Slider
    test: gr.Slider
    seed: gr.Number
    grouping: gr.Dropdown
    stratify: gr.Checkbox
    freeze: gr.Button
    cancel: gr.Button
    work: gr.State
    account: gr.HTML
    cards: gr.HTML


@dataclass(frozen=True)
class _Looked:
    """One snapshot looked into."""

    snapshot: gr.State
    head: gr.HTML
    verify: gr.Button
    checked: gr.HTML
    split: gr.Radio
    words: gr.Textbox
    page: gr.Number
    rows: gr.HTML
    origin: gr.Tab
    lineage: gr.HTML
    story: gr.HTML


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    with gr.Row(elem_id="datasets-columns"):
        with gr.Column(scale=4, min_width=280):
            form = _form()
        with gr.Column(scale=7, min_width=300):
            snapshot = gr.State("")
            with gr.Row(elem_id="datasets-head"):
                head = gr.HTML()
                check = gr.Button("Verify", scale=0, min_width=100, size="sm", visible=False)
            checked = gr.HTML()
            with gr.Tabs():
                with gr.Tab("Rows"):
                    split, words, page, rows = _rows()
                    exports = export.layout("datasets", snapshot, "Export snapshot", "File format")
                with gr.Tab("Changes") as changes_tab:
                    changes = datasets_diff.layout()
                with gr.Tab("Lineage") as origin:
                    lineage = gr.HTML()
    looked = _Looked(snapshot, head, check, checked, split, words, page, rows, origin, lineage, _story())
    _wire_freeze(studio, frame, tab, form, looked)
    _wire_looks(studio, frame, looked)
    datasets_diff.wire(studio, frame, changes_tab, snapshot, changes)
    export.wire(studio, frame, tab, exports)


def _form() -> _Form:
    with gr.Column(elem_id="datasets-panel"):
        waiting = gr.HTML()
        validation = gr.Slider(label="Validation share", minimum=0, maximum=0.5, step=0.01, value=0.1)
        test = gr.Slider(label="Test share", minimum=0, maximum=0.5, step=0.01, value=0.1)
        with gr.Accordion("More options", open=False, elem_id="datasets-more"):
            grouping = gr.Dropdown(
                label="Keep together in one split",
                choices=_GROUPINGS,
                value="column",
                info="The same prompt is never in two splits, whatever is chosen.",
            )
            stratify = gr.Checkbox(label="Like shares of each label in every split", value=True)
            seed = gr.Number(label="Seed", value=0, precision=0, minimum=0)
        with gr.Row():
            button = gr.Button("Freeze snapshot", variant="primary")
            cancel = gr.Button("Cancel freeze", visible=False, scale=0, min_width=130)
        work, account = gr.State(None), gr.HTML()
    return _Form(waiting, validation, test, seed, grouping, stratify, button, cancel, work, account, make_cards())


def _rows() -> tuple[gr.Radio, gr.Textbox, gr.Number, gr.HTML]:
    with gr.Row(elem_id="datasets-find"):
        split = gr.Radio(label="Split", choices=_SPLITS, value="train", scale=3, min_width=230)
        words = gr.Textbox(label="Search rows", placeholder="In all turns", max_lines=1, scale=2, min_width=150)
        page = gr.Number(label="Page", value=1, minimum=1, precision=0, scale=0, min_width=90)
    return split, words, page, make_cards()


def _story() -> gr.HTML:
    return story_panel("datasets-story")


def _wire_freeze(studio: Studio, frame: Frame, tab: gr.Tab, form: _Form, looked: _Looked) -> None:
    listed = [form.waiting, form.cards, looked.snapshot, looked.head, looked.verify]
    state = [form.freeze, form.cancel, form.account, form.work]

    def on_freeze(chosen: str | None, current: str, *asked: float | str | bool) -> Iterator[list[object]]:
        user = current_user()
        work = Work(lambda own: _freeze(studio, user, chosen, asked, own), _NOT_FROZEN)
        yield [gr.Button(interactive=False), gr.Button(visible=True), work.html(_account), work, *[gr.skip()] * 5]
        try:
            while work.running(0.2):
                yield [gr.skip(), gr.skip(), work.html(_account), gr.skip(), *[gr.skip()] * 5]
        finally:
            work.cancel()  # the page was closed: a snapshot is whole or not there
        done = [gr.Button(interactive=True), gr.Button(visible=False), work.html(_account), None]
        yield [*done, *_listed(studio, chosen, work.result.snapshot.id if isinstance(work.result, Frozen) else current)]

    def on_open(chosen: str | None, event: gr.EventData) -> list[object]:
        return _listed(studio, chosen, opened(event))

    def on_show(chosen: str | None, snapshot: str) -> list[object]:
        return [*_listed(studio, chosen, snapshot), ""]

    asked = [frame.project, looked.snapshot, form.validation, form.test, form.seed, form.stratify, form.grouping]
    form.freeze.click(on_freeze, asked, [*state, *listed], api_visibility="private", show_progress="hidden")
    form.cancel.click(_cancel, form.work, None, **QUICK)
    form.cards.open(on_open, frame.project, listed, **QUICK)
    shown = [*listed, form.account]
    gr.on(frame.looks_at(tab), on_show, [frame.project, looked.snapshot], shown, **REFRESH)


def _wire_looks(studio: Studio, frame: Frame, looked: _Looked) -> None:
    def on_rows(snapshot: str, split: str, page: float, words: str | None) -> str:
        return rows_of(studio, snapshot, split, max(1, int(page or 1)), words)

    def on_first(snapshot: str, split: str, words: str | None) -> list[object]:
        return [rows_of(studio, snapshot, split, 1, words), 1]

    def on_snapshot(snapshot: str, split: str, words: str | None) -> list[object]:
        return ["", *on_first(snapshot, split, words)]

    def on_verify(snapshot: str) -> Iterator[str]:
        work = Work(lambda own: _verify(studio, snapshot, own), _NOT_CHECKED)
        while work.running(0.2):
            yield work.html(sound_html)
        yield work.html(sound_html)

    @told
    def on_story(event: gr.EventData) -> str:
        return story_html(studio, opened(event))

    @told
    def on_lineage(chosen: str | None, snapshot: str) -> str:
        return lineage_of(studio, chosen, snapshot)

    at = [frame.project, looked.snapshot]
    first, asked = [looked.rows, looked.page], [looked.split, looked.words]
    looked.snapshot.change(on_snapshot, [looked.snapshot, *asked], [looked.checked, *first], **REFRESH)
    looked.snapshot.change(on_lineage, at, looked.lineage, **REFRESH)  # apart, as it counts all rows of the snapshot
    # `change` for what is typed: `input` is not sent for a text that was pasted.
    gr.on([looked.split.input, looked.words.change], on_first, [looked.snapshot, *asked], first, **REFRESH)
    turned = [looked.snapshot, looked.split, looked.page, looked.words]
    looked.page.change(on_rows, turned, looked.rows, **REFRESH)
    looked.verify.click(on_verify, looked.snapshot, looked.checked, api_visibility="private", show_progress="hidden")
    looked.rows.open(on_story, None, looked.story, **QUICK)
    looked.origin.select(on_lineage, at, looked.lineage, **REFRESH)


def _freeze(
    studio: Studio, user: User, chosen: str | None, asked: tuple[float | str | bool, ...], work: Work[Frozen]
) -> Frozen:
    if not chosen:
        raise BadInput("Choose or create a project first (Projects tab).")
    validation, test, seed, stratify, grouping = asked
    shares = (float(validation), float(test), int(seed or 0))
    options = (bool(stratify), str(grouping), work.note)
    return freeze_for(studio.db, studio.workspace, user, chosen, *shares, *options)


def _account(frozen: Frozen) -> str:
    return frozen_html(frozen.snapshot, frozen.created, frozen.notes)


def _cancel(work: Work[Frozen] | None) -> None:
    if work:
        work.cancel()


def _verify(studio: Studio, snapshot: str, work: Work[dict[str, int]]) -> dict[str, int]:
    if not snapshot:
        raise BadInput("Freeze a snapshot first: there is nothing to verify yet.")
    total = sum(count_rows(studio.workspace, snapshot).values()) or 1

    def note(rows: int) -> bool:
        return work.note(rows / total, tr("Reading: {rows:,} of {total:,}", rows=rows, total=total))

    return verify(studio.workspace, snapshot, note)


def _listed(studio: Studio, chosen: str | None, snapshot: str) -> list[object]:
    """The left side, the snapshot looked at (the asked one while it is the project's, else its newest) and its head,
    which would move what stands below it if it came later."""
    if not chosen:
        none = empty(tr("No project chosen"), tr("Choose one above, or create one in Projects."))
        return [waiting_html(0), none, "", "", gr.Button(visible=False)]
    found = list_snapshots(studio.db, chosen)
    ids = [item.id for item in found]
    current = snapshot if snapshot in ids else (ids[0] if ids else "")
    left = [waiting_html(count_examples(studio.db, chosen).labeled), cards_html(found, current)]
    return [*left, current, head_of(studio, chosen, current), gr.Button(visible=bool(current))]


def head_of(studio: Studio, chosen: str | None, snapshot: str) -> str:
    """The name of the snapshot looked at and how it was made."""
    found = [item for item in list_snapshots(studio.db, chosen or "") if item.id == snapshot]
    if not found:
        return ""
    try:
        head = head_html(found[0], read_manifest(studio.workspace, snapshot))
        return head + curve_html(list_curves(studio.workspace, chosen, snapshot))
    except StudioError as error:
        return head_html(found[0], {}) + notice("bad", tr(str(error)))


def rows_of(studio: Studio, snapshot: str, split: str, page: int, words: str | None) -> str:
    """A page of a split, or why there is none to see."""
    try:
        return page_html(studio, snapshot, split, page, (words or "").strip())
    except StudioError as error:
        return notice("bad", tr(str(error)))


def page_html(studio: Studio, snapshot: str, split: str, page: int, words: str = "") -> str:
    """A page of a split, or of its rows with some words."""
    if not snapshot:
        return empty(tr("Nothing to look into"), tr("The rows of a snapshot's splits appear here."))
    if not words:
        return rows_html(read_split(studio.workspace, snapshot, split, (page - 1) * PAGE, PAGE), split, page)
    rows, total = search_split(studio.workspace, snapshot, split, words, (page - 1) * PAGE, PAGE)
    return rows_html(rows, split, page, words, total)


def story_html(studio: Studio, example_id: str) -> str:
    """The panel with a row's lineage."""
    label, title = text(tr("Lineage of a row")), text(tr("Lineage of this row"))
    return (
        f'<aside class="story" aria-label="{label}"><div class="bar"><h2 tabindex="-1">{title}</h2>'
        f'<button type="button" class="find-do" data-close="1">{text(tr("Close"))} <kbd>Esc</kbd></button></div>'
        f"{lineage_html(of_example(studio.db, example_id))}</aside>"
    )


def lineage_of(studio: Studio, chosen: str | None, snapshot: str) -> str:
    """Where the snapshot looked at comes from and what was trained on it. One of another project is not told of: the
    change to this project is still on its way."""
    if snapshot not in [item.id for item in list_snapshots(studio.db, chosen or "")]:
        return empty(
            tr("Nothing to trace"),
            tr("Who answered the rows of a snapshot, and what was trained on it, appears here."),
        )
    return lineage_html(of_snapshot(studio.db, snapshot, chosen or None))
