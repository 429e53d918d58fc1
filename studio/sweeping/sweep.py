"""One sweep, top to bottom: spec, study, trial after trial, the report after each change, the best one kept.

search.py chooses values and says which trial is hopeless; trials.py runs one. What it leaves out: several trials at a
time, and held-out losses and samples, which are for the run that is made of the best trial.
"""

from __future__ import annotations

import time
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.sweep import (
    SweepReport,
    SweepSpec,
    Trial,
    Value,
    combinations,
    read_sweep_spec,
    trial_spec,
    write_report,
)
from studio.errors import DiskFull, JobFailed, StudioError
from studio.sweeping.search import Asked, Search
from studio.sweeping.stop import Stop
from studio.sweeping.trials import Course, drop_checkpoints, drop_weights, folder_of, run_trial

FAILED_IN_A_ROW = 3
_REPORT_SECONDS = 1.0


def sweep(folder: Path, events: EventWriter, stop: Stop) -> dict[str, object]:
    """Run, or go on with, the sweep of `folder` and return the results for its `done` event; early when `stop` says so.

    Raises StudioError with one sentence, OSError when the disk is full.
    """
    spec = read_sweep_spec(folder)
    search = Search(folder, spec)
    _tidy(folder, spec, search.report())
    unfinished: Trial | None = None
    failed, wanted = 0, min(spec.trials, combinations(spec.over) or spec.trials)
    while not stop.asked and (asked := search.unfinished() or _next(search, spec)):
        _say_trial(events, spec, asked, wanted)
        trial = _run(folder, spec, search, asked, stop)
        if trial.state == "running":
            unfinished = trial
            stop.asked = True  # also where somebody stopped the trial alone; the next process goes on with it
            break
        search.finish(trial)
        report = search.report()
        write_report(folder, report)
        _tidy(folder, spec, report)
        _say_end(events, trial, report, wanted)
        failed = failed + 1 if trial.state == "failed" else 0
        if failed >= FAILED_IN_A_ROW or (trial.state == "failed" and not search.more() and report.best is None):
            raise JobFailed(f"{_counted(failed)} failed, so the sweep ended. The last reason: {trial.reason}")
    write_report(folder, report := search.report(unfinished))
    return _results(spec, report, wanted)


def _next(search: Search, spec: SweepSpec) -> Asked | None:
    """The next trial, None when there is none or the time is up."""
    spent = sum(trial.seconds for trial in search.report().trials)
    if not search.more() or (spec.timeout_minutes and spent >= 60 * spec.timeout_minutes):
        return None
    return search.begin()


def _run(folder: Path, spec: SweepSpec, search: Search, asked: Asked, stop: Stop) -> Trial:
    """Run a trial; its state is `running` when it was stopped before its end."""
    run_spec = trial_spec(spec, asked.values)
    last = [float("-inf")]

    def on_pass(course: Course, step: int) -> bool:
        place = round(step / max(1, course.steps) * run_spec.evaluations)
        return search.hopeless(asked.number, place, course.losses[step])

    def on_look(course: Course) -> None:
        if time.monotonic() - last[0] >= _REPORT_SECONDS:
            last[0] = time.monotonic()
            write_report(folder, search.report(_trial(asked, spec, course, "running")))

    try:
        course = run_trial(folder_of(folder, asked.number), run_spec, stop, on_pass, on_look)
    except StudioError as error:
        course = Course(state="failed", reason=str(error))
    if course.kind == "DiskFull":
        raise DiskFull("The disk is full, so the sweep ended; finished trials are kept: free space and resume.")
    return _trial(asked, spec, course, _state(course))


def _state(course: Course) -> str:
    if course.pruned:
        return "pruned"
    if course.state == "stopped":
        return "running"
    return "done" if course.state == "done" and _loss(course, keep_last=False) is not None else "failed"


def _trial(asked: Asked, spec: SweepSpec, course: Course, state: str) -> Trial:
    reason = course.reason
    if state == "failed" and not reason:
        reason = "The trial ended without a validation loss."
    if state == "pruned":
        reason = f"Ended at step {course.step} of {course.steps}: its loss was above the median of the finished trials."
    return Trial.model_validate(
        {
            "number": asked.number,
            "values": dict(asked.values),
            "state": state,
            "loss": _loss(course, spec.base.keep == "last"),
            "before": course.losses.get(0),
            "step": course.step,
            "steps": course.steps,
            "seconds": round(course.seconds, 1),
            "reason": reason if state in ("failed", "pruned") else "",
        }
    )


def _loss(course: Course, keep_last: bool) -> float | None:
    """The loss that training led to: of the best pass behind the first step, or of the last where that is kept."""
    trained = {step: loss for step, loss in course.losses.items() if step > 0}
    if not trained:
        return None
    return trained[max(trained)] if keep_last else min(trained.values())


def _tidy(folder: Path, spec: SweepSpec, report: SweepReport) -> None:
    """Remove what no trial needs any more; a sweep that was killed before it could do so does it when it goes on."""
    for trial in report.trials:
        if trial.state == "running":
            continue
        kept = trial.state == "done" and (spec.keep == "all" or trial.number == report.best)
        (drop_checkpoints if kept else drop_weights)(folder_of(folder, trial.number))


def _say_trial(events: EventWriter, spec: SweepSpec, asked: Asked, wanted: int) -> None:
    values = ", ".join(f"{name} {_words(value)}" for name, value in asked.values.items())
    events.write("state", state="training", message=f"Trial {asked.number + 1} of {wanted}: {values}")


def _say_end(events: EventWriter, trial: Trial, report: SweepReport, wanted: int) -> None:
    if trial.state == "failed":
        events.write("warning", message=f"Trial {trial.number + 1} failed: {trial.reason}")
    elif trial.loss is not None:
        events.write("metric", name=f"trial_{trial.number + 1}_{trial.state}", value=trial.loss, step=trial.step)
    best = report.best_trial
    events.write("step", step=report.ended, steps=wanted, loss=best.loss if best else None)


def _results(spec: SweepSpec, report: SweepReport, wanted: int) -> dict[str, object]:
    best = report.best_trial
    message = ""
    if report.ended < wanted and spec.timeout_minutes:
        message = f"The time was up after {report.ended} of {wanted} trials."
    return {
        "trials": report.ended,
        "best": best.number + 1 if best else None,
        "loss": best.loss if best else None,
        "values": best.values if best else {},
        "message": message,
    }


def _words(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _counted(failed: int) -> str:
    return "The only trial" if failed == 1 else f"{failed} trials in a row"
