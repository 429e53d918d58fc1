"""Team: annotators' figures, how far they agree, and which labels are likely wrong. Views are in team_views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.data.projects import get_project
from studio.errors import BadInput
from studio.jobs.embedding import embed_project
from studio.labeling.agreement import agreement
from studio.labeling.dashboard import Dashboard, dashboard, with_agreement
from studio.labeling.label_quality import QualityReport, embedded, find_suspects, look_again
from studio.language import mark, tr, trn
from studio.ui.components.html import empty, notice
from studio.ui.components.tables import chosen_ids, chosen_table, sorted_table
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.team_views import agreement_html, dashboard_html, quality_html, suspects_html
from studio.ui.who import current_user
from studio.ui.work import Work

_Work = Work["QualityReport | str"]
_BY_LABEL = ("classification", "multi-label", "rating", "preference")


@dataclass(frozen=True)
class _Parts:
    people: gr.HTML
    agreement: gr.HTML
    quality: gr.Column
    embed: gr.Button
    find: gr.Button
    cancel: gr.Button
    work: gr.State
    account: gr.HTML
    suspects: gr.HTML

    @property
    def running(self) -> list[gr.components.Component]:
        """What changes while something runs."""
        return [self.embed, self.find, self.cancel, self.account, self.suspects, self.work]  # type: ignore[list-item]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire_figures(studio, frame, tab, parts)
    _wire_quality(studio, frame, tab, parts)


def _layout() -> _Parts:
    gr.HTML("<h2 class='title'>Annotators</h2>")
    people = sorted_table()
    gr.HTML("<h2 class='title' style='margin-top:18px'>Agreement</h2>")
    agreed = sorted_table()
    with gr.Column(visible=False) as quality:
        gr.HTML(
            "<h2 class='title' style='margin-top:18px'>Label quality</h2><p class='quiet'>A model learns the labels "
            "from the examples' vectors and tells which it would not expect. “Look again” puts an example back "
            "into the queue; its answer stays in its history.</p>"
        )
        with gr.Row():
            embed = gr.Button("Embed the examples", scale=0, min_width=190)
            find = gr.Button("Find likely wrong labels", variant="primary", scale=0, min_width=220)
            cancel = gr.Button("Cancel", visible=False, scale=0, min_width=110)
        work = gr.State(None)
        account = gr.HTML()
        suspects = chosen_table()
    return _Parts(people, agreed, quality, embed, find, cancel, work, account, suspects)


def _wire_figures(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_show(chosen: str | None) -> list[object]:
        counting = f'<p class="quiet" role="status">{tr("Counting how far annotators agree…")}</p>'
        if not chosen:
            return [_no_project(), "", None]
        found = dashboard(studio.db, chosen)
        return [dashboard_html(found, _is_text(studio, chosen)), counting, (chosen, found)]

    @told
    def on_count(chosen: str | None, shown: tuple[str, Dashboard] | None) -> list[object]:
        if not chosen or not shown or shown[0] != chosen:  # another project was chosen meanwhile: its own count comes
            return [gr.skip(), gr.skip()]
        return counted(studio, *shown)

    figures, shown = gr.State(None), [parts.people, parts.agreement]
    showing = gr.on(frame.looks_at(tab), on_show, frame.project, [*shown, figures], **REFRESH)
    # The second step takes seconds at 100,000 shared answers; the first is shown by then.
    showing.then(on_count, [frame.project, figures], shown, api_visibility="private", show_progress="hidden")


def _wire_quality(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_show(chosen: str | None, work: _Work | None) -> list[object]:
        return quality_of(studio, chosen, work)

    def on_embed(chosen: str | None) -> Iterator[list[object]]:
        yield from _follow(studio, chosen, _started(lambda work: _embed(studio, chosen, work)))

    def on_find(chosen: str | None) -> Iterator[list[object]]:
        yield from _follow(studio, chosen, _started(lambda work: find_suspects(studio.db, _named(chosen), work.note)))

    @told
    def on_again(chosen: str | None, event: gr.EventData) -> list[object]:
        number = look_again(studio.db, current_user(), _named(chosen), chosen_ids(event))
        say(trn("{count:,} example put back into the queue.", "{count:,} examples put back into the queue.", number))
        put_back = trn(
            "{count:,} example put back: find again when they are answered.",
            "{count:,} examples put back: find again when they are answered.",
            number,
        )
        return [notice("good", put_back), ""]

    shown = [parts.quality, parts.embed, parts.find, parts.account, parts.suspects]
    gr.on(frame.looks_at(tab), on_show, [frame.project, parts.work], shown, **REFRESH)
    slow: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    parts.embed.click(on_embed, frame.project, parts.running, **slow)
    parts.find.click(on_find, frame.project, parts.running, **slow)
    parts.cancel.click(lambda work: work.cancel() if work else None, parts.work, None, **QUICK)
    parts.suspects.chosen(on_again, frame.project, [parts.account, parts.suspects], **QUICK)


def _account(result: QualityReport | str) -> str:
    return quality_html(result) if isinstance(result, QualityReport) else notice("good", result)


def _started(run: Callable[[_Work], QualityReport | str]) -> _Work:
    return Work(run, mark("This failed and nothing was changed"))


def _follow(studio: Studio, chosen: str | None, work: _Work) -> Iterator[list[object]]:
    """Values of `_Parts.running` until the work has ended; closing the page ends it."""
    busy, idle = gr.Button(interactive=False), gr.Button(visible=True)
    yield [busy, busy, idle, work.html(_account), "", work]
    try:
        while work.running(0.3):
            yield [gr.skip(), gr.skip(), gr.skip(), work.html(_account), gr.skip(), gr.skip()]
    finally:
        work.cancel()
    report = work.result
    suspects = suspects_html(report) if isinstance(report, QualityReport) else ""
    yield [*_buttons(studio, chosen), gr.Button(visible=False), work.html(_account), suspects, None]


def _embed(studio: Studio, chosen: str | None, work: _Work) -> str:
    def progress(done: int, of: int) -> None:
        work.note(done / max(1, of), tr("Embedding: {done:,} of {all:,} examples", done=done, all=of))

    work.note(0.0, tr("Embedding: starting the encoder"))
    added = embed_project(studio.db, studio.workspace, _named(chosen), progress, work.cancelled)
    return trn("{count:,} example embedded.", "{count:,} examples embedded.", added)


def _no_project() -> str:
    return empty(tr("No project chosen"), tr("Choose one above, or create one in the Projects tab."))


def counted(studio: Studio, project_id: str, found: Dashboard) -> list[object]:
    """Annotators' figures with how far they agree, and agreement itself."""
    agreed = agreement(studio.db, project_id)
    return [dashboard_html(with_agreement(found, agreed), _is_text(studio, project_id)), agreement_html(agreed)]


