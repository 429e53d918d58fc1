"""Train: a snapshot, a base model, the plan, one click; then the run as it goes. Views are in train_views."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from studio.context import Studio
from studio.contract.events import ACTIVE_STATES
from studio.contract.spec import STARTER, TrainSpec
from studio.data.browse import list_snapshots
from studio.errors import BadInput, StudioError
from studio.jobs.on_behalf import resume_run_for, start_run_for, stop_run_for
from studio.jobs.plan import plan_run
from studio.jobs.preflighting import Target, look_at
from studio.jobs.runs import get_run, list_runs
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import empty, notice, opened
from studio.ui.components.tables import sorted_table
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.preflight_views import brief
from studio.ui.train_views import RunView, plan_html, run_view, runs_html
from studio.ui.who import current_user

_DEFAULTS = {name: field.default for name, field in TrainSpec.model_fields.items()}
_SETTINGS = ("epochs", "max_steps", "learning_rate", "batch_size", "lora_rank", "max_length", "seed")


@dataclass(frozen=True)
class _Parts:
    snapshot: gr.Dropdown
    findings: gr.HTML
    base_model: gr.Dropdown
    settings: list[gr.Number]
    plan: gr.HTML
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
    def view(self) -> list[gr.components.Component]:
        """What shows a run."""
        shown = [self.summary, self.chart, self.stop, self.resume, self.samples, self.log, self.runs]
        return [self.run, self.seen, self.timer, *shown]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire_plan(studio, frame, tab, parts)
    _wire_run(studio, frame, tab, parts)


def _layout() -> _Parts:
    with gr.Row(elem_id="train-columns"):
        with gr.Column(scale=4, min_width=290):
            with gr.Column(elem_id="train-panel"):
                snapshot = gr.Dropdown(label="Snapshot", choices=[])
                findings = gr.HTML()
                base_model = gr.Dropdown(
                    label="Base model",
                    choices=[("SmolLM2-135M-Instruct (starter)", STARTER)],
                    value=STARTER,
                    allow_custom_value=True,
                    info="Or a Hub id, or a folder with config.json and *.safetensors.",
                )
                plan = gr.HTML()
                with gr.Accordion("Settings", open=False):
                    settings = _settings()
                start = gr.Button("Start training", variant="primary")
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
        settings,
        plan,
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


def _settings() -> list[gr.Number]:
    labels = {
        "epochs": "Epochs",
        "max_steps": "Max steps (0 = by epochs)",
        "learning_rate": "Learning rate",
        "batch_size": "Batch size (rows)",
        "lora_rank": "LoRA rank",
        "max_length": "Max length (tokens)",
        "seed": "Seed",
    }
    whole = {"max_steps", "batch_size", "lora_rank", "max_length", "seed"}
    return [
        gr.Number(label=labels[name], value=_DEFAULTS[name], precision=0 if name in whole else None)
        for name in _SETTINGS
    ]


def _wire_plan(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:

    def on_show(chosen: str | None, current: str | None) -> gr.Dropdown:
        return snapshot_menu(studio, chosen, current)

    def on_plan(chosen: str | None, snapshot: str | None, base_model: str, *settings: float) -> list[object]:
        try:
            return [plan_of(studio, chosen, snapshot, base_model, settings), gr.Button(interactive=bool(snapshot))]
        except StudioError as error:
            return [notice("bad", str(error)), gr.Button(interactive=False)]

    gr.on([tab.select, frame.project.change], on_show, [frame.project, parts.snapshot], parts.snapshot, **REFRESH)
    chosen_by = [frame.project, parts.snapshot, parts.base_model, *parts.settings]
    changes = [parts.snapshot.change, parts.base_model.change, *(field.change for field in parts.settings)]
    gr.on([tab.select, *changes], on_plan, chosen_by, [parts.plan, parts.start], **REFRESH)
    looked = [frame.project, parts.snapshot]
    shows = [tab.select, parts.snapshot.change]
    gr.on(shows, lambda *now: findings_of(studio, *now), looked, parts.findings, **REFRESH)


def _wire_run(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:

    @told
    def on_start(chosen: str | None, snapshot: str | None, base_model: str, *settings: float) -> list[object]:
        if not snapshot:
            raise BadInput("Freeze a snapshot first (Datasets tab): training needs frozen data.")
        run = start_run_for(studio.db, studio.workspace, current_user(), snapshot, base_model, _given(settings), chosen)
        return _shown(studio, chosen, run.id, ())

    @told
    def on_stop(chosen: str | None, run: str) -> list[object]:
        stop_run_for(studio.db, studio.workspace, current_user(), run)
        say("Stopping: a checkpoint is written at the next step.")
        return _shown(studio, chosen, run, ())

    @told
    def on_resume(chosen: str | None, run: str) -> list[object]:
        resume_run_for(studio.db, studio.workspace, current_user(), run)
        return _shown(studio, chosen, run, ())

    def on_open(chosen: str | None, event: gr.EventData) -> list[object]:
        return _shown(studio, chosen, opened(event), ())

    chosen_by = [frame.project, parts.snapshot, parts.base_model, *parts.settings]
    parts.start.click(on_start, chosen_by, parts.view, **QUICK)
    parts.stop.click(on_stop, [frame.project, parts.run], parts.view, **QUICK)
    parts.resume.click(on_resume, [frame.project, parts.run], parts.view, **QUICK)
    parts.runs.open(on_open, frame.project, parts.view, **QUICK)
    look = lambda chosen, run, seen: _shown(studio, chosen, run, seen)  # noqa: E731
    state = [frame.project, parts.run, parts.seen]
    # A tick does not say which run is looked at: it may answer after a click that chose another.
    parts.timer.tick(lambda *state: look(*state)[1:], state, parts.view[1:], **POLL)
    gr.on([tab.select, frame.project.change], look, state, parts.view, **REFRESH)


def snapshot_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """The project's snapshots, newest first and chosen, unless another of them already is."""
    found = list_snapshots(studio.db, project_id) if project_id else []
    choices = [
        (f"v{s.version} · {s.train_rows} / {s.validation_rows} / {s.test_rows} rows · {s.id[:8]}", s.id) for s in found
    ]
    ids = [item.id for item in found]
    return gr.Dropdown(choices=choices, value=current if current in ids else (ids[0] if ids else None))


