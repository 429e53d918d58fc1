"""What the Train tab shows of a run: data in, HTML out, so it is tested without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.records import Run, RunEvent
from studio.context import Studio
from studio.contract.events import ACTIVE_STATES
from studio.data.slices import LEAST_ROWS, Slice, slices_of
from studio.jobs.runs import list_events, run_log
from studio.jobs.sayings import retold
from studio.language import mark, tr
from studio.ui.components.curve import curve
from studio.ui.components.html import bar, chip, duration, empty, moment, notice, size, text
from studio.ui.components.rewards import rewards
from studio.ui.components.tables import Cell, sortable
from studio.ui.train_queue import cost_of_run

_HELD = {"waiting": "busy", "paused": "warn"}
_STATE_KINDS = {"paused": "warn", "done": "good", "failed": "bad", "stopped": "warn"}
_SAYINGS = {
    "starting": mark("Starting the training process"),
    "loading": mark("Loading the base model"),
    "evaluating": mark("Measuring the loss on held-out rows"),
    "sampling": mark("Writing sample answers"),
    "stopping": mark("Writing a checkpoint"),
}

_PARTS = {
    "All held-out rows": mark("All held-out rows"),
    "none of these": mark("none of these"),
    "label": mark("label"),
    "language": mark("language"),
    "gender": mark("gender"),
    "age": mark("age"),
    "religion": mark("religion"),
    "nationality": mark("nationality"),
    "disability": mark("disability"),
}
"""Kinds of parts of the held-out rows, and the parts that no word of somebody's names."""


@dataclass(frozen=True)
class RunView:
    """A run in pieces of HTML."""

    summary: str
    chart: str
    samples: str
    log: str
    active: bool
    resumable: bool

    @staticmethod
    def nothing() -> RunView:
        """What is shown before the first run."""
        advice = tr("Pick a snapshot, read the plan, and start training.")
        return RunView(empty(tr("No run yet"), advice), "", "", "", False, False)


def run_view(studio: Studio, run: Run) -> RunView:
    """Everything there is to see of a run."""
    events = list_events(studio.db, run.id, ("step", "metric", "sample", "warning"), most=600)
    train = _points((e for e in events if e.kind == "step"), "loss")
    validation = _points((e for e in events if e.data.get("name") == "validation_loss"), "value")
    return RunView(
        summary=summary_html(run, events, cost_of_run(studio, run.id)),
        chart=curve(train, validation, run.steps) + _rewards(events, run.steps),
        samples=samples_html([e for e in events if e.kind == "sample"]) + _slices(studio, run),
        log=log_html(run, run_log(studio.workspace, run.id, 60)),
        active=run.state in (*ACTIVE_STATES, "waiting"),
        resumable=run.state in ("stopped", "failed", "paused"),
    )


def _rewards(events: Sequence[RunEvent], steps: int) -> str:
    """The charts of a preference run; '' for other runs."""

    def points(name: str) -> list[tuple[float, float]]:
        return _points((event for event in events if event.data.get("name") == name), "value")

    both = [[points(f"{part}rewards_{name}") for part in ("", "validation_")] for name in ("margin", "accuracy")]
    return rewards(both[0], both[1], steps)


def summary_html(run: Run, events: Sequence[RunEvent], took: Mapping[str, str] | None = None) -> str:
    """State, progress and figures of a run, and what it warned of; `took`: figures of what it took of the device."""
    title, state = tr("Run {number}", number=run.number), chip(tr(run.state), _STATE_KINDS.get(run.state, "busy"))
    snapshot = tr("snapshot {snapshot}", snapshot=run.snapshot_id[:8])
    head = (
        f"<h2 class='title'>{text(title)} {state}</h2>"
        f"<p class='quiet'>{text(run.base_model)} · {text(snapshot)} · "
        f"{tr('started {when}', when=moment(run.created_at))}</p>"
    )
    said = dict.fromkeys(str(e.data["message"]) for e in events if e.kind == "warning")  # a resumed run says it again
    warnings = "".join(notice("warn", retold(sentence)) for sentence in said)
    return f"{head}{_progress(run)}{_told(run)}{_facts(_figures(run) | dict(took or {}))}{warnings}"


def _told(run: Run) -> str:
    """What a run that is not at work says of itself."""
    message = retold(run.message)
    if run.state in _HELD:
        return notice(_HELD[run.state], message or tr("It waits for its turn."))
    if run.state == "failed":
        return notice("bad", message)
    return notice("warn", message or tr("Stopped. Resume goes on from here.")) if run.state == "stopped" else ""


def runs_html(runs: Sequence[Run], current: str) -> str:
    """The runs of a project, newest first."""
    items = (
        f'<button type="button" class="item {"current" if run.id == current else ""}" data-id="{text(run.id)}">'
        f'<div class="head"><b>{text(tr("Run {number}", number=run.number))}</b>'
        f'<span class="line">{moment(run.created_at)}</span>'
        f"{chip(tr(run.state), _STATE_KINDS.get(run.state, 'busy'))}</div>"
        f'<div class="line">{text(_one_line(run))}</div></button>'
        for run in runs
    )
    return f'<div class="list">{"".join(items)}</div>'


