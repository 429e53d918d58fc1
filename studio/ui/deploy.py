"""Deploy: a run into production and back, the server that answers, who may ask it, and a model to take elsewhere.

Four parts on one screen, a file each: deploy_production, deploy_server, deploy_keys, deploy_export.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gradio as gr

from studio.context import Studio
from studio.deploy.choices import servable_runs
from studio.errors import BadInput, StudioError
from studio.language import tr
from studio.ui import deploy_production, deploy_server
from studio.ui.components.html import text
from studio.ui.deploy_export import ExportParts, export_layout, export_opened, wire_export
from studio.ui.deploy_keys import KeyParts, keys_layout, keys_shown, wire_keys
from studio.ui.deploy_production import ProductionParts, production_layout, production_shown
from studio.ui.deploy_server import ServerParts, closed, runs_menu, server_layout, server_shown
from studio.ui.deploy_views import no_project, no_run
from studio.ui.errors import told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame

Values = list[object]


@dataclass(frozen=True)
class _Parts:
    nothing: gr.HTML
    train: gr.Button
    rows: gr.Column
    production: ProductionParts
    server: ServerParts
    keys: KeyParts
    export: ExportParts

    @property
    def page(self) -> list[gr.blocks.Block]:
        """All that changes with the project."""
        export = [*self.export.asked, self.export.use, *self.export.live]
        server = [self.server.runs, *self.server.live, *self.server.asked]
        return [self.nothing, self.train, self.rows, *self.production.live, *server, *self.keys.live, *export]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire_page(studio, frame, tab, parts)
    _wire_production(studio, frame, parts)
    _wire_server(studio, frame, parts)
    wire_keys(studio, frame, parts.keys)
    wire_export(studio, frame, parts.export)


def _layout() -> _Parts:
    nothing = gr.HTML(visible=False)
    train = gr.Button("Go to Train", variant="primary", visible=False, scale=0, min_width=150)
    with gr.Column(visible=False, elem_id="deploy-rows") as rows:
        with gr.Row(elem_id="deploy-columns"):
            with gr.Column(min_width=300):
                production, export = production_layout(), export_layout()
            with gr.Column(min_width=300):
                server, keys = server_layout(), keys_layout()
    return _Parts(nothing, train, rows, production, server, keys, export)


def _wire_page(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_look(chosen: str | None, runs: list[str] | None, run: str | None, wanted: str) -> Values:
        values = page_shown(studio, chosen, runs, run, wanted)
        return [*values, *[gr.skip()] * (len(parts.page) - len(values))]

    asked = [frame.project, parts.server.runs, *parts.export.asked]
    # One after the other: what is shown of a project without runs comes faster than of one with, and the last look has
    # to be the last answer.
    gr.on(frame.looks_at(tab), on_look, asked, parts.page, **{**REFRESH, "concurrency_limit": 1})
    parts.train.click(lambda: gr.Tabs(selected="train"), None, frame.tabs, **QUICK)


def _wire_production(studio: Studio, frame: Frame, parts: _Parts) -> None:
    own, live = parts.production, [*parts.production.live, *parts.server.live]

    @told
    def on_promote(chosen: str | None, run: str | None, why: str) -> Values:
        deploy_production.promote(studio, named(chosen), run, why)
        return [*production_shown(studio, named(chosen)), *server_shown(studio, named(chosen))]

    @told
    def on_back(chosen: str | None) -> Values:
        return deploy_production.ask_back(studio, named(chosen))

    @told
    def on_yes(chosen: str | None, coming: str, why: str) -> Values:
        deploy_production.roll_back(studio, named(chosen), coming, why)
        return [*production_shown(studio, named(chosen)), *server_shown(studio, named(chosen))]

    asked = [own.sure, own.question, own.coming]
    own.promote.click(on_promote, [frame.project, own.run, own.why], live, **QUICK)
    own.back.click(on_back, frame.project, asked, **QUICK)
    own.yes.click(on_yes, [frame.project, own.coming, own.why], live, **QUICK)
    own.no.click(closed, None, asked, **QUICK)


def _wire_server(studio: Studio, frame: Frame, parts: _Parts) -> None:
    own = parts.server

    @told
    def on_start(chosen: str | None, runs: list[str] | None, port: float | None, texts: bool) -> Values:
        deploy_server.start(studio, named(chosen), runs, port, texts)
        return server_shown(studio, named(chosen))

    @told
    def on_open(chosen: str | None, event: gr.EventData) -> Values:
        return deploy_server.ask_stop(studio, named(chosen), str(event._data["id"]))

    def on_stop(chosen: str | None, folder: str) -> Iterator[Values]:
        waiting = [gr.skip()] * (len(own.live) - 2)
        try:
            for card, snippet, *asked in deploy_server.stop(studio, named(chosen), folder):
                yield [card, snippet, *waiting, *asked]
        except StudioError as error:
            raise gr.Error(text(tr(str(error))), print_exception=False) from error
        yield [*server_shown(studio, named(chosen)), *closed()]

    def on_tick(chosen: str | None) -> Values:
        return server_shown(studio, chosen) if chosen else [gr.skip()] * len(own.live)

    given = [frame.project, own.runs, own.port, own.texts]
    own.start.click(on_start, given, own.live, **QUICK)
    own.card.open(on_open, frame.project, own.asked, **QUICK)
    own.yes.click(on_stop, [frame.project, own.chosen], [*own.live, *own.asked], **QUICK)
    own.no.click(closed, None, own.asked, **QUICK)
    own.timer.tick(on_tick, frame.project, own.live, **POLL)


def page_shown(studio: Studio, chosen: str | None, runs: Sequence[str] | None, run: str | None, wanted: str) -> Values:
    """Values of `_Parts.page`; without a finished run only the first three: what to do instead of everything else."""
    there = bool(chosen and servable_runs(studio.db, studio.workspace, chosen))
    if not chosen or not there:
        nothing = gr.HTML(value=no_run() if chosen else no_project(), visible=True)
        return [nothing, gr.Button(visible=bool(chosen)), gr.Column(visible=False)]
    server = [runs_menu(studio, chosen, runs), *server_shown(studio, chosen), *closed()]
    export = export_opened(studio, chosen, run, wanted)
    shown = [*production_shown(studio, chosen), *server, *keys_shown(studio, chosen), *export]
    return [gr.HTML(visible=False), gr.Button(visible=False), gr.Column(visible=True), *shown]


def named(chosen: str | None) -> str:
    """The project in hand. Raises BadInput without one."""
    if not chosen:
        raise BadInput("Choose or create a project first (Projects tab).")
    return chosen
