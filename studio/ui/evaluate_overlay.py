"""Runs of a project side by side: their loss curves in one plot, the settings in which they differ, their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gradio as gr

from storage.records import Run, RunEvent
from studio.context import Studio
from studio.contract.evaluation import EvalReport, MetricReport
from studio.jobs.evaluating import look_at
from studio.jobs.runs import list_events, list_runs
from studio.ui.components.html import count, empty, table, text
from studio.ui.components.overlay import MOST_RUNS, Losses, overlay
from studio.ui.frame import REFRESH, Frame

NOTHING = empty("Nothing chosen yet", f"Choose up to {MOST_RUNS} runs: their curves, settings and metrics appear here.")
_POINTS = 400
_NOT_SETTINGS = frozenset({"run", "runs", "snapshot", "models", "sources", "resume"})
"""Fields of a spec that say where things lie, not how a run learns."""


def overlay_layout() -> tuple[gr.Dropdown, gr.HTML]:
    """The menu of runs and the place of what they show."""
    with gr.Accordion("Runs side by side", open=False, elem_id="evaluate-overlay"):
        runs = gr.Dropdown(label="Runs to lay over one another", choices=[], multiselect=True, max_choices=MOST_RUNS)
        return runs, gr.HTML(NOTHING)


def wire_overlay(studio: Studio, frame: Frame, runs: gr.Dropdown, place: gr.HTML) -> None:
    """Show what is chosen."""
    runs.input(lambda chosen, ids: overlay_html(studio, chosen, ids), [frame.project, runs], place, **REFRESH)


def overlay_shown(studio: Studio, project_id: str | None, chosen: Sequence[str] | None) -> list[object]:
    """Values of menu and place when somebody looks at the tab: of the runs chosen, those stay that there are."""
    runs = started(studio, project_id)
    kept = [run_id for run_id in chosen or () if run_id in {run.id for run in runs}]
    choices = [(f"Run {run.number} · {run.base_model} · {run.state}", run.id) for run in runs]
    return [gr.Dropdown(choices=choices, value=kept), overlay_html(studio, project_id, kept)]


def started(studio: Studio, project_id: str | None) -> list[Run]:
    """The runs of a project, the newest first."""
    return list_runs(studio.db, project_id) if project_id else []


def overlay_html(studio: Studio, project_id: str | None, chosen: Sequence[str] | None) -> str:
    """Everything there is to see of the chosen runs; ids of other projects are passed over."""
    wanted = set(chosen or ())
    runs = [run for run in reversed(started(studio, project_id)) if run.id in wanted][:MOST_RUNS]
    if not runs:
        return NOTHING
    reports = {run.number: found for run in runs if (found := look_at(studio.workspace, run).report)}
    parts = [
        curves_html([_losses(run, list_events(studio.db, run.id, ("step", "metric"), most=_POINTS)) for run in runs]),
        differences_html(runs),
        side_by_side_html(reports, [run.number for run in runs]),
    ]
    return f'<div class="verdict-report">{"".join(parts)}</div>'


def curves_html(losses: Sequence[Losses]) -> str:
    """The plot and how to read it."""
    drawn = overlay(losses)
    how = "Thick with dots: loss on the validation rows; thin: on the training rows. In nats a target token."
    return f'<section>{drawn}<p class="quiet">{how}</p></section>' if drawn else ""


def differences_html(runs: Sequence[Run]) -> str:
    """The settings in which the runs differ, and only those."""
    if len(runs) < 2:
        return ""
    rows = differences(runs)
    if not rows:
        return "<section><h3>Settings</h3><p>All settings are the same.</p></section>"
    head = ["Setting", *(f"Run {run.number}" for run in runs)]
    return f'<section class="settings"><h3>Where their settings differ</h3>{table(head, rows)}</section>'


def differences(runs: Sequence[Run]) -> list[list[str]]:
    """A row for each setting that is not the same in all runs: its name, then its value in each."""
    specs = [{**run.spec, "base_model": run.base_model, "snapshot": run.snapshot_id[:8]} for run in runs]
    names = dict.fromkeys(name for spec in specs for name in spec if name not in _NOT_SETTINGS - {"snapshot"})
    rows = [[name.replace("_", " "), *(_value(spec, name) for spec in specs)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _value(spec: Mapping[str, object], name: str) -> str:
    value = spec.get(name)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)[:200]


def side_by_side_html(reports: Mapping[int, EvalReport], numbers: Sequence[int]) -> str:
    """The metrics of the runs that were evaluated on the same rows, a table for each set of rows."""
    sets: dict[str, dict[int, EvalReport]] = {}
    for number, report in reports.items():
        sets.setdefault(report.held_out, {})[number] = report
    parts = [_metrics(found) for found in sets.values()]
    missing = [f"Run {number}" for number in numbers if number not in reports]
    if missing:
        parts.append(f'<p class="quiet">{text(", ".join(missing))}: not evaluated yet.</p>')
    if len(sets) > 1:
        parts.append('<p class="quiet">Figures of different tables rest on different rows: do not compare them.</p>')
    return f"<section><h3>Metrics</h3>{''.join(parts)}</section>"


def _metrics(reports: Mapping[int, EvalReport]) -> str:
    names = dict.fromkeys(name for report in reports.values() for name in report.metrics)
    rows = [
        [
            next(report.metrics[name].title for report in reports.values() if name in report.metrics),
            *(_metric(report.metrics.get(name)) for report in reports.values()),
        ]
        for name in names
    ]
    first = next(iter(reports.values()))
    head = [count(first.rows, "held-out row"), *(f"Run {number}" for number in reports)]
    note = '<p class="quiet">The second line is the difference from the base, with its 95 % interval.</p>'
    return table(head, rows) + note


def _metric(one: MetricReport | None) -> str:
    if one is None:
        return "–"
    between = "" if one.low is None or one.high is None else f" ({_signed(one.low)} to {_signed(one.high)})"
    return f"{one.tuned:.3g}\n{_signed(one.difference)}{between}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{abs(value):.3g}"


def _losses(run: Run, events: Sequence[RunEvent]) -> Losses:
    train = [event for event in events if event.kind == "step"]
    validation = [event for event in events if event.data.get("name") == "validation_loss"]
    return Losses(f"Run {run.number}", _points(train, "loss"), _points(validation, "value"))


def _points(events: Sequence[RunEvent], name: str) -> list[tuple[float, float]]:
    """(step, value) in order of steps; of a step that a resumed run did again, the last value."""
    found = {}
    for event in events:
        step, value = event.data.get("step"), event.data.get(name)
        if isinstance(step, (int, float)) and isinstance(value, (int, float)):
            found[float(step)] = float(value)
    return sorted(found.items())