def findings_of(studio: Studio, project_id: str | None, snapshot: str | None) -> str:
    """What a preflight of the snapshot found, in a line; where there was none, that there could be one."""
    if not project_id or not snapshot:
        return ""
    report = look_at(None, studio.workspace, Target(project_id, snapshot)).report
    return brief(report) if report else "<p class='quiet'>Not checked yet: see the Preflight tab before you train.</p>"


def plan_of(
    studio: Studio, project_id: str | None, snapshot: str | None, base_model: str, settings: tuple[float, ...]
) -> str:
    """The plan of the run that a click would start, or what is missing for one."""
    if not project_id:
        return empty("No project chosen", "Choose one above, or create one in the Projects tab.")
    if not snapshot:
        return empty("No snapshot yet", "Freeze one in the Datasets tab: training needs data that stays as it is.")
    return plan_html(plan_run(studio.db, studio.workspace, snapshot, base_model, _given(settings), project_id))


def _given(settings: tuple[float, ...]) -> dict[str, object]:
    """Settings by name; an emptied field means its default."""
    return {name: value for name, value in zip(_SETTINGS, settings, strict=True) if value is not None}


def _shown(studio: Studio, project_id: str | None, run_id: str, seen: tuple[object, ...]) -> list[object]:
    """Values of `_Parts.view`: the asked run while it is the project's, else the newest; skips when nothing changed."""
    runs = list_runs(studio.db, project_id) if project_id else []
    run = next((item for item in runs if item.id == run_id), runs[0] if runs else None)
    now_seen = (project_id, run.id if run else "", tuple((r.id, r.state, r.step, r.events_offset) for r in runs))
    if now_seen == tuple(seen):
        return [gr.skip()] * 10
    view = run_view(studio, get_run(studio.db, run.id)) if run else RunView.nothing()
    return [
        run.id if run else "",
        now_seen,
        gr.Timer(active=any(item.state in ACTIVE_STATES for item in runs)),
        view.summary,
        view.chart,
        gr.Button(visible=view.active),
        gr.Button(visible=view.resumable),
        view.samples,
        view.log,
        runs_html(runs, run.id if run else ""),
    ]
