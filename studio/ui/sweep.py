"""Sweeps, a part of the Train tab: choose what to try, watch the trials, use the best. Views are in sweep_views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.contract.sweep import SWEPT_FIELDS
from studio.errors import BadInput
from studio.jobs.runs import get_run
from studio.jobs.sweeping import resume_sweep_for, start_sweep_for, stop_sweep_for, use_best_for
from studio.jobs.sweeps import Sweep, list_sweeps
from studio.language import tr
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import opened
from studio.ui.components.tables import sorted_table
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.sweep_views import FIELD_NAMES, SUGGESTED, nothing, summary_html, sweeps_html, trials_html
from studio.ui.who import current_user

_FIRST = ("learning_rate", "lora_rank", "")
_NONE = "–"
_HINT = "<p class='quiet'>All other settings as above. Values: 8, 16, 32, or a range: 1e-5..1e-3.</p>"


@dataclass(frozen=True)
class Asked:
    """What a sweep takes from the form for a run: `parts`, and `read`, which makes of their values snapshot, base
    model, settings, and the id of the finished run to start from or ''."""

    parts: Sequence[gr.components.Component]
    read: Callable[..., tuple[str | None, str, Mapping[str, object], str]]


@dataclass(frozen=True)
class _Parts:
    fields: list[gr.Dropdown]
    values: list[gr.Textbox]
    trials: gr.Number
    minutes: gr.Number
    start: gr.Button
    sweep: gr.State
    seen: gr.State
    timer: gr.Timer
    summary: gr.HTML
    stop: gr.Button
    resume: gr.Button
    use: gr.Button
    body: gr.HTML
    sweeps: gr.HTML

    @property
    def view(self) -> list[Any]:
        """What shows a sweep."""
        buttons = [self.stop, self.resume, self.use]
        return [self.sweep, self.seen, self.timer, self.summary, *buttons, self.body, self.sweeps]


def build(studio: Studio, frame: Frame, tab: gr.Tab, asked: Asked) -> gr.events.Dependency:
    """Lay out and wire an accordion. Returns the event of "Use the best": what shows runs can follow it."""
    parts = _layout()
    _wire_start(studio, frame, parts, asked)
    return _wire_view(studio, frame, tab, parts)


def _layout() -> _Parts:
    with gr.Accordion("Sweep: try several settings", open=False, elem_id="sweep"):
        with gr.Row(elem_id="sweep-columns"):
            with gr.Column(scale=4, min_width=290):
                with gr.Column(elem_id="sweep-panel"):
                    gr.HTML(_HINT)
                    rows = [_row(number, field) for number, field in enumerate(_FIRST, 1)]
                    with gr.Row():
                        trials = gr.Number(8, label="Trials", precision=0, minimum=1, min_width=90)
                        minutes = gr.Number(0, label="Minutes (0 = no limit)", minimum=0, min_width=90)
                    start = gr.Button("Start sweep", variant="primary")
                sweeps = make_cards()
            with gr.Column(scale=7, min_width=300):
                sweep, seen, timer = gr.State(""), gr.State(()), gr.Timer(1.5, active=False)
                summary = gr.HTML(nothing())
                with gr.Row():
                    stop = gr.Button("Stop sweep", visible=False, scale=0, min_width=120)
                    resume = gr.Button("Resume sweep", visible=False, scale=0, min_width=130)
                    use = gr.Button("Use the best", variant="primary", visible=False, scale=0, min_width=140)
                body = sorted_table()
    fields, values = [row[0] for row in rows], [row[1] for row in rows]
    return _Parts(fields, values, trials, minutes, start, sweep, seen, timer, summary, stop, resume, use, body, sweeps)


def _row(number: int, field: str) -> tuple[gr.Dropdown, gr.Textbox]:
    choices = [(_NONE, ""), *((FIELD_NAMES[name], name) for name in SWEPT_FIELDS)]
    with gr.Row():
        chosen = gr.Dropdown(choices, value=field, label=f"Setting {number}", scale=5, min_width=110)
        values = gr.Textbox(SUGGESTED.get(field, ""), label="Values", scale=6, min_width=110, max_lines=1)
    return chosen, values


def _wire_start(studio: Studio, frame: Frame, parts: _Parts, asked: Asked) -> None:
    many = len(parts.fields)

    @told
    def on_start(chosen: str | None, trials: float | None, minutes: float | None, *rest: Any) -> list[object]:
        over = over_of(rest[:many], rest[many : 2 * many])
        snapshot, base_model, settings, from_run = asked.read(*rest[2 * many :])
        if not snapshot:
            raise BadInput("Freeze a snapshot first (Datasets tab): training needs frozen data.")
        base_model = get_run(studio.db, from_run).base_model if from_run else base_model
        what = (snapshot, base_model, settings, over, _whole(trials), chosen, from_run or None)
        sweep = start_sweep_for(studio.db, studio.workspace, current_user(), *what, timeout_minutes=minutes or 0.0)
        return _shown(studio, chosen, sweep.id, ())

    def on_field(*chosen: str | None) -> list[object]:
        names, texts = chosen[:many], chosen[many:]
        return [suggested(name or "", now or "") for name, now in zip(names, texts, strict=True)]

    inputs = [frame.project, parts.trials, parts.minutes, *parts.fields, *parts.values, *asked.parts]
    parts.start.click(on_start, inputs, parts.view, **QUICK)
    changes = [field.change for field in parts.fields]
    gr.on(changes, on_field, [*parts.fields, *parts.values], parts.values, **REFRESH)


def _wire_view(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> gr.events.Dependency:

    @told
    def on_stop(chosen: str | None, sweep: str) -> list[object]:
        stop_sweep_for(studio.db, studio.workspace, current_user(), sweep)
        say(tr("Stopping: the trial at work writes a checkpoint."))
        return _shown(studio, chosen, sweep, ())

    @told
    def on_resume(chosen: str | None, sweep: str) -> list[object]:
        resume_sweep_for(studio.db, studio.workspace, current_user(), sweep)
        return _shown(studio, chosen, sweep, ())

    @told
    def on_use(chosen: str | None, sweep: str) -> list[object]:
        run = use_best_for(studio.db, studio.workspace, current_user(), sweep)
        say(tr("Run {number} has started with the settings of the best trial.", number=run.number))
        return _shown(studio, chosen, sweep, ())

    def on_open(chosen: str | None, event: gr.EventData) -> list[object]:
        return _shown(studio, chosen, opened(event), ())

    look = lambda chosen, sweep, seen: _shown(studio, chosen, sweep, seen)  # noqa: E731
    here, state = [frame.project, parts.sweep], [frame.project, parts.sweep, parts.seen]
    parts.stop.click(on_stop, here, parts.view, **QUICK)
    parts.resume.click(on_resume, here, parts.view, **QUICK)
    parts.sweeps.open(on_open, frame.project, parts.view, **QUICK)
    # A tick does not say which sweep is looked at: it may answer after a click that chose another.
    parts.timer.tick(lambda *state: look(*state)[1:], state, parts.view[1:], **POLL)
    frame.on_look(tab, look, state, parts.view)
    used: gr.events.Dependency = parts.use.click(on_use, here, parts.view, **QUICK)
    return used


def _whole(trials: float | None) -> int:
    return 8 if trials is None else int(trials)


def over_of(fields: Sequence[str | None], values: Sequence[str | None]) -> list[str]:
    """What to try, as `parse_over` reads it, from the rows of the form; rows without a setting say nothing."""
    return [f"{field}={value or ''}" for field, value in zip(fields, values, strict=True) if field]


def suggested(field: str, now: str) -> str:
    """The values to show for a setting: what was typed stays, what was suggested for another setting goes."""
    typed = now.strip() and now not in SUGGESTED.values()
    return now if typed else SUGGESTED.get(field, "")


def _shown(studio: Studio, project_id: str | None, sweep_id: str, seen: Sequence[object]) -> list[object]:
    """Values of `_Parts.view`: the asked sweep while it is the project's, else the newest; skips what is not new."""
    sweeps = list_sweeps(studio.workspace, project_id) if project_id else []
    sweep = next((one for one in sweeps if one.id == sweep_id), sweeps[0] if sweeps else None)
    trials = (project_id, sweep.id if sweep else "", tuple((one.id, one.state, *_losses(one)) for one in sweeps))
    now_seen = (trials, f"{sweep.message} {_step(sweep)}" if sweep else "")
    if now_seen == tuple(seen):
        return [gr.skip()] * 9
    same_trials = bool(seen) and seen[0] == trials  # a table that is sorted or read is left alone between two losses
    best = sweep.report.best_trial if sweep else None
    return [
        sweep.id if sweep else "",
        now_seen,
        gr.Timer(active=any(one.active for one in sweeps)),
        summary_html(sweep) if sweep else nothing(),
        gr.Button(visible=bool(sweep and sweep.active)),
        gr.Button(visible=bool(sweep and sweep.resumable)),
        gr.Button(visible=bool(best and sweep and not sweep.active)),
        gr.skip() if same_trials else trials_html(sweep) if sweep else "",
        sweeps_html(sweeps, sweep.id if sweep else ""),
    ]


def _losses(sweep: Sweep) -> tuple[object, ...]:
    """What changes when a trial begins, ends, or is measured."""
    return (len(sweep.report.trials), sweep.report.ended, *(trial.loss for trial in sweep.report.trials))


def _step(sweep: Sweep) -> int:
    return next((trial.step for trial in sweep.report.trials if trial.state == "running"), 0)
