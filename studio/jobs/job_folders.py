"""A job's folder, whatever the job: how its process stands, and ending it.

What it leaves out: what is in the folder besides events, log and lock; and runs, which can be taken up again
(studio.jobs.runs).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from studio.contract.events import Event, log_tail, read_all
from studio.errors import BadSpec, Cancelled, JobFailed
from studio.jobs.processes import ask_to_stop, is_alive, reap, stop_was_asked
from studio.jobs.waiting import HELD, why_waiting
from studio.language import tr

State = Literal["none", "waiting", "running", "done", "stopped", "failed"]

LOOK_SECONDS = 0.2
_STOP_SECONDS = 5


@dataclass(frozen=True)
class Standing:
    """How a job stands: `fraction` (0 to 1) and `words` say how far it is, or why it has no result."""

    state: State
    fraction: float = 0.0
    words: str = ""

    @property
    def alive(self) -> bool:
        """Whether more is to come."""
        return self.state in ("waiting", "running")


def standing(folder: Path, broke_off: str, stopped: str) -> Standing:
    """How the job of a folder stands; `broke_off` and `stopped` are what to say of one that ended without a word."""
    if not folder.exists():
        return Standing("none")
    alive = is_alive(folder)  # asked first: what a dying process wrote last is then there already
    events = read_all(folder)
    if alive:
        return Standing("running", *progress(events))
    reap(folder)
    if (why := why_waiting(folder)) is not None:
        return Standing("stopped", words=stopped) if why in HELD else Standing("waiting", words=f"It {why}.")
    state = events[-1].data.get("state") if events and events[-1].kind == "done" else None
    if state == "done":
        return Standing("done", 1.0)
    if state == "stopped" or stop_was_asked(folder):
        return Standing("stopped", words=stopped)
    return Standing("failed", words=why_failed(folder, events, broke_off))


def progress(events: list[Event]) -> tuple[float, str]:
    """How far a job is, and what it does."""
    fraction, words = 0.0, "Starting"
    for event in events:
        if event.kind not in ("state", "step"):
            continue
        words = str(event.data.get("message") or words)
        step, steps = event.data.get("step"), event.data.get("steps")
        if isinstance(step, int) and isinstance(steps, int) and steps > 0:
            fraction = max(fraction, min(1.0, step / steps))
    return fraction, words


def end(folder: Path) -> None:
    """End a folder's process, by force when it does not listen."""
    for hard in (False, True):
        if not ask_to_stop(folder, hard=hard):
            break
        deadline = time.monotonic() + _STOP_SECONDS
        while is_alive(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
    reap(folder)


def follow(
    look: Callable[[], Standing], cancel: Callable[[], None], on_progress: Callable[[float, str], object]
) -> None:
    """See a job to its end; an interrupt cancels it. Raises JobFailed, Cancelled."""
    try:
        while (found := look()).alive:
            on_progress(found.fraction, found.words)
            time.sleep(LOOK_SECONDS)
    except BaseException:
        cancel()
        raise
    if found.state == "stopped":
        raise Cancelled(found.words)
    if found.state != "done":
        raise JobFailed(found.words)


def why_failed(folder: Path, events: list[Event], broke_off: str) -> str:
    """What a failed job said, or the last line of its log."""
    said = [str(event.data.get("message")) for event in events if event.kind == "error"]
    if said:
        return said[-1]
    why = log_tail(folder, 1)[:300]
    return f"{broke_off} ({why}): start it again." if why else f"{broke_off}: start it again."


def unusable(error: ValidationError) -> BadSpec:
    """What is wrong first with the fields of a job's spec."""
    first = error.errors()[0]
    name = str(first["loc"][0]).replace("_", " ") if first["loc"] else "setting"
    return BadSpec(tr("The {name} cannot be used: {why}.", name=name, why=first["msg"]))
