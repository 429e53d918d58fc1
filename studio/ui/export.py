"""Export: a block of controls that the Data tab (a project's accepted pairs) and the Datasets tab (a snapshot) show.

The file itself is streamed by studio.web.exports: here it is said what will be in it, and the browser is sent there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.data.exporting import KINDS, SHAPES, ExportReport, Wanted
from studio.data.hub_push import Destination, Pushed, check_destination, push
from studio.data.projects import get_project
from studio.data.transfers import Goods, check_export, refuse_export
from studio.errors import BadInput, StudioError
from studio.labeling.agreement import agreement
from studio.language import mark, tr, trn
from studio.ui.components.html import notice, text
from studio.ui.errors import told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.roles import least
from studio.ui.tailored import show_to
from studio.ui.who import current_user
from studio.ui.work import Work

PAIRS = "pairs"
"""Stands for a snapshot's id where the accepted pairs of the project go out."""

_SHAPES = [(shape.title, name) for name, shape in SHAPES.items()]
_KINDS = [(title, kind) for kind, title in KINDS.items()]
_NOT_COUNTED = mark("What the file holds could not be counted")
_NOT_PUSHED = mark("The push failed")
DOWNLOAD = """(url) => {
  if (!url) return;
  const link = document.createElement('a');
  link.href = url;
  link.download = '';
  document.body.append(link);
  link.click();
  link.remove();
}"""
_HUB = (
    "<p class='quiet'>Parquet files and a card go to a dataset on huggingface.co, in the form chosen above. Nothing is "
    "sent before you confirm. The token is used once and never kept; without one, the login of this machine is "
    "used (<code>hf auth login</code>).</p>"
)


@dataclass(frozen=True)
class Parts:
    """The controls. `snapshot` holds the id of the snapshot that goes out, or PAIRS."""

    snapshot: gr.State
    shape: gr.Dropdown
    kind: gr.Dropdown
    export: gr.Button
    url: gr.Textbox
    account: gr.HTML
    repo: gr.Textbox
    private: gr.Checkbox
    token: gr.Textbox
    ask: gr.Button
    confirm: gr.Row
    question: gr.HTML
    send: gr.Button
    back: gr.Button
    work: gr.State
    sent: gr.HTML


def layout(name: str, snapshot: gr.State | None = None, button: str = "Export", kind_label: str = "Format") -> Parts:
    """Lay the block out. `name` tells two blocks of a page apart; `snapshot`: the state of the tab that holds the id
    of the snapshot in hand."""
    with show_to(gr.Accordion("Export", open=False, elem_id=f"{name}-export"), "admin"):
        with gr.Row(elem_id=f"{name}-export-row"):
            shape = gr.Dropdown(label="Write as", choices=_SHAPES, value="messages", min_width=180)
            kind = gr.Dropdown(label=kind_label, choices=_KINDS, value=".jsonl", min_width=180)
            export = gr.Button(button, variant="primary", scale=0, min_width=170)
        url = gr.Textbox(label="Download address", visible=False)
        account = gr.HTML()
        with gr.Accordion("Push to the Hub", open=False, elem_id=f"{name}-hub"):
            gr.HTML(_HUB)
            with gr.Row(elem_id=f"{name}-hub-row"):
                repo = gr.Textbox(label="Dataset on the Hub", placeholder="OWNER/NAME", max_lines=1, min_width=180)
                token = gr.Textbox(label="Token (optional)", type="password", max_lines=1, min_width=180)
                ask = gr.Button("Push …", scale=0, min_width=170)
            private = gr.Checkbox(label="Private: only you and your organisation see it", value=True)
            question = gr.HTML()
            with gr.Row(visible=False) as confirm:
                send = gr.Button("Push now", variant="primary", scale=0, min_width=170)
                back = gr.Button("Do not push", scale=0, min_width=170)
            work = gr.State(None)
            sent = gr.HTML()
    first = (snapshot or gr.State(PAIRS), shape, kind, export, url, account, repo, private, token)
    return Parts(*first, ask, confirm, question, send, back, work, sent)


def wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts) -> None:
    """Wire the block of a tab."""
    _wire_file(studio, frame, tab, parts)
    _wire_hub(studio, frame, parts)


