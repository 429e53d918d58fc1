"""Data: upload a file, map its columns, preview, import with an exact account; page through the project's examples."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from studio.data.browse import count_examples, page_examples
from studio.data.columns import Columns
from studio.data.importing import ImportProgress, ImportReport, import_file
from studio.data.readers import Preview, preview
from studio.errors import BadInput, StudioError
from studio.jobs.context import Studio
from studio.ui.components.html import bar, chip, count, empty, notice, opened, table, text
from studio.ui.components.html import cards as make_cards
from studio.ui.errors import told
from studio.ui.frame import QUICK, REFRESH, Frame

_log = logging.getLogger(__name__)
_PAGE = 25
_HEADING = (
    "<h2 class='title'>Import</h2><p class='quiet'>CSV, JSON, JSONL or Parquet. Rows with an answer become labeled "
    "pairs; rows without one wait in Label.</p>"
)
_NONE = "(none)"
_KINDS = [".csv", ".tsv", ".json", ".jsonl", ".parquet"]
_STATUSES = [("All", ""), ("To label", "todo"), ("Labeled", "labeled"), ("Skipped", "skipped"), ("Flagged", "flagged")]
_STATUS_CHIPS = {
    "todo": ("to label", ""),
    "labeled": ("labeled", "good"),
    "skipped": ("skipped", ""),
    "flagged": ("flagged", "warn"),
}


@dataclass(frozen=True)
class _Parts:
    file: gr.File
    mapping: gr.Group
    seen: gr.HTML
    input: gr.Dropdown
    output: gr.Dropdown
    context: gr.Dropdown
    work: gr.State
    start: gr.Button
    cancel: gr.Button
    account: gr.HTML
    status: gr.Radio
    search: gr.Textbox
    page: gr.Number
    listing: gr.HTML


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire_import(studio, frame, parts)
    _wire_listing(studio, frame, tab, parts)


def _layout() -> _Parts:
    with gr.Row(elem_id="data-columns"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(_HEADING)
            file = gr.File(label="File", file_types=_KINDS, type="filepath", height=150, elem_id="data-file")
            with gr.Group(visible=False, elem_id="data-panel") as mapping:
                input_column = gr.Dropdown(label="Input column", choices=[], interactive=True)
                output_column = gr.Dropdown(label="Output column", choices=[], interactive=True)
                context_column = gr.Dropdown(label="Context column", choices=[], interactive=True)
                work = gr.State(None)
                with gr.Row():
                    start = gr.Button("Import", variant="primary")
                    cancel = gr.Button("Cancel import", visible=False, scale=0, min_width=140)
            account = gr.HTML()
        with gr.Column(scale=7, min_width=300):
            seen = gr.HTML(_no_file())
    gr.HTML("<h2 class='title' style='margin-top:18px'>Examples</h2>")
    with gr.Row():
        status = gr.Radio(label="Status", choices=_STATUSES, value="", scale=3)
        search = gr.Textbox(label="Search", placeholder="In prompts and answers", scale=2, min_width=200)
        page = gr.Number(label="Page", value=1, minimum=1, precision=0, scale=0, min_width=100)
    listing = make_cards()
    return _Parts(
        file,
        mapping,
        seen,
        input_column,
        output_column,
        context_column,
        work,
        start,
        cancel,
        account,
        status,
        search,
        page,
        listing,
    )


def _wire_import(studio: Studio, frame: Frame, parts: _Parts) -> None:
    def on_file(path: str | None) -> list[object]:
        if path is None:
            return [gr.Group(visible=False), _no_file(), *[gr.skip()] * 3, ""]
        try:
            found = preview(Path(path))
        except StudioError as error:
            return [gr.Group(visible=False), notice("bad", str(error)), *[gr.skip()] * 3, ""]
        return [gr.Group(visible=True), preview_html(found), *_menus(found), ""]

    def on_import(
        chosen: str | None, path: str | None, input_column: str, output_column: str, context_column: str
    ) -> Iterator[list[object]]:
        columns = Columns(input_column, _column(output_column), _column(context_column))
        work = _Import(studio, chosen, path, columns)
        yield [gr.Button(interactive=False), gr.Button(visible=True), work.html(), work]
        try:
            while work.running(0.2):
                yield [gr.skip(), gr.skip(), work.html(), gr.skip()]
        finally:
            work.cancel()  # the page was closed: nothing is half-imported
        yield [gr.Button(interactive=True), gr.Button(visible=False), work.html(), None]

    parts.file.change(
        on_file,
        parts.file,
        [parts.mapping, parts.seen, parts.input, parts.output, parts.context, parts.account],
        api_visibility="private",
    )
    shown = [parts.start, parts.cancel, parts.account, parts.work]
    menus = [parts.input, parts.output, parts.context]
    importing = parts.start.click(
        on_import, [frame.project, parts.file, *menus], shown, api_visibility="private", show_progress="hidden"
    )
    importing.then(
        lambda *filters: _page_of(studio, *filters),
        [frame.project, parts.status, parts.search, parts.page],
        [parts.listing, parts.page],
        **QUICK,
    )
    # Cancel only asks: the import itself says how it ended, for it may have been done by then.
    parts.cancel.click(lambda work: work.cancel() if work else None, parts.work, None, **QUICK)


class _Import:
    """An import on a thread of its own, so that the handler can show progress and be cancelled."""

    def __init__(self, studio: Studio, project_id: str | None, path: str | None, columns: Columns) -> None:
        self._progress = ImportProgress(0, 0.0)
        self._cancelled = threading.Event()
        self._result: ImportReport | StudioError | None = None
        self._arguments = (studio, project_id, path, columns)
        self._thread = threading.Thread(target=self._work, name="import", daemon=True)
        self._thread.start()

    def running(self, seconds: float) -> bool:
        """Wait a little; whether it is still at work."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Ask it to end; what it has not finished is not imported."""
        self._cancelled.set()

    def html(self) -> str:
        """Progress while it runs, the account afterwards."""
        if isinstance(self._result, StudioError):
            return notice("bad", str(self._result))
        if self._result is not None:
            return account_html(self._result)
        return bar(self._progress.fraction, f"Importing: {count(self._progress.rows, 'row')} read")

    def _note(self, progress: ImportProgress) -> bool:
        self._progress = progress
        return not self._cancelled.is_set()

    def _work(self) -> None:
        studio, project_id, path, columns = self._arguments
        try:
            if not project_id:
                raise BadInput("Choose or create a project first (Projects tab).")
            if not path:
                raise BadInput("Choose a file first.")
            self._result = import_file(studio.db, project_id, Path(path), columns, on_progress=self._note)
        except StudioError as error:
            self._result = error
        except Exception:
            _log.exception("An import failed")
            self._result = StudioError("The import failed and nothing was imported: the app's log says why.")


