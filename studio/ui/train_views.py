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
from studio.ui.components.curve import curve
from studio.ui.components.html import bar, chip, duration, empty, moment, notice, size, text
from studio.ui.components.rewards import rewards
from studio.ui.components.tables import Cell, sortable
from studio.ui.train_queue import cost_of_run

_HELD = {"waiting": "busy", "paused": "warn"}
_STATE_KINDS = {"paused": "warn", "done": "good", "failed": "bad", "stopped": "warn"}
_SAYINGS = {
    "starting": "Starting the training process",
    "loading": "Loading the base model",
    "evaluating": "Measuring the loss on held-out rows",
    "sampling": "Writing sample answers",
    "stopping": "Writing a checkpoint",
}


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
        return RunView(
            empty("No run yet", "Pick a snapshot, read the plan, and start training."), "", "", "", False, False
        )


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
    head = (
        f"<h2 class='title'>Run {run.number} {chip(run.state, _STATE_KINDS.get(run.state, 'busy'))}</h2>"
        f"<p class='quiet'>{text(run.base_model)} · snapshot {text(run.snapshot_id[:8])} · "
        f"started {moment(run.created_at)}</p>"
    )
    said = dict.fromkeys(str(e.data["message"]) for e in events if e.kind == "warning")  # a resumed run says it again
    warnings = "".join(notice("warn", sentence) for sentence in said)
    problem = notice("bad", run.message) if run.state == "failed" else ""
    stopped = notice("warn", run.message or "Stopped. Resume goes on from here.") if run.state == "stopped" else ""
    held = notice(_HELD[run.state], run.message or "It waits for its turn.") if run.state in _HELD else ""
    return f"{head}{_progress(run)}{held}{problem}{stopped}{_facts(_figures(run) | dict(took or {}))}{warnings}"


def runs_html(runs: Sequence[Run], current: str) -> str:
    """The runs of a project, newest first."""
    items = (
        f'<button type="button" class="item {"current" if run.id == current else ""}" data-id="{text(run.id)}">'
        f'<div class="head"><b>Run {run.number}</b><span class="line">{moment(run.created_at)}</span>'
        f"{chip(run.state, _STATE_KINDS.get(run.state, 'busy'))}</div>"
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
        f'<p><span class="who">base</span>{text(e.data.get("base", ""))}</p>'
        f'<p><span class="who">tuned</span>{text(e.data.get("tuned", ""))}</p></div>'
        for e in samples
    )
    return f"<h3 style='margin-top:18px'>Held-out prompts, before and after</h3><div class='samples'>{items}</div>"


def slices_html(slices: Sequence[Slice]) -> str:
    """Losses of parts of the held-out rows, base beside tuned; the part that is hardest for tuned first of its kind."""
    if not slices:
        return ""
    rows = [
        [
            Cell(f"{text(one.name)} <small>{text(one.kind)}</small>", one.name),
            Cell(f"{one.rows:,}", one.rows),
            Cell(f"{one.base_loss:.3f}", one.base_loss),
            Cell(f"{one.tuned_loss:.3f}", one.tuned_loss),
            Cell(f"{100 * one.improved:.0f} %", one.improved),
        ]
        for one in slices
    ]
    heads = ("Held-out rows", "Rows", "Loss base", "Loss tuned", "Rows improved")
    return (
        "<h3 style='margin-top:18px'>By part of the held-out rows</h3>"
        f"{sortable('Losses by part of the held-out rows', heads, rows, (1, 2, 3, 4))}"
        f"<p class='quiet'>Mean loss of a row in nats a target token; parts of at least {LEAST_ROWS} rows.</p>"
    )


def _slices(studio: Studio, run: Run) -> str:
    if run.state != "done":
        return ""
    return slices_html(slices_of(studio.db, studio.workspace, run))


def log_html(run: Run, log: str) -> str:
    """The run's settings and the end of its log."""
    spec = json.dumps({k: v for k, v in run.spec.items() if k not in ("snapshot", "models")}, indent=1)
    return (
        f'<pre class="log">{text(run.id)}\n{text(spec)}</pre><pre class="log">{text(log) or "The log is empty."}</pre>'
    )


def _progress(run: Run) -> str:
    if run.state not in ACTIVE_STATES:
        return ""
    if run.state == "training" and run.steps:
        left = f" · {duration(run.eta_seconds)} left" if run.eta_seconds is not None else ""
        return bar(run.step / run.steps, f"Step {run.step} of {run.steps}{left}")
    done = run.step / run.steps if run.steps else 0.0
    return bar(done, run.message or _SAYINGS.get(run.state, run.state))


def _figures(run: Run) -> dict[str, str]:
    figures = {"Step": f"{run.step} / {run.steps}"}
    if run.tokens_per_second:
        figures["Speed"] = f"{run.tokens_per_second:,.0f} tok/s"
    if run.memory_bytes:
        figures["Memory"] = size(run.memory_bytes)
    if run.device:
        figures["Device"] = run.device.upper()
    if run.base_loss is not None and run.tuned_loss is not None:
        figures["Held-out loss"] = f"{run.base_loss:.3f} → {run.tuned_loss:.3f}"
    return figures


def _facts(facts: dict[str, str]) -> str:
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items())
        + "</dl>"
    )


def _one_line(run: Run) -> str:
    if run.state in ("failed", "waiting"):
        return run.message
    if run.base_loss is not None and run.tuned_loss is not None:
        return f"held-out loss {run.base_loss:.3f} → {run.tuned_loss:.3f} · {run.steps} steps"
    return f"step {run.step} of {run.steps}"


def _points(events: Iterable[RunEvent], name: str) -> list[tuple[float, float]]:
    """(step, value) in order of steps; of a step that a resumed run did again, the last value."""
    return sorted({_number(e, "step"): _number(e, name) for e in events if name in e.data}.items())


def _number(event: RunEvent, name: str) -> float:
    value = event.data.get(name)
    return float(value) if isinstance(value, (int, float)) else float("nan")