def samples_html(samples: Sequence[RunEvent]) -> str:
    """Held-out prompts with the answers of base and tuned."""
    if not samples:
        return ""
    items = "".join(
        f'<div class="sample"><p class="prompt">{text(e.data.get("prompt", ""))}</p>'
        f'<p><span class="who">{text(tr("base"))}</span>{text(e.data.get("base", ""))}</p>'
        f'<p><span class="who">{text(tr("tuned"))}</span>{text(e.data.get("tuned", ""))}</p></div>'
        for e in samples
    )
    title = text(tr("Held-out prompts, before and after"))
    return f"<h3 style='margin-top:18px'>{title}</h3><div class='samples'>{items}</div>"


def slices_html(slices: Sequence[Slice]) -> str:
    """Losses of parts of the held-out rows, base beside tuned; the part that is hardest for tuned first of its kind."""
    if not slices:
        return ""
    rows = [
        [
            Cell(f"{text(_part(one))} <small>{text(tr(_PARTS.get(one.kind, one.kind)))}</small>", one.name),
            Cell(tr("{figure:,}", figure=one.rows), one.rows),
            Cell(tr("{figure:.3f}", figure=one.base_loss), one.base_loss),
            Cell(tr("{figure:.3f}", figure=one.tuned_loss), one.tuned_loss),
            Cell(f"{100 * one.improved:.0f} %", one.improved),
        ]
        for one in slices
    ]
    heads = (tr("Held-out rows"), tr("Rows"), tr("Loss base"), tr("Loss tuned"), tr("Rows improved"))
    unit = tr("Mean loss of a row in nats a target token; parts of at least {rows} rows.", rows=LEAST_ROWS)
    return (
        f"<h3 style='margin-top:18px'>{text(tr('By part of the held-out rows'))}</h3>"
        f"{sortable(tr('Losses by part of the held-out rows'), heads, rows, (1, 2, 3, 4))}"
        f"<p class='quiet'>{text(unit)}</p>"
    )


def _part(one: Slice) -> str:
    """What a part is called: labels and the names of groups are words that people wrote."""
    ours = not one.kind or (one.kind in _PARTS and one.kind != "label")
    return tr(_PARTS.get(one.name, one.name)) if ours else one.name


def _slices(studio: Studio, run: Run) -> str:
    if run.state != "done":
        return ""
    return slices_html(slices_of(studio.db, studio.workspace, run))


def log_html(run: Run, log: str) -> str:
    """The run's settings and the end of its log."""
    spec = json.dumps({k: v for k, v in run.spec.items() if k not in ("snapshot", "models")}, indent=1)
    shown = text(log or tr("The log is empty."))
    return f'<pre class="log">{text(run.id)}\n{text(spec)}</pre><pre class="log">{shown}</pre>'


def _progress(run: Run) -> str:
    if run.state not in ACTIVE_STATES:
        return ""
    if run.state == "training" and run.steps:
        words = [tr("Step {step} of {steps}", step=run.step, steps=run.steps)]
        words += [tr("{time} left", time=duration(run.eta_seconds))] if run.eta_seconds is not None else []
        return bar(run.step / run.steps, " · ".join(words))
    done = run.step / run.steps if run.steps else 0.0
    return bar(done, retold(run.message) or tr(_SAYINGS.get(run.state, run.state)))


def _figures(run: Run) -> dict[str, str]:
    figures = {tr("Step"): f"{run.step} / {run.steps}"}
    if run.tokens_per_second:
        figures[tr("Speed")] = tr("{speed:,.0f} tok/s", speed=run.tokens_per_second)
    if run.memory_bytes:
        figures[tr("Memory")] = size(run.memory_bytes)
    if run.device:
        figures[tr("Device")] = run.device.upper()
    if run.base_loss is not None and run.tuned_loss is not None:
        figures[tr("Held-out loss")] = tr("{base:.3f} → {tuned:.3f}", base=run.base_loss, tuned=run.tuned_loss)
    return figures


def _facts(facts: dict[str, str]) -> str:
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items())
        + "</dl>"
    )


def _one_line(run: Run) -> str:
    if run.state in ("failed", "waiting"):
        return retold(run.message)
    if run.base_loss is not None and run.tuned_loss is not None:
        figures = {"base": run.base_loss, "tuned": run.tuned_loss, "steps": run.steps}
        return tr("held-out loss {base:.3f} → {tuned:.3f} · {steps} steps", **figures)
    return tr("step {step} of {steps}", step=run.step, steps=run.steps)


def _points(events: Iterable[RunEvent], name: str) -> list[tuple[float, float]]:
    """(step, value) in order of steps; of a step that a resumed run did again, the last value."""
    return sorted({_number(e, "step"): _number(e, name) for e in events if name in e.data}.items())


def _number(event: RunEvent, name: str) -> float:
    value = event.data.get(name)
    return float(value) if isinstance(value, (int, float)) else float("nan")
