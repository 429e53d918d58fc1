"""Runs of a project side by side: their loss curves in one plot, the settings in which they differ, their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gradio as gr

from storage.records import Run, RunEvent
from studio.context import Studio
from studio.contract.evaluation import EvalReport, MetricReport
from studio.jobs.evaluating import look_at
from studio.jobs.runs import list_events, list_runs
from studio.language import tr, trn
from studio.ui.components.html import empty, table, text
from studio.ui.components.overlay import MOST_RUNS, Losses, overlay
from studio.ui.frame import REFRESH, Frame

_POINTS = 400
_FIGURE = "{value:.3g}"
_NOT_SETTINGS = frozenset({"run", "runs", "snapshot", "models", "sources", "resume"})
"""Fields of a spec that say where things lie, not how a run learns."""


def nothing() -> str:
    """What stands there when nothing is chosen."""
    what = tr("Choose up to {count} runs: their curves, settings and metrics appear here.", count=MOST_RUNS)
    return empty(tr("Nothing chosen yet"), what)


def overlay_layout() -> tuple[gr.Dropdown, gr.HTML]:
    """The menu of runs and the place of what they show."""
    with gr.Accordion("Runs side by side", open=False, elem_id="evaluate-overlay"):
        runs = gr.Dropdown(label="Runs to lay over one another", choices=[], multiselect=True, max_choices=MOST_RUNS)
        return runs, gr.HTML(nothing())


def wire_overlay(studio: Studio, frame: Frame, runs: gr.Dropdown, place: gr.HTML) -> None:
    """Show what is chosen."""
    runs.input(lambda chosen, ids: overlay_html(studio, chosen, ids), [frame.project, runs], place, **REFRESH)


def overlay_shown(studio: Studio, project_id: str | None, chosen: Sequence[str] | None) -> list[object]:
    """Values of menu and place when somebody looks at the tab: of the runs chosen, those stay that there are."""
    runs = started(studio, project_id)
    kept = [run_id for run_id in chosen or () if run_id in {run.id for run in runs}]
    choices = [(_choice(run), run.id) for run in runs]
    return [gr.Dropdown(choices=choices, value=kept), overlay_html(studio, project_id, kept)]


def _choice(run: Run) -> str:
    return tr("Run {number} · {model} · {state}", number=run.number, model=run.base_model, state=tr(run.state))


def started(studio: Studio, project_id: str | None) -> list[Run]:
    """The runs of a project, the newest first."""
    return list_runs(studio.db, project_id) if project_id else []


def overlay_html(studio: Studio, project_id: str | None, chosen: Sequence[str] | None) -> str:
    """Everything there is to see of the chosen runs; ids of other projects are passed over."""
    wanted = set(chosen or ())
    runs = [run for run in reversed(started(studio, project_id)) if run.id in wanted][:MOST_RUNS]
    if not runs:
        return nothing()
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
    how = tr("Thick with dots: loss on the validation rows; thin: on the training rows. In nats a target token.")
    return f'<section>{drawn}<p class="quiet">{text(how)}</p></section>' if drawn else ""


def differences_html(runs: Sequence[Run]) -> str:
    """The settings in which the runs differ, and only those."""
    if len(runs) < 2:
        return ""
    rows = differences(runs)
    if not rows:
        same = text(tr("All settings are the same."))
        return f"<section><h3>{text(tr('Settings'))}</h3><p>{same}</p></section>"
    head = [tr("Setting"), *(_run(run.number) for run in runs)]
    title = text(tr("Where their settings differ"))
    return f'<section class="settings"><h3>{title}</h3>{table(head, rows)}</section>'


def _run(number: int) -> str:
    return tr("Run {number}", number=number)


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
        return tr("on") if value else tr("off")
    return f"{value:g}" if isinstance(value, float) else str(value)[:200]


def side_by_side_html(reports: Mapping[int, EvalReport], numbers: Sequence[int]) -> str:
    """The metrics of the runs that were evaluated on the same rows, a table for each set of rows."""
    sets: dict[str, dict[int, EvalReport]] = {}
    for number, report in reports.items():
        sets.setdefault(report.held_out, {})[number] = report
    parts = [_metrics(found) for found in sets.values()]
    missing = [_run(number) for number in numbers if number not in reports]
    if missing:
        parts.append(_quiet(tr("{runs}: not evaluated yet.", runs=", ".join(missing))))
    if len(sets) > 1:
        parts.append(_quiet(tr("Figures of different tables rest on different rows: do not compare them.")))
    return f"<section><h3>{text(tr('Metrics'))}</h3>{''.join(parts)}</section>"


def _quiet(words: str) -> str:
    return f'<p class="quiet">{text(words)}</p>'


def _metrics(reports: Mapping[int, EvalReport]) -> str:
    names = dict.fromkeys(name for report in reports.values() for name in report.metrics)
    rows = [
        [
            tr(next(report.metrics[name].title for report in reports.values() if name in report.metrics)),
            *(_metric(report.metrics.get(name)) for report in reports.values()),
        ]
        for name in names
    ]
    first = next(iter(reports.values()))
    head = [trn("{count:,} held-out row", "{count:,} held-out rows", first.rows), *(_run(one) for one in reports)]
    return table(head, rows) + _quiet(tr("The second line is the difference from the base, with its 95 % interval."))


def _metric(one: MetricReport | None) -> str:
    if one is None:
        return "–"
    known = ""
    if one.low is not None and one.high is not None:
        known = f" ({tr('{low} to {high}', low=_signed(one.low), high=_signed(one.high))})"
    return f"{tr(_FIGURE, value=one.tuned)}\n{_signed(one.difference)}{known}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{tr(_FIGURE, value=abs(value))}"


def _losses(run: Run, events: Sequence[RunEvent]) -> Losses:
    train = [event for event in events if event.kind == "step"]
    validation = [event for event in events if event.data.get("name") == "validation_loss"]
    return Losses(_run(run.number), _points(train, "loss"), _points(validation, "value"))


def _points(events: Sequence[RunEvent], name: str) -> list[tuple[float, float]]:
    """(step, value) in order of steps; of a step that a resumed run did again, the last value."""
    found = {}
    for event in events:
        step, value = event.data.get("step"), event.data.get(name)
        if isinstance(step, (int, float)) and isinstance(value, (int, float)):
            found[float(step)] = float(value)
    return sorted(found.items())