def _wire_file(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts) -> None:
    asked = [frame.project, parts.snapshot, parts.shape, parts.kind]

    @told
    @least("admin")
    def on_export(chosen: str | None, snapshot: str, shape: str, kind: str) -> tuple[str, str]:
        goods, wanted = goods_of(chosen, snapshot), Wanted(shape, kind)
        refuse_export(studio.db, studio.workspace, goods, wanted)
        url = url_of(goods, wanted)
        return url, started_html(url)

    @least("admin")
    def on_account(chosen: str | None, snapshot: str, shape: str, kind: str, url: str) -> Iterator[str]:
        goods, wanted = goods_of(chosen, snapshot), Wanted(shape, kind)
        work = Work(lambda own: _check(studio, goods, wanted, own), _NOT_COUNTED)
        try:
            while work.running(0.2):
                yield started_html(url) + work.html(lambda report: "")
        finally:
            work.cancel()
        yield work.html(lambda report: started_html(url, report))

    @least("admin")
    def on_project(chosen: str | None, shape: str) -> list[object]:
        return [shape_menu(studio, chosen, shape), *_nothing_said()]

    @least("admin")
    def on_shape(shape: str, kind: str) -> list[object]:
        return [kinds_for(shape, kind), *_nothing_said()]

    started = parts.export.click(on_export, asked, [parts.url, parts.account], **QUICK)
    started.success(None, parts.url, None, js=DOWNLOAD)
    started.success(on_account, [*asked, parts.url], parts.account, api_visibility="private", show_progress="hidden")
    # What was said of another choice is taken away with as few events as can be: a page pays for each of them.
    said, pages = [parts.account, parts.confirm, parts.question], frame.looks_at(tab)
    gr.on(pages, on_project, [frame.project, parts.shape], [parts.shape, *said], **REFRESH)
    parts.shape.input(on_shape, [parts.shape, parts.kind], [parts.kind, *said], **QUICK)
    others = [parts.kind.input, parts.repo.input, parts.private.input, parts.snapshot.change]
    gr.on(others, least("admin")(_nothing_said), None, said, **REFRESH)


def _wire_hub(studio: Studio, frame: Frame, parts: Parts) -> None:
    @told
    @least("admin")
    def on_ask(chosen: str | None, snapshot: str, shape: str, repo: str, private: bool) -> list[object]:
        goods = goods_of(chosen, snapshot)
        check_destination(Destination(repo.strip()))
        refuse_export(studio.db, studio.workspace, goods, Wanted(shape, "hub"))
        return [question_html(studio, goods, repo.strip(), private), gr.Row(visible=True), ""]

    @least("admin")
    def on_send(
        chosen: str | None, snapshot: str, shape: str, repo: str, private: bool, token: str
    ) -> Iterator[list[object]]:
        user, goods = current_user(), goods_of(chosen, snapshot)
        where = Destination(repo.strip(), private, token)
        work = Work(lambda own: _push(studio, user, goods, where, shape, own), _NOT_PUSHED)
        yield [gr.Row(visible=False), "", "", work.html(pushed_html), work]
        while work.running(0.3):
            yield [gr.skip(), gr.skip(), gr.skip(), work.html(pushed_html), gr.skip()]
        yield [gr.skip(), gr.skip(), gr.skip(), work.html(pushed_html), None]

    named = [frame.project, parts.snapshot, parts.shape, parts.repo, parts.private]
    closed = lambda: (gr.Row(visible=False), "")  # noqa: E731
    parts.ask.click(on_ask, named, [parts.question, parts.confirm, parts.sent], api_visibility="private")
    shown = [parts.confirm, parts.question, parts.token, parts.sent, parts.work]
    parts.send.click(on_send, [*named, parts.token], shown, api_visibility="private", show_progress="hidden")
    parts.back.click(least("admin")(closed), None, [parts.confirm, parts.question], **QUICK)


def _nothing_said() -> list[object]:
    return ["", gr.Row(visible=False), ""]


def goods_of(chosen: str | None, snapshot: str) -> Goods:
    """What goes out. Raises BadInput without a project or a snapshot."""
    if not chosen:
        raise BadInput("Choose or create a project first (Projects tab).")
    if not snapshot:
        raise BadInput("Freeze a snapshot first: there is nothing to export yet.")
    return Goods(chosen, "" if snapshot == PAIRS else snapshot)


