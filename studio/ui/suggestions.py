"""Suggestions of a project: where they come from, how the vectors stand, and what annotators make of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from studio.context import Studio
from studio.data.projects import get_project
from studio.errors import BadInput
from studio.jobs.endpoint import load_endpoint
from studio.jobs.sources import choose_source, forget_endpoint, list_sources, name_endpoint, source_words
from studio.labeling.ordering import Missing, vectors_of
from studio.labeling.suggestions import SourceRate, rates
from studio.language import mark, tr
from studio.ui.components.html import bar, chip, empty, notice, table, text
from studio.ui.components.rate_lines import rate_lines
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.roles import least
from studio.ui.who import current_user

_LOOK_SECONDS = 1.5


@dataclass(frozen=True)
class _Parts:
    source: gr.Dropdown
    state: gr.HTML
    compute: gr.Button
    cancel: gr.Button
    timer: gr.Timer
    rates: gr.HTML
    url: gr.Textbox
    model: gr.Textbox
    key: gr.Textbox
    save: gr.Button
    forget: gr.Button
    endpoint: gr.HTML

    @property
    def live(self) -> list[gr.components.Component]:
        """What changes while the suggester works."""
        return [self.state, self.compute, self.cancel, self.timer, self.rates]

    @property
    def named(self) -> list[gr.components.Component]:
        """What shows the endpoint; the key's field is always emptied."""
        return [self.url, self.model, self.key, self.endpoint, self.forget]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the panel out inside a tab and wire it."""
    parts = _layout()
    _wire(studio, frame, tab, parts)
    _wire_endpoint(studio, frame, tab, parts)


def _layout() -> _Parts:
    with gr.Column(elem_id="suggestions-panel"):
        gr.HTML(
            "<h2 class='title'>Suggestions and order</h2><p class='quiet'>A model drafts an answer for the next "
            "examples; annotators take it over, change it, or write their own.</p>"
        )
        with gr.Row():
            source = gr.Dropdown(label="Suggestions from", choices=[("No suggestions", "")], value="", scale=3)
            compute = gr.Button("Compute vectors and order", scale=0, min_width=230)
            cancel = gr.Button("Stop", visible=False, scale=0, min_width=90)
        state, timer = gr.HTML(), gr.Timer(_LOOK_SECONDS, active=False)
        shown = gr.HTML()
        with gr.Accordion("Endpoint (OpenAI-compatible)", open=False):
            endpoint = gr.HTML()
            with gr.Row():
                url = gr.Textbox(label="Address", placeholder="https://host/v1", max_lines=1, scale=3)
                model = gr.Textbox(label="Model", max_lines=1, scale=2)
                key = gr.Textbox(
                    label="API key", type="password", max_lines=1, scale=2, placeholder="kept here, never shown"
                )
            with gr.Row():
                save = gr.Button("Save endpoint", scale=0, min_width=150)
                forget = gr.Button("Forget endpoint", visible=False, scale=0, min_width=150)
    return _Parts(source, state, compute, cancel, timer, shown, url, model, key, save, forget, endpoint)


def _wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    @told
    @least("admin")
    def on_choose(chosen: str | None, source: str) -> list[object]:
        choose_source(studio.db, studio.workspace, current_user(), _named(chosen), source or "")
        studio.suggester.poke(_named(chosen))
        say(tr("Saved: suggestions appear while somebody labels.") if source else tr("Saved: no suggestions."))
        return live_of(studio, chosen)

    @told
    @least("reviewer")
    def on_compute(chosen: str | None) -> list[object]:
        studio.suggester.compute(_named(chosen))
        return live_of(studio, chosen)

    @told
    @least("reviewer")
    def on_cancel(chosen: str | None) -> list[object]:
        studio.suggester.cancel(_named(chosen))
        return live_of(studio, chosen)

    def on_show(chosen: str | None) -> list[object]:
        return [sources_of(studio, chosen), *live_of(studio, chosen)]

    shown = [parts.source, *parts.live]
    gr.on(frame.looks_at(tab), on_show, frame.project, shown, **REFRESH)
    parts.source.input(on_choose, [frame.project, parts.source], parts.live, **QUICK)
    parts.compute.click(on_compute, frame.project, parts.live, **QUICK)
    parts.cancel.click(on_cancel, frame.project, parts.live, **QUICK)
    parts.timer.tick(lambda chosen: live_of(studio, chosen), frame.project, parts.live, **POLL)


def _wire_endpoint(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    @told
    @least("admin")
    def on_save(chosen: str | None, url: str, model: str, key: str) -> list[object]:
        name_endpoint(studio.db, studio.workspace, current_user(), url, model, key)
        say(tr("Saved: projects can choose it now."))
        return [*endpoint_of(studio), sources_of(studio, chosen)]

    @told
    @least("admin")
    def on_forget(chosen: str | None) -> list[object]:
        forget_endpoint(studio.db, studio.workspace, current_user())
        return [*endpoint_of(studio), sources_of(studio, chosen)]

    @least("admin")
    def on_show() -> list[object]:
        return endpoint_of(studio)

    after = [*parts.named, parts.source]
    tab.select(on_show, None, parts.named, **REFRESH)
    parts.save.click(on_save, [frame.project, parts.url, parts.model, parts.key], after, **QUICK)
    parts.forget.click(on_forget, frame.project, after, **QUICK)


def sources_of(studio: Studio, project_id: str | None) -> gr.Dropdown:
    """The sources that the project's task allows, with the one it has chosen."""
    if not project_id:
        return gr.Dropdown(choices=[(tr("No suggestions"), "")], value="", interactive=False)
    project = get_project(studio.db, project_id)
    found = [(tr(source.words), source.name) for source in list_sources(studio.db, studio.workspace, project)]
    chosen = project.settings.suggest
    if chosen not in [name for _, name in found]:
        words = tr("{source} (not there any more)", source=tr(source_words(studio.db, project_id, chosen)))
        found.append((words, chosen))
    return gr.Dropdown(choices=found, value=chosen, interactive=True)


