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
from studio.jobs.sayings import retold
from studio.language import tr, trn

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
        words = trn(
            "{count:,} mail waits for a job card: write each in one line, as the guidelines show.",
            "{count:,} mails wait for a job card: write each in one line, as the guidelines show.",
            left,
        )
        return Step(words, "Label", tr("Label"), part=1)
    if not frozen:
        words = tr("Freeze the pairs: a run learns from data that stays as it is.")
        return Step(words, "Datasets", tr("Datasets"), part=2)
    if run is None:
        words = tr("Start a run: the settings are chosen for you, and the plan says what they are and why.")
        return Step(words, "Train", tr("Train"), part=3)
    if run.state in ACTIVE_STATES or run.state == "waiting":
        return Step(_learning(run), "Train", tr("Watch it"), run.id, part=3)
    if run.state != "done":
        words = tr("Run {number} has {state}: start another.", number=run.number, state=tr(run.state))
        return Step(words, "Train", tr("Train"), run.id, part=3)
    words = tr("Compare: ask the base model and yours for the job card of the same new mail.")
    return Step(words, "Compare", tr("Compare"), run.id, part=4)


def _learning(run: Run) -> str:
    state = tr(run.state)
    if not run.eta_seconds:
        return tr("Run {number} is {state}. The loss falls as it learns the form.", number=run.number, state=state)
    return tr(
        "Run {number} is {state}, {time} left. The loss falls as it learns the form.",
        number=run.number,
        state=state,
        time=_minutes(run.eta_seconds),
    )


def _labeling(found: Overview) -> Step | None:
    if found.tally.returned and found.left:
        words = trn(
            "{count:,} answer came back with a comment, {left:,} left to label in all.",
            "{count:,} answers came back with a comment, {left:,} left to label in all.",
            found.tally.returned,
            left=found.left,
        )
        return Step(words, "Label", tr("Label"))
    if found.left:
        words = trn("{count:,} example left to label.", "{count:,} examples left to label.", found.left)
        return Step(words, "Label", tr("Label"))
    return None


def _reviewing(found: Overview) -> Step | None:
    waiting = found.tally.pending + found.tally.flagged
    if not waiting:
        return None
    if not found.tally.flagged:
        words = trn("{count:,} example to review.", "{count:,} examples to review.", waiting)
    else:
        words = trn(
            "{count:,} example to review, {flagged:,} of them flagged.",
            "{count:,} examples to review, {flagged:,} of them flagged.",
            waiting,
            flagged=found.tally.flagged,
        )
    return Step(words, "Review", tr("Review"))


def _data(found: Overview) -> Step | None:
    if found.tally.total:
        return None
    words = tr("Import examples: a file of prompts to label, or of prompts with their answers.")
    return Step(words, "Data", tr("Import a file"))


def _urgent(found: Overview) -> Step | None:
    if found.alerts:
        words = trn(
            "{count:,} figure of the model in service went beyond the limit.",
            "{count:,} figures of the model in service went beyond the limit.",
            found.alerts,
        )
        return Step(words, "Monitor", tr("Look"))
    run = next((look.run for look in found.recent if look.active), None)
    if run is None:
        return _queued(found)
    return Step(_how_far(run), "Train", tr("Watch it"), run.id)


def _how_far(run: Run) -> str:
    state = tr(run.state)
    percent = 100 * run.step // run.steps if run.steps and run.step else None
    time = _minutes(run.eta_seconds) if run.eta_seconds else ""
    if percent is None and not time:
        return tr("Run {number} is {state}.", number=run.number, state=state)
    if percent is None:
        return tr("Run {number} is {state}, {time} left.", number=run.number, state=state, time=time)
    if not time:
        return tr("Run {number} is {state}, {percent} % done.", number=run.number, state=state, percent=percent)
    return tr(
        "Run {number} is {state}, {percent} % done, {time} left.",
        number=run.number,
        state=state,
        percent=percent,
        time=time,
    )


def _queued(found: Overview) -> Step | None:
    """The newest run, while it is in the queue with nothing at work."""
    run = found.recent[0].run if found.recent else None
    if run and run.state == "waiting":
        words = tr("Run {number} waits for its turn.", number=run.number)
        return Step(words, "Train", tr("See the queue"), run.id)
    if run and run.state == "paused":
        words = tr("Run {number} is paused: resume it in the queue.", number=run.number)
        return Step(words, "Train", tr("See the queue"), run.id)
    return None


