"""`curve SNAPSHOT [--model M] [--set field=value]`: how many more labels it takes, by runs on parts of a snapshot."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace

from studio.commands import Outcome, opened
from studio.commands.queueing import await_turn
from studio.commands.spec_flags import settings_of, with_method
from studio.errors import BadInput
from studio.jobs.curve import follow_curve, resume_curve, start_curve, stop_curve
from studio.jobs.curves import LearningCurve, curve_folder, get_curve
from studio.jobs.processes import ask_to_stop
from studio.settings import Workspace


def curve(workspace: Workspace, flags: Namespace) -> Outcome:
    """`curve SNAPSHOT`, `curve show|stop|resume CURVE`: {"curve", "state", "measure", "points", "prediction", "more",
    "sentence"}; Ctrl-C stops it with a checkpoint."""
    words = list(flags.words)
    if len(words) == 2 and words[0] in ("show", "stop", "resume"):
        return _acts(workspace, *words)
    if len(words) != 1:
        raise BadInput("Write `curve SNAPSHOT`, or `curve show`, `stop` or `resume` and the id of a curve.")
    settings = with_method(settings_of(flags.set), flags.method)
    with opened(workspace) as db:
        found = start_curve(db, workspace, words[0], flags.model, settings)
    waits = found.standing.state == "waiting"
    print(f"Learning curve {found.id} {'is in the queue' if waits else 'has started'}.", file=sys.stderr)
    return Outcome(result(found)) if flags.detach else _ended(_follow(workspace, found.id))


def result(found: LearningCurve) -> dict[str, object]:
    """A curve as JSON shows it."""
    told = found.foretold
    ahead, more = told.ahead, told.more
    return {
        "curve": found.id,
        "state": found.standing.state,
        "measure": told.measure,
        "points": [{"labels": labels, "score": score} for labels, score in told.points],
        "prediction": {"labels": ahead.labels, "score": ahead.score, "low": ahead.low, "high": ahead.high}
        if ahead
        else {},
        "more": {"gain": more.gain, "labels": more.labels, "low": more.low, "high": more.high} if more else {},
        "sentence": told.sentence,
    }


def _acts(workspace: Workspace, act: str, curve_id: str) -> Outcome:
    if act == "stop":
        with opened(workspace) as db:
            stop_curve(workspace, curve_id, db)
        return _shown(follow_curve(workspace, curve_id, lambda look: None))
    if act == "show":
        return _shown(get_curve(workspace, curve_id))
    with opened(workspace) as db:
        found = resume_curve(db, workspace, curve_id)
    return _ended(_follow(workspace, found.id))


def _follow(workspace: Workspace, curve_id: str) -> LearningCurve:
    """Show a curve until it ends. Ctrl-C stops it with a checkpoint; a second one leaves it to itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell
    said: list[str] = []

    def show(look: LearningCurve) -> None:
        if look.standing.words and look.standing.words not in said:
            said.append(look.standing.words)
            print(look.standing.words, file=sys.stderr, flush=True)

    if get_curve(workspace, curve_id).standing.state == "waiting":
        await_turn(workspace, curve_id)
    try:
        return follow_curve(workspace, curve_id, show)
    except KeyboardInterrupt:
        print("\nStopping: waiting for the checkpoint …", file=sys.stderr)
        ask_to_stop(curve_folder(workspace, curve_id))
        return follow_curve(workspace, curve_id, show)


def _shown(found: LearningCurve) -> Outcome:
    return Outcome(result(found), found.foretold.sentence or found.standing.words)


def _ended(found: LearningCurve) -> Outcome:
    done = found.standing.state == "done"
    return Outcome(result(found), found.foretold.sentence if done else found.standing.words, 0 if done else 1)