def quality_of(studio: Studio, project_id: str | None, work: _Work | None) -> list[object]:
    """Whether label quality is for this project, and what it needs first."""
    if not project_id or get_project(studio.db, project_id).task != "classification":
        return [gr.Column(visible=False), *[gr.skip()] * 4]
    if work is not None and work.result is None:
        return [gr.Column(visible=True), *[gr.skip()] * 4]
    labeled, vectors = embedded(studio.db, project_id)
    missing = labeled - vectors
    said = ""
    if not labeled:
        said = empty(tr("Nothing is labeled yet"), tr("Label or import examples first."))
    elif missing:
        words = trn(
            "{count:,} labeled example of {labeled:,} have no vector yet: embed the examples first.",
            "{count:,} labeled examples of {labeled:,} have no vector yet: embed the examples first.",
            missing,
            labeled=labeled,
        )
        said = notice("", words)
    return [gr.Column(visible=True), *_buttons(studio, project_id), said, ""]


def _buttons(studio: Studio, project_id: str | None) -> list[gr.Button]:
    labeled, vectors = embedded(studio.db, project_id) if project_id else (0, 0)
    return [gr.Button(visible=labeled > vectors, interactive=True), gr.Button(interactive=vectors > 0)]


def _named(project_id: str | None) -> str:
    if not project_id:
        raise BadInput("Choose a project first (Projects tab).")
    return project_id


def _is_text(studio: Studio, project_id: str) -> bool:
    return get_project(studio.db, project_id).task not in _BY_LABEL