def _toward_a_run(found: Overview) -> Step | None:
    """While there is no run of the newest snapshot."""
    have = found.tally.accepted
    if found.newest is None and have < FIRST_RUN and (step := _missing(found, FIRST_RUN - have)):
        return step
    if found.newest is None and have:
        words = trn(
            "{count:,} accepted pair: freeze them as a snapshot to train on.",
            "{count:,} accepted pairs: freeze them as a snapshot to train on.",
            have,
        )
        return Step(words, "Datasets", tr("Freeze a snapshot"))
    if found.newest and all(look.run.snapshot_id != found.newest.id for look in found.recent):
        words = trn(
            "Snapshot v{version} has {count:,} row to train on and no run yet.",
            "Snapshot v{version} has {count:,} rows to train on and no run yet.",
            found.newest.train_rows,
            version=found.newest.version,
        )
        return Step(words, "Train", tr("Train"))
    return None


def _missing(found: Overview, missing: int) -> Step | None:
    """While `missing` pairs lack for a first run."""
    waiting = found.tally.pending
    if waiting and (waiting >= missing or not found.left):
        words = trn(
            "{count:,} more accepted pair until a first run is worth it; {waiting} for review.",
            "{count:,} more accepted pairs until a first run is worth it; {waiting} for review.",
            missing,
            waiting=trn("{count:,} answer waits", "{count:,} answers wait", waiting),
        )
        return Step(words, "Review", tr("Review"))
    if found.left:
        words = trn(
            "{count:,} more accepted pair until a first run is worth it.",
            "{count:,} more accepted pairs until a first run is worth it.",
            missing,
        )
        return Step(words, "Label", tr("Label"))
    if found.runs:
        return None
    words = trn(
        "{count:,} more accepted pair until a first run is worth it, and nothing is left to label: import more.",
        "{count:,} more accepted pairs until a first run is worth it, and nothing is left to label: import more.",
        missing,
    )
    return Step(words, "Data", tr("Import a file"))


def _ended(found: Overview) -> Step | None:
    newest = found.recent[0] if found.recent else None
    if newest and newest.run.state == "failed":
        words = tr("Run {number} failed: {why}", number=newest.run.number, why=retold(newest.run.message))
        return Step(words, "Train", tr("See why"), newest.run.id)
    done = _newest_done(found)
    if done and not done.kind:
        words = tr("Run {number} is done. Is it better than its base model?", number=done.run.number)
        return Step(words, "Evaluate", tr("Evaluate"), done.run.id)
    return None


def _judged(found: Overview) -> Step | None:
    done = _newest_done(found)
    if done is None or done.run.id == found.in_service_id:
        return None
    number = done.run.number
    if done.kind == "better":
        words = tr("Run {number}: {verdict} Put it into service?", number=number, verdict=done.sentence)
        return Step(words, "Deploy", tr("Deploy"), done.run.id)
    if done.kind and found.left and found.fresh < _enough(found):
        return Step(_unshown(number, done.needed), "Label", tr("Label"))
    return None


def _unshown(number: int, needed: int | None) -> str:
    if not needed:
        return tr("Run {number} is not shown to be better yet. Label more.", number=number)
    return trn(
        "Run {number} is not shown to be better yet. About {count:,} more held-out example would show it. Label more.",
        "Run {number} is not shown to be better yet. About {count:,} more held-out examples would show it. Label more.",
        needed,
        number=number,
    )


def _grown(found: Overview) -> Step | None:
    if found.newest is None or found.fresh < _enough(found):
        return None
    words = trn(
        "{count:,} accepted pair since snapshot v{version}: freeze and train again.",
        "{count:,} accepted pairs since snapshot v{version}: freeze and train again.",
        found.fresh,
        version=found.newest.version,
    )
    return Step(words, "Datasets", tr("Freeze a snapshot"))


def _rated_down(found: Overview) -> Step | None:
    if not found.down:
        return None
    words = trn(
        "{count:,} answer was rated down this week: take them up as examples to label.",
        "{count:,} answers were rated down this week: take them up as examples to label.",
        found.down,
    )
    return Step(words, "Monitor", tr("Look at them"))


def _newest_done(found: Overview) -> RunLook | None:
    return next((look for look in found.recent if look.run.state == "done"), None)


def _enough(found: Overview) -> int:
    """New pairs from which a new snapshot is worth it."""
    rows = found.newest.train_rows if found.newest else 0
    return max(_AT_LEAST, int(_GROWN * rows))


def _minutes(seconds: float) -> str:
    if seconds >= 90:
        return tr("about {minutes} min", minutes=round(seconds / 60))
    return tr("{seconds} s", seconds=round(seconds))