def _wire_listing(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    filters = [frame.project, parts.status, parts.search]

    @told
    def on_page(chosen: str | None, status: str, search: str, page: float) -> tuple[str, int]:
        return _page_of(studio, chosen, status, search, page)

    gr.on(
        [tab.select, parts.page.submit, parts.page.change],
        on_page,
        [*filters, parts.page],
        [parts.listing, parts.page],
        **REFRESH,
    )
    # The Label tab takes the wanted example up when it is shown.
    parts.listing.open(_on_open, None, [frame.wanted, frame.tabs], **QUICK)
    gr.on(
        [frame.project.change, parts.status.change, parts.search.change],
        lambda chosen, status, search: _page_of(studio, chosen, status, search, 1),
        filters,
        [parts.listing, parts.page],
        **REFRESH,
    )


def _on_open(event: gr.EventData) -> tuple[str, gr.Tabs]:
    return opened(event), gr.Tabs(selected="label")


def _page_of(studio: Studio, chosen: str | None, status: str, search: str, page: float | None) -> tuple[str, int]:
    """The listing, and the page number mended where it is none."""
    number = max(1, int(page or 1))
    return listing_html(studio, chosen, status, search, number), number


def listing_html(studio: Studio, project_id: str | None, status: str, search: str, page: int) -> str:
    """A page of the project's examples with the answer that stands."""
    if not project_id:
        return empty("No project chosen", "Choose one above, or create one in the Projects tab.")
    counts = count_examples(studio.db, project_id)
    rows = page_examples(studio.db, project_id, status or None, search or "", (page - 1) * _PAGE, _PAGE)
    if not counts.total:
        return empty(
            "No examples yet", "Import a file above. A column of prompts is enough: answers are written in Label."
        )
    if not rows:
        return empty("Nothing here", "No example fits this search on this page.")
    body = "".join(
        f'<tr><td class="num">{example.position}</td><td><button type="button" class="link" '
        f'data-id="{text(example.id)}" title="Open in Label">{text(_short(example.text))}</button></td>'
        f"<td>{text(_short(answer))}</td><td>{chip(*_STATUS_CHIPS[example.status])}</td>"
        f'<td class="source">{text(example.source)}</td></tr>'
        for example, answer in rows
    )
    head = '<th class="num">#</th><th>Input</th><th>Answer</th><th>Status</th><th>Source</th>'
    line = f"{counts.total:,} examples · {counts.labeled:,} labeled · {counts.todo:,} to label · page {page}"
    return (
        f'<p class="quiet" style="margin-bottom:8px">{line}</p><div class="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


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
    details = [f"Line {row.line}: {row.reason}" for row in report.rejected]
    if report.rejected_count > len(details):
        details.append(f"… and {report.rejected_count - len(details):,} more")
    return notice("warn" if report.rejected_count else "good", sentence, [*report.notes, *details])


def _menus(found: Preview) -> list[gr.Dropdown]:
    guessed = found.guessed or Columns(found.columns[0])
    optional = [_NONE, *found.columns]
    return [
        gr.Dropdown(choices=list(found.columns), value=guessed.input),
        gr.Dropdown(choices=optional, value=guessed.output or _NONE),
        gr.Dropdown(choices=optional, value=guessed.context or _NONE),
    ]


def _column(chosen: str) -> str | None:
    return None if chosen == _NONE else chosen


def _short(value: str, limit: int = 280) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _no_file() -> str:
    return empty(
        "Nothing to preview",
        "Choose a file: its first rows appear here before anything is imported.",
    )
