"""Data: upload a file, map its columns, preview, import with an exact account. The list of examples is find.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.data.columns import Columns
from studio.data.importing import ImportProgress, ImportReport, import_file
from studio.data.projects import get_project
from studio.data.readers import Preview, preview
from studio.errors import BadInput, StudioError
from studio.ui import find
from studio.ui.components.html import count, empty, notice, table, text
from studio.ui.frame import QUICK, Frame
from studio.ui.roles import least
from studio.ui.tailored import show_to
from studio.ui.who import current_user
from studio.ui.work import Work

_HEADING = (
    "<h2 class='title'>Import</h2><p class='quiet'>CSV, JSON, JSONL or Parquet. Rows with an answer become labeled "
    "examples; rows without one wait in Label.</p>"
)
_NONE = "(none)"
_KINDS = [".csv", ".tsv", ".json", ".jsonl", ".parquet"]
_MENUS = {
    "input": "Input column",
    "a": "Answer A column",
    "b": "Answer B column",
    "output": "Output column",
    "margin": "Margin column",
    "reason": "Reason column",
    "context": "Context column",
    "priority": "Priority column",
}
"""The menus of a mapping by the field of Columns that each names, in the order of the form."""

_OF_PREFERENCES = ("a", "b", "margin", "reason")
_OUTPUTS = {
    "classification": "Label column",
    "multi-label": "Labels column",
    "rating": "Rating column",
    "preference": "Choice column",
}


@dataclass(frozen=True)
class _Parts:
    file: gr.File
    mapping: gr.Group
    seen: gr.HTML
    menus: list[gr.Dropdown]
    work: gr.State
    start: gr.Button
    cancel: gr.Button
    account: gr.HTML


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    listed = find.layout()
    imported = _wire_import(studio, frame, parts)
    find.wire(studio, frame, tab, listed, imported)


def _layout() -> _Parts:
    with show_to(gr.Row(elem_id="data-columns"), "admin"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(_HEADING)
            file = gr.File(label="File", file_types=_KINDS, type="filepath", height=150, elem_id="data-file")
            with gr.Group(visible=False, elem_id="data-panel") as mapping:
                menus = [gr.Dropdown(label=label, choices=[], interactive=True) for label in _MENUS.values()]
                work = gr.State(None)
                with gr.Row():
                    start = gr.Button("Import", variant="primary")
                    cancel = gr.Button("Cancel import", visible=False, scale=0, min_width=140)
            account = gr.HTML()
        with gr.Column(scale=7, min_width=300):
            seen = gr.HTML(_no_file())
    return _Parts(file, mapping, seen, menus, work, start, cancel, account)


def _wire_import(studio: Studio, frame: Frame, parts: _Parts) -> gr.events.Dependency:
    @least("admin")
    def on_file(chosen: str | None, path: str | None) -> list[object]:
        if path is None:
            return [gr.Group(visible=False), _no_file(), *[gr.skip()] * len(_MENUS), ""]
        try:
            task = get_project(studio.db, chosen).task if chosen else "instruction"
            found = preview(Path(path), task=task)
        except StudioError as error:
            return [gr.Group(visible=False), notice("bad", str(error)), *[gr.skip()] * len(_MENUS), ""]
        return [gr.Group(visible=True), preview_html(found), *menus_for(found, task), ""]

    @least("admin")
    def on_import(chosen: str | None, path: str | None, *named: str | None) -> Iterator[list[object]]:
        user, columns = current_user(), columns_of(named)
        work = Work(
            lambda own: _import(studio, user, chosen, path, columns, own), "The import failed and nothing was imported"
        )
        yield [gr.Button(interactive=False), gr.Button(visible=True), work.html(account_html), work]
        try:
            while work.running(0.2):
                yield [gr.skip(), gr.skip(), work.html(account_html), gr.skip()]
        finally:
            work.cancel()  # the page was closed: nothing is half-imported
        yield [gr.Button(interactive=True), gr.Button(visible=False), work.html(account_html), None]

    given = [frame.project, parts.file]
    seen = [parts.mapping, parts.seen, *parts.menus, parts.account]
    parts.file.change(on_file, given, seen, api_visibility="private")
    frame.project.change(on_file, given, seen, api_visibility="private", show_progress="hidden")
    shown = [parts.start, parts.cancel, parts.account, parts.work]
    importing = parts.start.click(
        on_import, [*given, *parts.menus], shown, api_visibility="private", show_progress="hidden"
    )
    # Cancel only asks: the import itself says how it ended, for it may have been done by then.
    parts.cancel.click(least("admin")(_cancel), parts.work, None, **QUICK)
    return importing


def _cancel(work: Work[ImportReport] | None) -> None:
    if work:
        work.cancel()


def _import(
    studio: Studio, user: User, project_id: str | None, path: str | None, columns: Columns, work: Work[ImportReport]
) -> ImportReport:
    if not project_id:
        raise BadInput("Choose or create a project first (Projects tab).")
    if not path:
        raise BadInput("Choose a file first.")

    def note(progress: ImportProgress) -> bool:
        return work.note(progress.fraction, f"Importing: {count(progress.rows, 'row')} read")

    return import_file(studio.db, project_id, Path(path), columns, annotator=user.name, on_progress=note)


def preview_html(found: Preview) -> str:
    """The first rows of a file, what it was read as, and what to know about it."""
    notes = "".join(notice("warn", note) for note in found.notes)
    rows = [[_short(cell, 160) for cell in row] for row in found.rows[:8]]
    return (
        f"<h3>Preview</h3><p class='quiet' style='margin-bottom:8px'>{text(found.format)} · {text(found.encoding)} · "
        f"{count(len(found.columns), 'column')}</p>{notes}{table(found.columns, rows)}"
    )


def account_html(report: ImportReport) -> str:
    """What became of every row of an import."""
    waiting = report.imported - report.labeled
    sentence = (
        f"Imported {count(report.imported, 'row')}: {report.labeled:,} labeled, {waiting:,} to label. "
        f"{count(report.duplicates, 'exact duplicate')} skipped, {count(report.rejected_count, 'row')} rejected."
    )
    if report.labels:
        sentence += f" {count(report.labels, 'label')} added to the project."
    details = [f"Line {row.line}: {row.reason}" for row in report.rejected]
    if report.rejected_count > len(details):
        details.append(f"… and {report.rejected_count - len(details):,} more")
    return notice("warn" if report.rejected_count else "good", sentence, [*report.notes, *details])


def menus_for(found: Preview, task: str) -> list[gr.Dropdown]:
    """The menus of a mapping for a file and a task, with what its column names say chosen."""
    guessed = found.guessed or Columns(found.columns[0])
    made = []
    for field, label in _MENUS.items():
        needed = field == "input" or (field in ("a", "b") and task == "preference")
        choices = list(found.columns) if needed else [_NONE, *found.columns]
        value = getattr(guessed, field) or (found.columns[0] if needed else _NONE)
        visible = task == "preference" or field not in _OF_PREFERENCES
        label = _OUTPUTS.get(task, label) if field == "output" else label
        made.append(gr.Dropdown(label=label, choices=choices, value=value, visible=visible))
    return made


def columns_of(named: tuple[str | None, ...]) -> Columns:
    """What the menus name, in their order."""
    chosen = {field: None if name == _NONE else name for field, name in zip(_MENUS, named, strict=True)}
    return Columns(str(chosen.pop("input") or ""), **chosen)


def _short(value: str, limit: int = 280) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _no_file() -> str:
    return empty(
        "Nothing to preview",
        "Choose a file: its first rows appear here before anything is imported.",
    )