def live_of(studio: Studio, project_id: str | None) -> list[object]:
    """Values of `_Parts.live`."""
    if not project_id:
        nothing = empty(tr("No project chosen"), tr("Choose one above, or create one."))
        return [nothing, *_buttons(False, False), ""]
    busy, found = studio.suggester.busy(project_id), rates(studio.db, project_id)
    words = {source: tr(source_words(studio.db, project_id, source)) for source in {rate.source for rate in found}}
    return [state_html(studio, project_id), *_buttons(True, busy), rates_html(found, words)]


def endpoint_of(studio: Studio) -> list[object]:
    """Values of `_Parts.named`."""
    endpoint = load_endpoint(studio.workspace)
    if endpoint is None:
        off = tr("Off. Prompts of a project that chooses it are sent to this address.")
        return ["", "", "", f"<p class='quiet'>{off}</p>", gr.Button(visible=False)]
    kept = chip(tr("key kept"), "good") if endpoint.key else chip(tr("no key"))
    host = f"<b>{text(endpoint.host)}</b>"
    shown = tr("Named: {host} {key} An empty key field keeps the key.", host=host, key=kept)
    return [endpoint.url, endpoint.model, "", f"<p class='quiet'>{shown}</p>", gr.Button(visible=True)]


def state_html(studio: Studio, project_id: str) -> str:
    """How far vectors are, and what the suggester does, in words."""
    status = studio.suggester.status(project_id)
    if status.fraction is not None:
        return bar(status.fraction, tr(status.words))
    told_of = notice("warn" if status.problem else "busy", tr(status.words)) if status.words else ""
    return f"{_vectors_html(vectors_of(studio.db, project_id))}{told_of}"


def rates_html(found: Sequence[SourceRate], words: dict[str, str]) -> str:
    """What annotators made of each source's suggestions: all days in a table, day by day in a plot."""
    if not found:
        nothing = tr("Nobody has decided on a suggestion yet; then its rates stand here.")
        return f"<p class='quiet'>{nothing}</p>"
    by_source: dict[str, list[SourceRate]] = defaultdict(list)
    for day in found:
        by_source[day.source].append(day)
    newest = sorted(by_source.items(), key=lambda item: item[1][-1].day, reverse=True)
    head = [tr("Source"), tr("Accepted as is"), tr("Decided"), tr("Edited"), tr("Rejected"), tr("Characters an edit")]
    body = table(head, [_row(words.get(source, source), days) for source, days in newest], range(1, 6))
    lines = [(words.get(source, source), [(day.day, day.rate) for day in days]) for source, days in newest]
    return f"{body}{rate_lines(lines, tr('Share of suggestions accepted as they were, by day'))}"


def _row(name: str, days: Sequence[SourceRate]) -> list[object]:
    accepted, edited, rejected = (sum(getattr(day, key) for day in days) for key in ("accepted", "edited", "rejected"))
    changed = sum((day.mean_distance or 0) * day.edited for day in days) / edited if edited else None
    decided = accepted + edited + rejected
    share = f"{accepted / decided:.0%}" if decided else "–"
    return [name, share, decided, edited, rejected, "–" if changed is None else f"{changed:.0f}"]


def _vectors_html(missing: Missing) -> str:
    if not missing.examples:
        return f"<p class='quiet'>{tr('No examples yet: import some in the Data tab.')}</p>"
    if missing.ordered >= missing.todo:
        words = mark("Vectors of {vectors:,} of {examples:,} examples; {todo:,} wait for a label, in diverse order.")
    else:
        words = mark(
            "Vectors of {vectors:,} of {examples:,} examples; {todo:,} wait for a label, {ordered:,} in diverse order."
        )
    return f"<p class='quiet'>{tr(words, **vars(missing))}</p>"


def _buttons(usable: bool, busy: bool) -> list[object]:
    """Compute, stop, and the timer, which looks only while there is something to see."""
    return [gr.Button(interactive=usable and not busy), gr.Button(visible=busy), gr.Timer(active=busy)]


def _named(chosen: str | None) -> str:
    if not chosen:
        raise BadInput("Choose a project first.")
    return chosen
