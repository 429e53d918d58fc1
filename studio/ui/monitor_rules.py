"""Retrain, a part of the Monitor tab: the rules as a form, "Retrain now", and where the newest retraining stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from storage.records import Run
from studio.context import Studio
from studio.deploy.retraining import cancel
from studio.deploy.rules import (
    LEAST_NEW,
    LEAST_RATINGS,
    Retraining,
    Rules,
    get_rules,
    list_retrainings,
    retrain_now,
    set_rules,
)
from studio.errors import BadInput, NotFound
from studio.jobs.runs import get_run
from studio.language import tr
from studio.ui.components.html import moment
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, Frame
from studio.ui.monitor_stations import history_html, retraining_html
from studio.ui.who import current_user

_INTRO = (
    "<h2 class='title'>Retrain</h2><p class='quiet'>A retraining freezes the accepted pairs, checks them, trains as "
    "the run in production was trained, and evaluates both on the same held-out rows. The new run is promoted only "
    "where it is shown to be better; else what is in production stays. Thumbs and drift wait until "
    f"{LEAST_NEW} new examples are accepted, so that there is something to learn from.</p>"
)
_SURE = (
    "<p>Train now? That takes as long as the last run did and uses this machine's device. Where the new run is shown "
    "to be better, it goes into production by itself.</p>"
)


@dataclass(frozen=True)
class Parts:
    """What is shown of rules and retrainings."""

    every_examples: gr.Number
    every_days: gr.Number
    on_drift: gr.Checkbox
    feedback_below: gr.Number
    kept: gr.HTML
    save: gr.Button
    now: gr.Button
    sure: gr.Group
    yes: gr.Button
    no: gr.Button
    standing: gr.HTML
    cancel: gr.Button
    history: gr.HTML

    @property
    def form(self) -> list[Any]:
        """The rules as they are set."""
        return [self.every_examples, self.every_days, self.on_drift, self.feedback_below, self.kept]

    @property
    def live(self) -> list[Any]:
        """What a retraining changes."""
        return [self.standing, self.cancel, self.now, self.history]


def layout() -> Parts:
    """Lay it out."""
    with gr.Row(elem_id="monitor-retrain-columns"):
        with gr.Column(scale=5, min_width=290, elem_id="monitor-rules-panel"):
            gr.HTML(_INTRO)
            with gr.Row():
                examples = gr.Number(
                    label="Every … new accepted examples", precision=0, info="Empty: off", min_width=120
                )
                days = gr.Number(label="Every … days", info="Empty: off", min_width=120)
            with gr.Row():
                feedback = gr.Number(
                    label="Thumbs up below (%)", info=f"Empty: off. From {LEAST_RATINGS} ratings on", min_width=120
                )
                drift = gr.Checkbox(label="When the prompts drift", info="Off unless ticked", min_width=120)
            kept = gr.HTML()
            save = gr.Button("Save rules")
        with gr.Column(scale=7, min_width=290):
            standing = gr.HTML(elem_id="monitor-retraining")
            with gr.Row():
                now = gr.Button("Retrain now", scale=0, min_width=150)
                stop = gr.Button("Cancel retraining", visible=False, scale=0, min_width=170)
            with gr.Group(visible=False, elem_id="monitor-sure") as sure:
                gr.HTML(_SURE)
                with gr.Row():
                    yes, no = gr.Button("Start retraining", variant="primary"), gr.Button("Not now")
            history = gr.HTML()
    return Parts(*(examples, days, drift, feedback, kept, save, now, sure, yes, no, standing, stop, history))


def wire(studio: Studio, frame: Frame, parts: Parts, timer: gr.Timer) -> None:
    """Wire it; a retraining that begins starts the timer."""

    @told
    def on_save(chosen: str | None, *asked: Any) -> list[object]:
        set_rules(studio.db, _named(chosen), rules_of(*asked), current_user().name)
        say(tr("Rules saved."))
        return form_values(studio, chosen)

    @told
    def on_yes(chosen: str | None) -> list[object]:
        retrain_now(studio.db, _named(chosen), current_user().name, datetime.now(UTC))
        return [gr.Group(visible=False), gr.Timer(active=True), *live_values(studio, chosen)]

    @told
    def on_cancel(chosen: str | None) -> list[object]:
        newest = next(iter(list_retrainings(studio.db, _named(chosen), 1)), None)
        if newest is None:
            raise NotFound("There is no retraining to cancel.")
        cancel(studio.db, studio.workspace, newest, datetime.now(UTC), current_user().name)
        say(tr("Cancelled: what is in production stays."))
        return live_values(studio, chosen)

    asked = [frame.project, parts.every_examples, parts.every_days, parts.on_drift, parts.feedback_below]
    parts.save.click(on_save, asked, parts.form, **QUICK)
    parts.now.click(lambda: gr.Group(visible=True), None, parts.sure, **QUICK)
    parts.no.click(lambda: gr.Group(visible=False), None, parts.sure, **QUICK)
    parts.yes.click(on_yes, frame.project, [parts.sure, timer, *parts.live], **QUICK)
    parts.cancel.click(on_cancel, frame.project, parts.live, **QUICK)


def rules_of(examples: float | None, days: float | None, drift: bool, below: float | None) -> Rules:
    """The form's values as rules: an empty field and 0 are off. Raises BadInput for half an example."""
    if examples and examples != int(examples):
        raise BadInput("New accepted examples are counted in whole numbers.")
    share = below / 100 if below else None
    return Rules(int(examples) if examples else None, days or None, bool(drift), share)


def form_values(studio: Studio, project_id: str | None) -> list[object]:
    """Values of `Parts.form`."""
    kept = get_rules(studio.db, project_id) if project_id else None
    if kept is None:
        return [None, None, False, None, f"<p class='quiet'>{tr('No rule is on.')}</p>"]
    rules = kept.rules
    below = None if rules.feedback_below is None else round(100 * rules.feedback_below, 4)
    on = tr("The rules that are on are looked at every minute.") if rules.any_on else tr("No rule is on.")
    said = f"<p class='quiet'>{on} {tr('Saved {when}.', when=moment(kept.created_at))}</p>"
    return [rules.every_examples, rules.every_days, rules.on_drift, below, said]


def live_values(studio: Studio, project_id: str | None) -> list[object]:
    """Values of `Parts.live`."""
    found = list_retrainings(studio.db, project_id) if project_id else []
    newest = found[0] if found else None
    busy = is_at_work(newest)
    return [
        retraining_html(newest, run_of(studio, newest)),
        gr.Button(visible=busy),
        gr.Button(interactive=bool(project_id) and not busy),
        history_html(found[1:]),
    ]


def is_at_work(newest: Retraining | None) -> bool:
    """Whether a retraining is under way."""
    return newest is not None and newest.ended_at is None


def retraining_under_way(studio: Studio, project_id: str) -> bool:
    """Whether a project is being retrained."""
    return is_at_work(next(iter(list_retrainings(studio.db, project_id, 1)), None))


def run_of(studio: Studio, retraining: Retraining | None) -> Run | None:
    """The run that a retraining trains or trained; None before there is one."""
    if retraining is None or not retraining.run_id:
        return None
    try:
        return get_run(studio.db, retraining.run_id)
    except NotFound:
        return None


def _named(chosen: str | None) -> str:
    if not chosen:
        raise BadInput("Choose or create a project first (Projects tab).")
    return chosen
