"""One learning curve, top to bottom: a run on each part of a snapshot, its held-out loss, and its answers scored.

The process around it is the sweep's (`python -m studio.sweeping CURVE_DIR`), and a part's run is run as a trial is. A
curve that was stopped goes on with the part that was at work. What it leaves out: several parts at a time, and the fit.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from studio.contract.curve import (
    SCORES_FOLDER,
    CurvePoint,
    CurveReport,
    CurveSpec,
    place,
    read_curve_spec,
    read_report,
    write_report,
)
from studio.contract.evaluation import REPORT_FILE as SCORED_FILE
from studio.contract.evaluation import EvalSpec, read_eval_report
from studio.contract.events import LOG_FILE, EventWriter, log_tail, newest, read_all, tail
from studio.contract.spec import SPEC_FILE, TrainSpec
from studio.errors import DiskFull, JobFailed, StudioError
from studio.sweeping.stop import Stop
from studio.sweeping.trials import ROOT, Course, drop_weights, folder_of, run_trial

EVALUATION_MODULE = "studio.evaluation"
_WHOLE = 1000
_TRAINING = 0.7
"""A part's share of its time that training takes where answers are scored too: a guess."""

_LOOK_SECONDS = 0.1
_TELL_SECONDS = 1.0
_HEED_SECONDS = 5.0


def curve(folder: Path, events: EventWriter, stop: Stop) -> dict[str, object]:
    """Run, or go on with, the curve of `folder` and return the results for its `done` event; early when `stop` says so.

    Raises StudioError with one sentence, OSError when the disk is full.
    """
    spec, points = read_curve_spec(folder), [point for point in read_report(folder).points if point.state == "done"]
    total = sum(part.labels for part in spec.parts)
    while len(points) < len(spec.parts) and not stop.asked:
        number, part = len(points), spec.parts[len(points)]
        words = f"Part {number + 1} of {len(spec.parts)}: {part.labels:,} labels"
        events.write("state", state="training", message=words)
        write_report(folder, CurveReport(points=(*points, CurvePoint(labels=part.labels, state="running"))))
        before = sum(one.labels for one in spec.parts[:number]) / total
        told = _told(events, words, before, part.labels / total)
        point = _point(folder, spec, number, stop, told)
        if point is None:
            stop.asked = True  # also where somebody stopped the part's run alone; the next process goes on with it
            break
        points.append(point)
        write_report(folder, CurveReport(points=tuple(points)))
        if point.state == "failed":
            raise JobFailed(f"The run on {part.labels:,} labels failed: {point.reason}")
        drop_weights(folder_of(folder, number))
        name, value = (point.metric, point.score) if point.score is not None else ("held_out_loss", point.loss)
        events.write("metric", name=name, value=value, step=part.labels)
    return {"parts": len(points)}


def part_spec(spec: CurveSpec, number: int) -> TrainSpec:
    """The run on a part, without what only a run of its own needs."""
    less = {"samples": 0, "checkpoints": min(1, spec.base.checkpoints), "trackers": ""}
    return spec.base.model_copy(update={"snapshot": spec.parts[number].snapshot, **less})


def _point(
    folder: Path, spec: CurveSpec, number: int, stop: Stop, told: Callable[[float, str], None]
) -> CurvePoint | None:
    """Train on a part and score it; None when it was stopped before its end."""
    labels, home = spec.parts[number].labels, folder_of(folder, number)
    share = _TRAINING if spec.evaluation else 1.0
    finished = newest(home, "tuned_loss") is not None and _said_done(home)
    course = Course(state="done")
    if not finished:
        course = run_trial(
            *(home, part_spec(spec, number), stop, lambda course, step: False),
            lambda course: told(share * course.step / max(1, course.steps), "training"),
        )
    if course.kind == "DiskFull":
        raise DiskFull("The disk is full, so the learning curve ended; finished parts are kept: free space and resume.")
    if course.state != "done":
        reason = course.reason or "its process ended without a word"
        stopped = course.state == "stopped"
        return None if stopped else CurvePoint(labels=labels, state="failed", reason=reason)
    loss = newest(home, "tuned_loss")
    point = CurvePoint(
        labels=labels,
        state="done",
        loss=float(loss) if isinstance(loss, (int, float)) else None,
        seconds=round(course.seconds, 1),
    )
    if not spec.evaluation:
        return point
    scores = folder / SCORES_FOLDER / place(number)
    asked = spec.evaluation.model_copy(update={"run": home.name, "runs": home.parent})
    try:
        if not _scored(scores, asked, stop, lambda done: told(share + (1 - share) * done, "scoring answers")):
            return None
        verdict = read_eval_report(scores)
        lead = verdict.verdict.metric
        return point.model_copy(update={"metric": lead, "score": verdict.metrics[lead].tuned})
    except StudioError as error:
        return CurvePoint(labels=labels, state="failed", reason=str(error))


def _scored(folder: Path, spec: EvalSpec, stop: Stop, on_look: Callable[[float], None]) -> bool:
    """Run the evaluation of a part to its end; False when it was stopped. Raises JobFailed."""
    if (folder / SCORED_FILE).is_file() and _said_done(folder):
        return True
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
    with (folder / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", EVALUATION_MODULE, str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            close_fds=False,  # hands on the curve's lock, as a trial does
        )
    offset, asked_at = tail(folder, 0)[1], 0.0
    while process.poll() is None:
        events, offset = tail(folder, offset)
        for event in events:
            done, whole = event.data.get("step"), event.data.get("steps")
            if event.kind == "step" and isinstance(done, int) and isinstance(whole, int) and whole:
                on_look(done / whole)
        if stop.asked:
            asked_at = asked_at or time.monotonic()
            if time.monotonic() - asked_at > _HEED_SECONDS:
                process.terminate()
        time.sleep(_LOOK_SECONDS)
    if _said_done(folder):
        return True
    if stop.asked or _last_state(folder) == "stopped":
        return False
    said = [str(event.data.get("message")) for event in read_all(folder) if event.kind == "error"]
    raise JobFailed(said[-1] if said else log_tail(folder, 1)[:300] or "its answers could not be scored.")


def _said_done(folder: Path) -> bool:
    return _last_state(folder) == "done"


def _last_state(folder: Path) -> object:
    events = read_all(folder)
    return events[-1].data.get("state") if events and events[-1].kind == "done" else None


def _told(events: EventWriter, words: str, begin: float, width: float) -> Callable[[float, str], None]:
    last = [float("-inf")]

    def tell(share: float, what: str) -> None:
        if time.monotonic() - last[0] >= _TELL_SECONDS:
            last[0] = time.monotonic()
            step = round(_WHOLE * (begin + width * min(1.0, share)))
            events.write("step", step=step, steps=_WHOLE, message=f"{words}, {what}")

    return tell
