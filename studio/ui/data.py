"""Data: a file, pasted text or a data set of the Hub; its shape and its rows as examples; an import with an account.

What it leaves out: how that looks (import_views.py) and the list of examples (find.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.blocks import Block

from storage.records import Project, User
from studio.context import Studio
from studio.data.hub import PREFIX, parse_hub_name
from studio.data.importing import ImportProgress, ImportReport, import_file
from studio.data.pasted import keep_pasted
from studio.data.previews import preview_import
from studio.data.projects import get_project
from studio.data.shapes import AUTO
from studio.errors import BadInput, StudioError
from studio.language import mark, tr, trn
from studio.ui import export, find
from studio.ui.components.html import notice
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.import_views import (
    ALL_SPLITS,
    COLUMNS,
    MENUS,
    SHAPE_CHOICES,
    account_html,
    columns_of,
    menus_for,
    no_file,
    preview_html,
    split_menu,
)
from studio.ui.roles import least
from studio.ui.tailored import show_to
from studio.ui.who import current_user
from studio.ui.work import Work

_HEADING = (
    "<h2 class='title'>Import</h2><p class='quiet'>CSV, TSV, JSON, JSONL, Parquet, Arrow, or a .zip of a datasets "
    "folder. Rows with an answer become labeled examples; rows without one wait in Label.</p>"
)
_FAILED = mark("The import failed and nothing was imported")
_KINDS = [".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".zip"]


@dataclass(frozen=True)
class _Parts:
    """`source`: what is looked at, as `open_rows` takes it, or ""."""

    file: gr.File
    text: gr.Textbox
    paste: gr.Button
    name: gr.Textbox
    fetch: gr.Button
    source: gr.State
    mapping: gr.Column
    split: gr.Dropdown
    shape: gr.Dropdown
    seen: gr.HTML
    menus: list[gr.Dropdown]
    work: gr.State
    start: gr.Button
    cancel: gr.Button
    account: gr.HTML

    @property
    def looked(self) -> list[Block]:
        """What a new look at a source changes."""
        return [self.mapping, self.seen, self.split, self.shape, *self.menus, self.account]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    out = export.layout("data", button="Export pairs")
    listed = find.layout()
    _wire_sources(studio, frame, parts)
    _wire_choices(studio, frame, parts)
    imported = _wire_import(studio, frame, parts)
    export.wire(studio, frame, tab, out)
    find.wire(studio, frame, tab, listed, imported)


def _layout() -> _Parts:
    with show_to(gr.Row(elem_id="data-columns"), "admin"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(_HEADING)
            file = gr.File(label="File", file_types=_KINDS, type="filepath", height=150, elem_id="data-file")
            with gr.Accordion("Or paste text", open=False, elem_id="data-paste"):
                words = gr.Textbox(
                    label="Pasted text", lines=6, max_lines=14, info="CSV, TSV, JSON, JSONL, or one input a line"
                )
                paste = gr.Button("Preview text", size="sm")
            with gr.Accordion("Or take a data set of the Hub", open=False, elem_id="data-hub"):
                name = gr.Textbox(
                    label="Hub name", placeholder="owner/name", info="Its rows are fetched when you ask, nothing before"
                )
                fetch = gr.Button("Preview data set", size="sm")
            source = gr.State("")
            with gr.Column(visible=False, elem_id="data-panel") as mapping:
                split = gr.Dropdown(label="Split", choices=[ALL_SPLITS], visible=False, interactive=True)
                shape = gr.Dropdown(label="Shape", choices=SHAPE_CHOICES, interactive=True)
                menus = [gr.Dropdown(label=label, choices=[], interactive=True) for label in MENUS.values()]
                work = gr.State(None)
                with gr.Row():
                    start = gr.Button("Import", variant="primary")
                    cancel = gr.Button("Cancel import", visible=False, scale=0, min_width=140)
            account = gr.HTML()
        with gr.Column(scale=7, min_width=300):
            seen = gr.HTML(no_file(), elem_id="data-seen")
    given = (file, words, paste, name, fetch, source)
    return _Parts(*given, mapping, split, shape, seen, menus, work, start, cancel, account)


def _wire_sources(studio: Studio, frame: Frame, parts: _Parts) -> None:
    """A file, pasted text or a name becomes the source that is looked at."""

    @least("admin")
    def on_file(chosen: str | None, path: str | None) -> list[object]:
        return [path or "", *_look(studio, chosen, path or "")]

    @least("admin")
    def on_paste(chosen: str | None, words: str) -> list[object]:
        return _taken_in(studio, chosen, lambda: str(keep_pasted(words or "", studio.workspace.uploads)))

    @least("admin")
    def on_fetch(chosen: str | None, name: str) -> list[object]:
        return _taken_in(studio, chosen, lambda: _hub_source(name or ""))

    @least("admin")
    def on_project(chosen: str | None, source: str) -> list[object]:
        return _look(studio, chosen, source)

    fresh = [parts.source, *parts.looked]
    parts.file.change(on_file, [frame.project, parts.file], fresh, api_visibility="private")
    parts.paste.click(on_paste, [frame.project, parts.text], fresh, api_visibility="private")
    gr.on(
        [parts.fetch.click, parts.name.submit],
        on_fetch,
        [frame.project, parts.name],
        fresh,
        **REFRESH | {"show_progress": "full"},
    )
    frame.project.change(on_project, [frame.project, parts.source], parts.looked, **REFRESH)


def _wire_choices(studio: Studio, frame: Frame, parts: _Parts) -> None:
    """Another split, shape or column: the same source is looked at again."""

    @least("admin")
    def on_choice(chosen: str | None, source: str, split: str, shape: str) -> list[object]:
        found = _look(studio, chosen, source, split, shape)
        return [found[0], found[1], *found[4:]]

    @least("admin")
    def on_column(chosen: str | None, source: str, split: str, shape: str, *named: str | None) -> str:
        return str(_look(studio, chosen, source, split, shape, named)[1])

    given = [frame.project, parts.source, parts.split, parts.shape]
    seen = [parts.mapping, parts.seen, *parts.menus, parts.account]
    gr.on([parts.shape.input, parts.split.input], on_choice, given, seen, **REFRESH)
    gr.on([menu.input for menu in parts.menus], on_column, [*given, *parts.menus], parts.seen, **REFRESH)


def _wire_import(studio: Studio, frame: Frame, parts: _Parts) -> gr.events.Dependency:
    @least("admin")
    def on_import(
        chosen: str | None, source: str, split: str, shape: str, *named: str | None
    ) -> Iterator[list[object]]:
        asked = _Asked(chosen, _address(source, split), shape, named)
        user = current_user()
        work = Work(lambda own: _import(studio, user, asked, own), _FAILED)
        yield [gr.Button(interactive=False), gr.Button(visible=True), work.html(account_html), work]
        try:
            while work.running(0.2):
                yield [gr.skip(), gr.skip(), work.html(account_html), gr.skip()]
        finally:
            work.cancel()  # the page was closed: nothing is half-imported
        yield [gr.Button(interactive=True), gr.Button(visible=False), work.html(account_html), None]

    given = [frame.project, parts.source, parts.split, parts.shape, *parts.menus]
    shown = [parts.start, parts.cancel, parts.account, parts.work]
    importing = parts.start.click(on_import, given, shown, api_visibility="private", show_progress="hidden")
    # Cancel only asks: the import itself says how it ended, for it may have been done by then.
    parts.cancel.click(least("admin")(_cancel), parts.work, None, **QUICK)
    return importing


def _cancel(work: Work[ImportReport] | None) -> None:
    if work:
        work.cancel()


@dataclass(frozen=True)
class _Asked:
    """What is to be imported, and how it is to be read."""

    project: str | None
    source: str
    shape: str
    named: tuple[str | None, ...]


def _import(studio: Studio, user: User, asked: _Asked, work: Work[ImportReport]) -> ImportReport:
    if not asked.project:
        raise BadInput("Choose or create a project first (Projects tab).")
    if not asked.source:
        raise BadInput("Choose a file first.")

    def note(progress: ImportProgress) -> bool:
        words = trn("Importing: {count:,} row read", "Importing: {count:,} rows read", progress.rows)
        return work.note(progress.fraction, words)

    columns, path = columns_of(asked.named), Path(asked.source)
    return import_file(
        studio.db, asked.project, path, columns, annotator=user.name, on_progress=note, shape=asked.shape
    )


def _taken_in(studio: Studio, chosen: str | None, make: Callable[[], str]) -> list[object]:
    """A new source, or why it is none."""
    try:
        source = make()
    except StudioError as error:
        return ["", *_nothing(notice("bad", tr(str(error))))]
    return [source, *_look(studio, chosen, source)]


def _hub_source(name: str) -> str:
    parse_hub_name(name)
    return PREFIX + name.strip().removeprefix(PREFIX)


def _look(
    studio: Studio,
    chosen: str | None,
    source: str,
    split: str = "",
    shape: str = AUTO,
    named: tuple[str | None, ...] = (),
) -> list[object]:
    """What `_Parts.looked` shows of a source, by the shape and the columns named or found."""
    if not source:
        return _nothing(no_file())
    project: Project | None = None
    try:
        project = get_project(studio.db, chosen) if chosen else None
        found, trial = preview_import(
            Path(_address(source, split)), project, shape, columns_of(named) if named else None
        )
    except StudioError as error:
        return _nothing(notice("bad", tr(str(error))))
    # What nothing was found for is mapped by hand; a shape that was named stays, and says what it lacks.
    shown = trial.shape or (COLUMNS if shape == AUTO else shape)
    menus = menus_for(found, project.task if project else "instruction", shown, trial.columns)
    return [gr.Column(visible=True), preview_html(found, trial), split_menu(found), shown, *menus, ""]


def _nothing(said: str) -> list[object]:
    return [gr.Column(visible=False), said, gr.skip(), gr.skip(), *[gr.skip()] * len(MENUS), ""]


def _address(source: str, split: str | None) -> str:
    """A source with the split that was chosen of it."""
    return f"{source}:{split}" if source and split and split != ALL_SPLITS else source
