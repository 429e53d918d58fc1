"""The one next step of a project, told from its figures in a plain sentence, and the tab where it is done.

Annotators hear of labeling only, reviewers of labeling and review. In the guided sample project an admin is led to four
steps, label, freeze, train, compare, whatever else there would be. What it leaves out: how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.database import Database
from storage.overview import tally
from storage.projects import get_project
from storage.records import Run
from storage.runs import list_runs
from storage.snapshots import list_snapshots
from studio.contract.events import ACTIVE_STATES
from studio.errors import NotFound
from studio.jobs.overview import Overview, RunLook

FIRST_RUN = 50
"""Accepted pairs from which a first run is worth it: a tenth of fewer is not even five rows to validate on."""

GUIDED = 4
"""Steps of the guide."""

_GROWN = 0.1
_AT_LEAST = 20


@dataclass(frozen=True)
class Step:
    """`sentence` says what and why; `tab` is the name of the tab where it is done, `button` what leads there.
    `run_id` is the run it is about, or ''; `part` says which step of the guide it is, 0 for none."""

    sentence: str
    tab: str
    button: str
    run_id: str = ""
    part: int = 0


def next_step(found: Overview, role: str) -> Step | None:
    """The next step for somebody with that role; None when there is nothing to do for them now."""
    if role == "reviewer":
        return _reviewing(found) or _labeling(found)
    if role != "admin":
        return _labeling(found)
    steps = (_data, _led, _urgent, _toward_a_run, _ended, _judged, _grown, _reviewing, _labeling, _rated_down)
    return next((step for make in steps if (step := make(found))), None)


def guide_of(db: Database, project_id: str) -> Step | None:
    """The guide's step in a project; None where nobody is led, or no more, or there is no such project."""
    try:
        if not get_project(db, project_id).settings.guide:
            return None
    except NotFound:
        return None
    return _guided(tally(db, project_id).todo, bool(list_snapshots(db, project_id)), list_runs(db, project_id))


def _led(found: Overview) -> Step | None:
    runs = [look.run for look in found.recent]
    return _guided(found.tally.todo, found.newest is not None, runs) if found.project.settings.guide else None


def _guided(left: int, frozen: bool, runs: Sequence[Run]) -> Step:
    """`runs`: the newest first."""
    run = runs[0] if runs else None
    if not frozen and left:
        waits = f"{_count(left, 'mail waits', 'mails wait')} for a job card"
        return Step(f"{waits}: write each in one line, as the guidelines show.", "Label", "Label", part=1)
    if not frozen:
        return Step("Freeze the pairs: a run learns from data that stays as it is.", "Datasets", "Datasets", part=2)
    if run is None:
        words = "Start a run: the settings are chosen for you, and the plan says what they are and why."
        return Step(words, "Train", "Train", part=3)
    if run.state in ACTIVE_STATES or run.state == "waiting":
        left_over = f", {_minutes(run.eta_seconds)} left" if run.eta_seconds else ""
        words = f"Run {run.number} is {run.state}{left_over}. The loss falls as it learns the form."
        return Step(words, "Train", "Watch it", run.id, part=3)
    if run.state != "done":
        return Step(f"Run {run.number} has {run.state}: start another.", "Train", "Train", run.id, part=3)
    words = "Compare: ask the base model and yours for the job card of the same new mail."
    return Step(words, "Compare", "Compare", run.id, part=4)


def _labeling(found: Overview) -> Step | None:
    if found.tally.returned and found.left:
        back = _count(found.tally.returned, "answer")
        return Step(f"{back} came back with a comment, {found.left:,} left to label in all.", "Label", "Label")
    if found.left:
        return Step(f"{_count(found.left, 'example')} left to label.", "Label", "Label")
    return None


def _reviewing(found: Overview) -> Step | None:
    waiting = found.tally.pending + found.tally.flagged
    if not waiting:
        return None
    flagged = f", {found.tally.flagged:,} of them flagged" if found.tally.flagged else ""
    return Step(f"{_count(waiting, 'example')} to review{flagged}.", "Review", "Review")


def _data(found: Overview) -> Step | None:
    if found.tally.total:
        return None
    return Step(
        "Import examples: a file of prompts to label, or of prompts with their answers.", "Data", "Import a file"
    )