def url_of(goods: Goods, wanted: Wanted) -> str:
    """Where the browser gets the file."""
    place = f"snapshot/{goods.project_id}/{goods.snapshot_id}" if goods.snapshot_id else f"project/{goods.project_id}"
    return f"/api/export/{quote(place)}?shape={quote(wanted.shape)}&kind={quote(wanted.kind.lstrip('.'))}"


def started_html(url: str, report: ExportReport | None = None) -> str:
    """That a download has begun, with a link for a browser that did not begin it; and what is in it, once counted."""
    here = f'<a href="{text(url)}" download>{text(tr("Download it here"))}</a>'
    link = f'<p class="quiet">{tr("Did nothing start? {link}", link=here)}</p>'
    if report is None:
        return notice("busy", tr("The download has started.")) + link
    lines = lines_of(report)
    words = " ".join([trn("{count:,} row in the file.", "{count:,} rows in the file.", report.rows), *lines])
    return notice("warn" if lines else "good", words) + link


def lines_of(report: ExportReport) -> list[str]:
    """What was left out or is not kept, in the reader's language; the report's own lines go into files."""
    left = [
        trn("{count:,} row left out: {reason}.", "{count:,} rows left out: {reason}.", rows, reason=tr(reason))
        for reason, rows in report.left_out.items()
    ]
    kept = [
        trn("{count:,} row: {note}.", "{count:,} rows: {note}.", rows, note=tr(note))
        for note, rows in report.notes.items()
    ]
    return [*left, *kept]


def shapes_for(studio: Studio, chosen: str | None) -> list[tuple[str, str]]:
    """The shapes that can hold a project's answers."""
    task = get_project(studio.db, chosen).task if chosen else ""
    unfit = {"preference"} if task != "preference" else {"alpaca", "sharegpt"}
    return [(tr(title), name) for title, name in _SHAPES if name not in unfit]


def shape_menu(studio: Studio, chosen: str | None, shape: str) -> gr.Dropdown:
    """The menu of shapes for a project. What is chosen is only touched where it has no place any more."""
    choices = shapes_for(studio, chosen)
    if shape in [name for _, name in choices]:
        return gr.Dropdown(choices=choices)
    return gr.Dropdown(choices=choices, value="messages")


def kinds_for(shape: str, kind: str) -> gr.Dropdown:
    """The kinds of files that can hold a shape."""
    fit = [(tr(title), name) for title, name in _KINDS if shape != "openai" or name == ".jsonl"]
    return gr.Dropdown(choices=fit, value=kind if kind in [name for _, name in fit] else ".jsonl")


def question_html(studio: Studio, goods: Goods, repo: str, private: bool) -> str:
    """What is about to be sent, where, and who will see it."""
    told = {
        "seen": tr("private") if private else tr("public: everybody can read and copy it"),
        "name": get_project(studio.db, goods.project_id).name,
        "repo": repo,
    }
    if goods.snapshot_id:
        return notice("warn", tr("A snapshot of '{name}' will be sent to {repo} on the Hub ({seen}).", **told))
    return notice("warn", tr("All accepted pairs of '{name}' will be sent to {repo} on the Hub ({seen}).", **told))


def pushed_html(pushed: Pushed) -> str:
    """What went where."""
    seen = tr("private") if pushed.private else tr("public")
    words = trn("{count:,} row sent ({seen}).", "{count:,} rows sent ({seen}).", pushed.report.rows, seen=seen)
    told_all = notice("good", words, lines_of(pushed.report))
    address = pushed.url if pushed.url.startswith(("https://", "http://")) else ""
    link = f'<a href="{text(address)}" target="_blank" rel="noreferrer">{text(address)}</a>' if address else ""
    return f"{told_all}<p class='quiet'>{link}</p>"


def _check(studio: Studio, goods: Goods, wanted: Wanted, work: Work[ExportReport]) -> ExportReport:
    def note(seen: int) -> None:
        if not work.note(0.0, trn("Counting: {count:,} row", "Counting: {count:,} rows", seen)):
            raise StudioError("The rows were not counted to the end.")

    return check_export(studio.db, studio.workspace, goods, wanted, note)


def _push(studio: Studio, user: User, goods: Goods, where: Destination, shape: str, work: Work[Pushed]) -> Pushed:
    said = agreement(studio.db, goods.project_id).words
    return push(studio.db, studio.workspace, user, goods, where, shape, said, work.note)
