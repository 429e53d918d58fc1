"""The sweeps of a workspace as their folders tell: what was asked, how each stands, what its trials came to.

A sweep's folder is the whole truth: nothing of it is in the database, so an app that was closed or killed finds it as
it is. What it leaves out: starting and stopping (studio.jobs.sweeping).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from studio.contract.events import Event, log_tail, read_all
from studio.contract.sweep import SweepReport, SweepSpec, combinations, read_report, read_sweep_spec
from studio.errors import NotFound, StudioError
from studio.jobs.processes import PROCESS_FILE, is_alive, reap, stop_was_asked
from studio.jobs.waiting import HELD, why_waiting
from studio.language import mark, tr
from studio.settings import Workspace

_ABOUT_FILE = "about.json"
_STOPPED = mark("Stopped. Resume goes on with the trial that was at work.")
_ORPHAN = mark("The sweep's process is gone, and its last trial still trains: Resume takes it up.")


@dataclass(frozen=True)
class About:
    """What a sweep is of: written once, before it starts. `number` counts a project's sweeps from 1; `from_run` is the
    run whose weights its trials begin with, or ''."""

    project_id: str
    number: int
    snapshot_id: str
    base_model: str
    from_run: str = ""
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


@dataclass(frozen=True)
class Sweep:
    """A sweep as it stands. `state`: waiting, starting, training, stopping, done, stopped or failed; `message` says
    what it does or why it ended; `seconds_left` is a guess from the trials so far, None without any."""

    id: str
    about: About
    spec: SweepSpec
    state: str
    message: str
    report: SweepReport
    seconds_left: float | None = None

    @property
    def project_id(self) -> str:
        """The project it belongs to."""
        return self.about.project_id

    @property
    def number(self) -> int:
        """Its number among the project's sweeps."""
        return self.about.number

    @property
    def started_at(self) -> datetime:
        """When it was started."""
        return datetime.fromisoformat(self.about.started_at)

    @property
    def wanted(self) -> int:
        """Trials that it will have at the most."""
        return min(self.spec.trials, combinations(self.spec.over) or self.spec.trials)

    @property
    def active(self) -> bool:
        """Whether a process works on it, or will when it is its turn."""
        return self.state in ("waiting", "starting", "training", "stopping")

    @property
    def resumable(self) -> bool:
        """Whether it can be gone on with."""
        return self.state in ("stopped", "failed")


def list_sweeps(workspace: Workspace, project_id: str | None = None) -> list[Sweep]:
    """The sweeps of a project, or all, newest first; a folder that cannot be read is passed over."""
    found = [sweep for folder in workspace.sweeps.glob("sweep-*") if (sweep := _look(folder))]
    mine = [sweep for sweep in found if project_id is None or sweep.project_id == project_id]
    return sorted(mine, key=lambda sweep: sweep.about.started_at, reverse=True)


def get_sweep(workspace: Workspace, sweep_id: str) -> Sweep:
    """One sweep. Raises NotFound."""
    sweep = _look(sweep_folder(workspace, sweep_id))
    if sweep is None:
        raise NotFound(tr("The folder of sweep '{sweep}' cannot be read.", sweep=sweep_id))
    return sweep


def sweep_folder(workspace: Workspace, sweep_id: str) -> Path:
    """Where a sweep lies. Raises NotFound for what is no sweep of this workspace."""
    folder = workspace.sweeps / sweep_id
    if not sweep_id.startswith("sweep-") or folder.parent != workspace.sweeps or not folder.is_dir():
        raise NotFound(tr("There is no sweep '{sweep}' in {folder}.", sweep=sweep_id[:60], folder=workspace.sweeps))
    return folder


def sweep_at_work(workspace: Workspace) -> About | None:
    """The sweep that trains now."""
    alive = (about for folder in workspace.sweeps.glob("sweep-*") if is_alive(folder) and (about := _about(folder)))
    return next(alive, None)


def write_about(folder: Path, about: About) -> None:
    """Say what a sweep's folder is of. Raises OSError."""
    (folder / _ABOUT_FILE).write_text(json.dumps(asdict(about)), encoding="utf-8")


def is_orphaned(folder: Path) -> bool:
    """Whether the sweep's own process is gone while its last trial still trains."""
    reap(folder)
    try:
        pid = int(json.loads((folder / PROCESS_FILE).read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return False
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)  # its number cannot be another's: the trial's group bears it
        except ProcessLookupError:
            return is_alive(folder)
    return False


def _look(folder: Path) -> Sweep | None:
    about = _about(folder)
    try:
        spec = read_sweep_spec(folder)
    except StudioError:
        return None
    if about is None:
        return None
    alive = is_alive(folder)  # asked first: what a dying process wrote last is in the files then
    events, report = read_all(folder), read_report(folder)
    state, message = _at_work(folder, events) if alive else _ended(folder, events)
    sweep = Sweep(folder.name, about, spec, state, message, report)
    return Sweep(folder.name, about, spec, state, message, report, _seconds_left(sweep)) if sweep.active else sweep


def _about(folder: Path) -> About | None:
    try:
        return About(**json.loads((folder / _ABOUT_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _at_work(folder: Path, events: Sequence[Event]) -> tuple[str, str]:
    if is_orphaned(folder):
        return "failed", _ORPHAN
    if stop_was_asked(folder):
        return "stopping", mark("Stopping: the trial writes a checkpoint.")
    said = [event for event in events if event.kind == "state"]
    since_end = said and not (events and events[-1].kind == "done")
    return ("training", str(said[-1].data.get("message", ""))) if since_end else ("starting", "Starting")


def _ended(folder: Path, events: Sequence[Event]) -> tuple[str, str]:
    if (why := why_waiting(folder)) is not None:
        return ("stopped", _STOPPED) if why in HELD else ("waiting", f"{why[:1].upper()}{why[1:]}.")
    last = events[-1] if events and events[-1].kind == "done" else None
    if last and last.data.get("state") in ("done", "failed"):
        return str(last.data["state"]), str(last.data.get("message") or "")
    if last or stop_was_asked(folder):
        return "stopped", _STOPPED
    words = [line for line in log_tail(folder, 3).splitlines() if line.strip()]
    reason = f" Its last words: {words[-1][:300]}" if words else ""
    return "failed", f"The sweep's process ended without finishing. Resume goes on where it was.{reason}"


def _seconds_left(sweep: Sweep) -> float | None:
    """What the trials that are left would take if each took as long as a full one so far."""
    full = [trial.seconds for trial in sweep.report.trials if trial.state == "done" and trial.seconds]
    if not full:
        return None
    mean = sum(full) / len(full)
    at_work = next((trial for trial in sweep.report.trials if trial.state == "running"), None)
    spent = min(mean, at_work.seconds) if at_work else 0.0
    return max(0.0, mean * (sweep.wanted - sweep.report.ended) - spent)