def _urgent(found: Overview) -> Step | None:
    if found.alerts:
        return Step(
            f"{_count(found.alerts, 'figure')} of the model in service went beyond the limit.", "Monitor", "Look"
        )
    run = next((look.run for look in found.recent if look.active), None)
    if run is None:
        return _queued(found)
    far = f", {100 * run.step // run.steps} % done" if run.steps and run.step else ""
    left = f", {_minutes(run.eta_seconds)} left" if run.eta_seconds else ""
    return Step(f"Run {run.number} is {run.state}{far}{left}.", "Train", "Watch it", run.id)


def _queued(found: Overview) -> Step | None:
    """The newest run, while it is in the queue with nothing at work."""
    run = found.recent[0].run if found.recent else None
    if run and run.state == "waiting":
        return Step(f"Run {run.number} waits for its turn.", "Train", "See the queue", run.id)
    if run and run.state == "paused":
        return Step(f"Run {run.number} is paused: resume it in the queue.", "Train", "See the queue", run.id)
    return None


def _toward_a_run(found: Overview) -> Step | None:
    """While there is no run of the newest snapshot."""
    have, waiting = found.tally.accepted, found.tally.pending
    if found.newest is None and have < FIRST_RUN:
        missing = f"{_count(FIRST_RUN - have, 'more accepted pair')} until a first run is worth it"
        if waiting and (waiting >= FIRST_RUN - have or not found.left):
            return Step(f"{missing}; {_count(waiting, 'answer waits', 'answers wait')} for review.", "Review", "Review")
        if found.left:
            return Step(f"{missing}.", "Label", "Label")
        if not found.runs:
            return Step(f"{missing}, and nothing is left to label: import more.", "Data", "Import a file")
    if found.newest is None and have:
        return Step(
            f"{_count(have, 'accepted pair')}: freeze them as a snapshot to train on.", "Datasets", "Freeze a snapshot"
        )
    if found.newest and all(look.run.snapshot_id != found.newest.id for look in found.recent):
        rows = _count(found.newest.train_rows, "row")
        return Step(f"Snapshot v{found.newest.version} has {rows} to train on and no run yet.", "Train", "Train")
    return None


def _ended(found: Overview) -> Step | None:
    newest = found.recent[0] if found.recent else None
    if newest and newest.run.state == "failed":
        return Step(f"Run {newest.run.number} failed: {newest.run.message}", "Train", "See why", newest.run.id)
    done = _newest_done(found)
    if done and not done.kind:
        words = f"Run {done.run.number} is done. Is it better than its base model?"
        return Step(words, "Evaluate", "Evaluate", done.run.id)
    return None


def _judged(found: Overview) -> Step | None:
    done = _newest_done(found)
    if done is None or done.run.id == found.in_service_id:
        return None
    number = done.run.number
    if done.kind == "better":
        return Step(f"Run {number}: {done.sentence} Put it into service?", "Deploy", "Deploy", done.run.id)
    if done.kind and found.left and found.fresh < _enough(found):
        more = f" About {_count(done.needed, 'more held-out example')} would show it." if done.needed else ""
        return Step(f"Run {number} is not shown to be better yet.{more} Label more.", "Label", "Label")
    return None


def _grown(found: Overview) -> Step | None:
    if found.newest is None or found.fresh < _enough(found):
        return None
    fresh = _count(found.fresh, "accepted pair")
    words = f"{fresh} since snapshot v{found.newest.version}: freeze and train again."
    return Step(words, "Datasets", "Freeze a snapshot")


def _rated_down(found: Overview) -> Step | None:
    if not found.down:
        return None
    answers = _count(found.down, "answer was", "answers were")
    return Step(f"{answers} rated down this week: take them up as examples to label.", "Monitor", "Look at them")


def _newest_done(found: Overview) -> RunLook | None:
    return next((look for look in found.recent if look.run.state == "done"), None)


def _enough(found: Overview) -> int:
    """New pairs from which a new snapshot is worth it."""
    rows = found.newest.train_rows if found.newest else 0
    return max(_AT_LEAST, int(_GROWN * rows))


def _minutes(seconds: float) -> str:
    return f"about {round(seconds / 60)} min" if seconds >= 90 else f"{round(seconds)} s"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
