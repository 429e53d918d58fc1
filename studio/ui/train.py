"""Train: a snapshot, a base model, the plan, one click; then the run as it goes. Views are in train_views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.contract.events import ACTIVE_STATES
from studio.contract.spec import STARTER
from studio.data.sample import QUICK_RUN
from studio.errors import BadInput
from studio.jobs.on_behalf import resume_run_for, start_run_for, stop_run_for
from studio.jobs.runs import get_run, list_runs
from studio.language import tr
from studio.ui.components.html import awaited, empty, opened
from studio.ui.components.html import cards as make_cards
from studio.ui.components.tables import sorted_table
from studio.ui.curve import build as build_curve
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.sweep import Asked
from studio.ui.sweep import build as build_sweep
from studio.ui.train_form import (
    AUTO_METHOD,
    BASES,
    FRESH,
    OBJECTIVES,
    Wanted,
    findings_of,
    planned,
    quick_settings,
    snapshot_menu,
    start_menu,
    swept,
)
from studio.ui.train_queue import build as build_queue
from studio.ui.train_settings import CHOSEN, setting_controls
from studio.ui.train_settings import NAMES as SETTINGS
from studio.ui.train_views import RunView, run_view, runs_html
from studio.ui.who import current_user


@dataclass(frozen=True)
class _Parts:
    snapshot: gr.Dropdown
    findings: gr.HTML
    base_model: gr.Dropdown
    start_from: gr.Dropdown
    method: gr.Dropdown
    objective: gr.Dropdown
    settings: list[gr.components.Component]
    plan: gr.HTML
    why: gr.HTML
    start: gr.Button
    run: gr.State
    seen: gr.State
    timer: gr.Timer
    summary: gr.HTML
    chart: gr.HTML
    stop: gr.Button
    resume: gr.Button
    samples: gr.HTML
    log: gr.HTML
    runs: gr.HTML

    @property
    def wanted(self) -> list[gr.components.Component]:
        """What a plan and a run are made of."""
        return [self.snapshot, self.base_model, self.start_from, self.method, self.objective, *self.settings]

    @property
    def view(self) -> list[gr.components.Component]:
        """What shows a run."""
        shown = [self.summary, self.chart, self.stop, self.resume, self.samples, self.log, self.runs]
        return [self.run, self.seen, self.timer, *shown]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    look, clicks = _wire_run(studio, frame, tab, parts)
    _wire_menus(studio, frame, tab, parts)
    used = build_sweep(studio, frame, tab, Asked(parts.wanted, swept))
    build_curve(studio, frame, tab, Asked(parts.wanted, swept))
    build_queue(studio, frame, tab, [*clicks, used])
    used.then(look, [frame.project, parts.run, parts.seen], parts.view, **QUICK)
    frame.join(tab)  # before the plan, which takes its time and goes by what the menus say
    _wire_plan(studio, frame, tab, parts)


def _layout() -> _Parts:
    with gr.Row(elem_id="train-columns"):
        with gr.Column(scale=4, min_width=290):
            with gr.Column(elem_id="train-panel"):
                snapshot = gr.Dropdown(label="Snapshot", choices=[])
                findings = gr.HTML()
                base_model = gr.Dropdown(
                    label="Base model",
                    choices=BASES,
                    value=STARTER,
                    allow_custom_value=True,
                    info="Or a Hub id, or a folder with config.json and *.safetensors.",
                )
                start_from = gr.Dropdown(label="Start from", choices=[FRESH], value="", visible=False)
                with gr.Row():
                    method = gr.Dropdown(label="Method", choices=[AUTO_METHOD], value="", min_width=150)
                    objective = gr.Dropdown(
                        label="Objective", choices=OBJECTIVES, value=None, visible=False, min_width=150
                    )
                # As tall as what comes is with the first settings, at 1280 pixels.
                plan = gr.HTML(awaited(212), elem_id="train-plan")
                start = gr.Button("Start training", variant="primary")
                why = gr.HTML(awaited(205), elem_id="train-why")
                settings = setting_controls()
            runs = make_cards()
        with gr.Column(scale=7, min_width=300):
            run, seen, timer = gr.State(""), gr.State(()), gr.Timer(1.0, active=False)
            summary = gr.HTML(empty("No run yet", "Pick a snapshot, read the plan, and start training."))
            with gr.Row():
                stop = gr.Button("Stop", visible=False, scale=0, min_width=110)
                resume = gr.Button("Resume", visible=False, scale=0, min_width=110)
            chart = gr.HTML()
            samples = sorted_table()
            with gr.Accordion("Log of this run", open=False):
                log = gr.HTML()
    return _Parts(
        snapshot,
        findings,
        base_model,
        start_from,
        method,
        objective,
        settings,
        plan,
        why,
        start,
        run,
        seen,
        timer,
        summary,
        chart,
        stop,
        resume,
        samples,
        log,
        runs,
    )


def _wire_menus(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_show(chosen: str | None, current: str | None, begin: str | None, *quick: str | None) -> list[object]:
        menus = [snapshot_menu(studio, chosen, current), start_menu(studio, chosen, begin)]
        return [*menus, *quick_settings(studio, chosen, quick)]

    menus = [parts.snapshot, parts.start_from, *(parts.settings[SETTINGS.index(name)] for name in QUICK_RUN)]
    frame.on_look(tab, on_show, [frame.project, *menus], menus)


def _wire_plan(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_plan(chosen: str | None, *wanted: Any) -> list[object]:
        return [*planned(studio, chosen, wanted), findings_of(studio, chosen, wanted[0])]

    shown = [part for name, part in zip(SETTINGS, parts.settings, strict=True) if name in CHOSEN]
    results = [parts.plan, parts.why, parts.start, parts.method, parts.objective, *shown, parts.findings]
    changes = [part.change for part in parts.wanted]  # type: ignore[attr-defined]
    gr.on([tab.select, *changes], on_plan, [frame.project, *parts.wanted], results, **REFRESH)


def _wire_run(
    studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts
) -> tuple[Callable[..., list[object]], list[gr.events.Dependency]]:
    """Wire what shows a run; the handler that looks at it anew, and the clicks that change what is in the queue."""

    @told
    def on_start(chosen: str | None, *values: Any) -> list[object]:
        want = Wanted.of(values)
        if not want.snapshot:
            raise BadInput("Freeze a snapshot first (Datasets tab): training needs frozen data.")
        what = (want.snapshot, want.base(studio), want.settings, chosen, want.start_from or None)
        run = start_run_for(studio.db, studio.workspace, current_user(), *what)
        return _shown(studio, chosen, run.id, ())

    @told
    def on_stop(chosen: str | None, run: str) -> list[object]:
        stop_run_for(studio.db, studio.workspace, current_user(), run)
        waited = get_run(studio.db, run).state == "stopped"
        say(tr("It waits no more.") if waited else tr("Stopping: a checkpoint is written at the next step."))
        return _shown(studio, chosen, run, ())

    @told
    def on_resume(chosen: str | None, run: str) -> list[object]:
        resume_run_for(studio.db, studio.workspace, current_user(), run)
        return _shown(studio, chosen, run, ())

    def on_open(chosen: str | None, event: gr.EventData) -> list[object]:
        return _shown(studio, chosen, opened(event), ())

    clicks = [
        parts.start.click(on_start, [frame.project, *parts.wanted], parts.view, **QUICK),
        parts.stop.click(on_stop, [frame.project, parts.run], parts.view, **QUICK),
        parts.resume.click(on_resume, [frame.project, parts.run], parts.view, **QUICK),
    ]
    parts.runs.open(on_open, frame.project, parts.view, **QUICK)
    look = lambda chosen, run, seen: _shown(studio, chosen, run, seen)  # noqa: E731
    state = [frame.project, parts.run, parts.seen]
    # A tick does not say which run is looked at: it may answer after a click that chose another.
    parts.timer.tick(lambda *state: look(*state)[1:], state, parts.view[1:], **POLL)
    frame.on_look(tab, look, state, parts.view)
    return look, clicks


def _shown(studio: Studio, project_id: str | None, run_id: str, seen: tuple[object, ...]) -> list[object]:
    """Values of `_Parts.view`: the asked run while it is the project's, else the newest; skips when nothing changed."""
    runs = list_runs(studio.db, project_id) if project_id else []
    run = next((item for item in runs if item.id == run_id), runs[0] if runs else None)
    now_seen = (
        project_id,
        run.id if run else "",
        tuple((r.id, r.state, r.step, r.events_offset, r.message) for r in runs),
    )
    if now_seen == tuple(seen):
        return [gr.skip()] * 10
    view = run_view(studio, get_run(studio.db, run.id)) if run else RunView.nothing()
    return [
        run.id if run else "",
        now_seen,
        gr.Timer(active=any(item.state in (*ACTIVE_STATES, "waiting") for item in runs)),
        view.summary,
        view.chart,
        gr.Button(visible=view.active),
        gr.Button(visible=view.resumable),
        view.samples,
        view.log,
        runs_html(runs, run.id if run else ""),
    ]
