"""Datasets: freeze the accepted pairs into a snapshot; look into its splits; take it away as a file."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from storage.records import Snapshot
from studio.context import Studio
from studio.data.browse import count_examples, list_snapshots
from studio.data.snapshots import read_split
from studio.data.transfers import export_snapshot_for, freeze_for
from studio.errors import BadInput
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import chip, count, empty, moment, opened, table, text
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.who import current_user

_PAGE = 25


@dataclass(frozen=True)
class _Parts:
    waiting: gr.HTML
    validation: gr.Slider
    test: gr.Slider
    seed: gr.Number
    freeze: gr.Button
    cards: gr.HTML
    snapshot: gr.State
    split: gr.Radio
    page: gr.Number
    rows: gr.HTML
    kind: gr.Dropdown
    export: gr.Button
    exported: gr.File


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    _wire(studio, frame, tab, _layout())


def _layout() -> _Parts:
    with gr.Row(elem_id="datasets-columns"):
        with gr.Column(scale=4, min_width=280):
            with gr.Column(elem_id="datasets-panel"):
                waiting = gr.HTML()
                validation = gr.Slider(label="Validation share", minimum=0, maximum=0.5, step=0.01, value=0.1)
                test = gr.Slider(label="Test share", minimum=0, maximum=0.5, step=0.01, value=0.1)
                seed = gr.Number(label="Seed", value=0, precision=0, minimum=0)
                button = gr.Button("Freeze snapshot", variant="primary")
            cards = make_cards()
        with gr.Column(scale=7, min_width=300):
            snapshot = gr.State("")
            with gr.Row():
                split = gr.Radio(
                    label="Split",
                    choices=[("Train", "train"), ("Validation", "validation"), ("Test", "test")],
                    value="train",
                    scale=3,
                )
                page = gr.Number(label="Page", value=1, minimum=1, precision=0, scale=0, min_width=90)
            rows = gr.HTML()
            with gr.Row():
                kind = gr.Dropdown(
                    label="File format", choices=["jsonl", "csv", "parquet"], value="jsonl", scale=0, min_width=150
                )
                export = gr.Button("Export snapshot", scale=0, min_width=160)
            exported = gr.File(label="Exported file", visible=False, interactive=False)
    return _Parts(waiting, validation, test, seed, button, cards, snapshot, split, page, rows, kind, export, exported)


def _wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    listed = [parts.waiting, parts.cards, parts.snapshot]

    @told
    def on_freeze(chosen: str | None, validation: float, test: float, seed: float) -> list[object]:
        if not chosen:
            raise BadInput("Choose or create a project first (Projects tab).")
        frozen = freeze_for(studio.db, studio.workspace, current_user(), chosen, validation, test, int(seed or 0))
        made = frozen.snapshot
        ties = f" {count(frozen.ties, 'tie')} left out: a tie prefers neither answer." if frozen.ties else ""
        done = f"Frozen as v{made.version}." if frozen.created else f"Nothing has changed: this is v{made.version}."
        say(done + ties)
        return _listed(studio, chosen, made.id)

    def on_open(chosen: str | None, event: gr.EventData) -> list[object]:
        return _listed(studio, chosen, opened(event))

    @told
    def on_rows(snapshot: str, split: str, page: float) -> str:
        return rows_html(studio, snapshot, split, max(1, int(page or 1)))

    @told
    def on_export(chosen: str | None, snapshot: str, kind: str) -> gr.File:
        if not snapshot:
            raise BadInput("Freeze a snapshot first: there is nothing to export yet.")
        path = studio.workspace.uploads / f"{snapshot}.{kind}"
        export_snapshot_for(studio.db, studio.workspace, current_user(), chosen or "", snapshot, path)
        return gr.File(value=str(path), visible=True)

    parts.freeze.click(
        on_freeze, [frame.project, parts.validation, parts.test, parts.seed], listed, api_visibility="private"
    )
    parts.cards.open(on_open, frame.project, listed, **QUICK)
    refresh = lambda chosen, snapshot: _listed(studio, chosen, snapshot)  # noqa: E731
    gr.on([tab.select, frame.project.change], refresh, [frame.project, parts.snapshot], listed, **REFRESH)
    looked_at = [parts.snapshot, parts.split, parts.page]
    changes = [parts.snapshot.change, parts.split.change, parts.page.change]
    gr.on(changes, on_rows, looked_at, parts.rows, **REFRESH)
    gr.on(
        [parts.snapshot.change, parts.split.change],
        lambda: (1, gr.File(visible=False)),
        None,
        [parts.page, parts.exported],
        **REFRESH,
    )
    asked = [frame.project, parts.snapshot, parts.kind]
    parts.export.click(on_export, asked, parts.exported, api_visibility="private")


def _listed(studio: Studio, chosen: str | None, snapshot: str) -> list[object]:
    """The left side and the snapshot looked at: the asked one while it is the project's, else its newest."""
    if not chosen:
        return [_waiting_html(0), empty("No project chosen", "Choose one above, or create one in Projects."), ""]
    found = list_snapshots(studio.db, chosen)
    ids = [item.id for item in found]
    current = snapshot if snapshot in ids else (ids[0] if ids else "")
    return [_waiting_html(count_examples(studio.db, chosen).labeled), cards_html(found, current), current]


def _waiting_html(labeled: int) -> str:
    return (
        f"<h2 class='title'>Freeze a snapshot</h2><p class='quiet'>{count(labeled, 'accepted pair')} now. A snapshot "
        "never changes: runs that use it stay comparable. The same prompt never lands in two splits.</p>"
    )


def cards_html(found: list[Snapshot], current: str) -> str:
    """The snapshots of a project, newest first."""
    if not found:
        return empty("No snapshot yet", "Freeze one above once there are labeled pairs: training starts from one.")
    items = (
        f'<button type="button" class="item {"current" if item.id == current else ""}" data-id="{text(item.id)}">'
        f'<div class="head"><b>v{item.version}</b><span class="line">{moment(item.created_at)}</span>'
        f'{chip(item.id[:8])}</div><div class="line">{item.train_rows:,} train · {item.validation_rows:,} validation · '
        f"{item.test_rows:,} test · seed {item.seed}</div></button>"
        for item in found
    )
    return f'<div class="list">{"".join(items)}</div>'


def rows_html(studio: Studio, snapshot: str, split: str, page: int) -> str:
    """A page of a split."""
    if not snapshot:
        return empty("Nothing to look into", "The rows of a snapshot's splits appear here.")
    rows = read_split(studio.workspace, snapshot, split, (page - 1) * _PAGE, _PAGE)
    if not rows:
        return empty("No rows here", f"The {split} split has no rows on page {page}.")
    first = (page - 1) * _PAGE + 1
    return table(["#", "Prompt", "Answer"], ([first + i, row.prompt, row.response] for i, row in enumerate(rows)), [0])
