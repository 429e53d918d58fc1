"""How many more labels, a part of the Train tab: runs on parts of a snapshot, and what the curve through them says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.errors import BadInput
from studio.jobs.curve import resume_curve_for, start_curve_for, stop_curve_for
from studio.jobs.curves import Foretold, LearningCurve, list_curves
from studio.jobs.sayings import retold
from studio.language import tr, trn
from studio.ui.components.html import bar, chip, empty, moment, notice, table, text
from studio.ui.components.learning_curve import figure, learning_curve
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, Frame
from studio.ui.sweep import Asked
from studio.ui.who import current_user

_HINT = "<p class='quiet'>Four runs with the settings above, scored on the same held-out rows.</p>"
_KINDS = {"done": "good", "failed": "bad", "stopped": "warn"}


@dataclass(frozen=True)
class _Parts:
    start: gr.Button
    curve: gr.State
    seen: gr.State
    timer: gr.Timer
    body: gr.HTML
    stop: gr.Button
    resume: gr.Button

    @property
    def view(self) -> list[Any]:
        """What shows a curve."""
        return [self.curve, self.seen, self.timer, self.body, self.stop, self.resume]


def build(studio: Studio, frame: Frame, tab: gr.Tab, asked: Asked) -> None:
    """Lay out and wire an accordion: `asked` is what a run would take from the form."""
    parts = _layout()

    @told
    def on_start(chosen: str | None, *form: Any) -> list[object]:
        snapshot, base_model, settings, from_run = asked.read(*form)
        if not snapshot:
            raise BadInput("Freeze a snapshot first (Datasets tab): a learning curve needs frozen data.")
        if from_run:
            raise BadInput("The runs of a learning curve begin with the base model: choose no run to start from.")
        curve = start_curve_for(studio.db, studio.workspace, current_user(), snapshot, base_model, settings, chosen)
        return _shown(studio, chosen, curve.id, ())

    @told
    def on_stop(chosen: str | None, curve: str) -> list[object]:
        stop_curve_for(studio.db, studio.workspace, current_user(), curve)
        say(tr("Stopping: the run at work writes a checkpoint."))
        return _shown(studio, chosen, curve, ())

    @told
    def on_resume(chosen: str | None, curve: str) -> list[object]:
        resume_curve_for(studio.db, studio.workspace, current_user(), curve)
        return _shown(studio, chosen, curve, ())

    look = lambda chosen, curve, seen: _shown(studio, chosen, curve, seen)  # noqa: E731
    here, state = [frame.project, parts.curve], [frame.project, parts.curve, parts.seen]
    parts.start.click(on_start, [frame.project, *asked.parts], parts.view, **QUICK)
    parts.stop.click(on_stop, here, parts.view, **QUICK)
    parts.resume.click(on_resume, here, parts.view, **QUICK)
    parts.timer.tick(lambda *state: look(*state)[1:], state, parts.view[1:], **POLL)
    frame.on_look(tab, look, state, parts.view)


def _layout() -> _Parts:
    with gr.Accordion("How many more labels?", open=False, elem_id="curve"):
        gr.HTML(_HINT)
        with gr.Row():
            start = gr.Button("Draw the learning curve", variant="primary", scale=0, min_width=210)
            stop = gr.Button("Stop", visible=False, scale=0, min_width=110)
            resume = gr.Button("Resume", visible=False, scale=0, min_width=110)
        body = gr.HTML(nothing(), elem_id="curve-body")
        curve, seen, timer = gr.State(""), gr.State(()), gr.Timer(1.5, active=False)
    return _Parts(start, curve, seen, timer, body, stop, resume)


def nothing() -> str:
    """What is shown before the first curve."""
    advice = tr(
        "It trains on a quarter, half, three quarters and all of the snapshot, and says what more labels would bring."
    )
    return empty(tr("No learning curve yet"), advice)


def curve_html(curve: LearningCurve) -> str:
    """A curve as it stands: the sentence on top, the picture, the points."""
    state, points, words = curve.standing.state, curve.report.points, retold(curve.standing.words)
    progress = bar(curve.standing.fraction, words) if curve.active else ""
    ended = state in ("failed", "stopped")
    told_of_end = notice("bad" if state == "failed" else "warn", words) if ended else ""
    foretold = curve.foretold
    sentence = f"<h2 class='title'>{text(foretold.sentence)}</h2>" if foretold.sentence else ""
    rows = [
        (tr("{figure:,}", figure=labels), figure(score, foretold), tr("{seconds:.0f} s", seconds=point.seconds))
        for (labels, score), point in zip(
            foretold.points, [point for point in points if point.state == "done"], strict=True
        )
    ]
    heads = (tr("Labels"), foretold.measure, tr("Training"))
    listed = table(heads, rows, numeric=(0, 1, 2)) if rows else ""
    quiet = _expected(foretold)
    return f"{_head(curve)}{progress}{told_of_end}{sentence}{quiet}{learning_curve(foretold)}{listed}"


def _head(curve: LearningCurve) -> str:
    state, about = curve.standing.state, curve.about
    snapshot = tr("snapshot {snapshot}", snapshot=about.snapshot_id[:8])
    return (
        f"<p class='quiet'>{text(tr('Learning curve {number}', number=about.number))} "
        f"{chip(tr(state), _KINDS.get(state, 'busy'))} {text(about.base_model)} · {text(snapshot)} · "
        f"{tr('started {when}', when=moment(curve.started_at))}</p>"
    )


def _expected(foretold: Foretold) -> str:
    """What is to be expected where the curve ends; '' where that cannot be told."""
    ahead = foretold.ahead
    if ahead is None:
        return ""
    values = {"score": ahead.score, "low": ahead.low, "high": ahead.high}
    said = trn(
        "With {count:,} label about {score} is to be expected, with 95 % confidence {low} to {high}, on these same "
        "held-out rows.",
        "With {count:,} labels about {score} is to be expected, with 95 % confidence {low} to {high}, on these same "
        "held-out rows.",
        ahead.labels,
        **{name: figure(value, foretold) for name, value in values.items()},
    )
    return f"<p class='quiet'>{text(said)}</p>"


def _shown(studio: Studio, project_id: str | None, curve_id: str, seen: Sequence[object]) -> list[object]:
    """Values of `_Parts.view`: the asked curve while it is the project's, else the newest; skips what is not new."""
    curves = list_curves(studio.workspace, project_id) if project_id else []
    curve = next((one for one in curves if one.id == curve_id), curves[0] if curves else None)
    now = (project_id, curve.id, curve.standing, curve.report.done) if curve else (project_id,)
    if now == tuple(seen):
        return [gr.skip()] * 6
    return [
        curve.id if curve else "",
        now,
        gr.Timer(active=any(one.active for one in curves)),
        curve_html(curve) if curve else nothing(),
        gr.Button(visible=bool(curve and curve.active)),
        gr.Button(visible=bool(curve and curve.resumable)),
    ]
