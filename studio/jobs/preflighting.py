"""Preflights: write the rows, start the process that checks them, and tell how it goes and what it found.

Each project's pairs and each of its snapshots have one folder, whose newest preflight it holds; so the page finds a
running or a finished one again, whatever ended the app meanwhile. What it leaves out: the checks (studio.preflight),
and what is in the rows (studio.data.preflight_rows).
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storage.accepted import data_stamp
from storage.database import Database
from studio.contract.events import Event, EventWriter, read_all
from studio.contract.preflight import REPORT_FILE, ROWS_FILE, PreflightSpec, Report, read_report
from studio.contract.spec import SPEC_FILE
from studio.errors import BadInput, Cancelled, DiskFull, JobFailed, StudioError
from studio.jobs import job_folders
from studio.jobs.job_folders import Standing, State, unusable, why_failed
from studio.jobs.processes import claimed, is_alive, reap, spawn, stop_was_asked
from studio.settings import Workspace

PREFLIGHT_MODULE = "studio.preflight"
_ABOUT_FILE = "about.json"
_STOP_SECONDS = 5
_LOCK = threading.Lock()

WriteRows = Callable[[Path, Callable[[int, int], bool]], int]
"""Writes the rows to a path, telling how far it is and asking whether to go on (studio.data.preflight_rows)."""


@dataclass(frozen=True)
class _Writing:
    """Rows that a thread of this process writes, and what asks it to end."""

    thread: threading.Thread
    ended: threading.Event


_WRITING: dict[Path, _Writing] = {}


@dataclass(frozen=True)
class Target:
    """What is checked: all accepted pairs of a project, or one of its snapshots."""

    project_id: str
    snapshot_id: str = ""


@dataclass(frozen=True)
class About:
    """What a preflight was asked, when, and how the project's data stood then."""

    project_id: str
    snapshot_id: str
    base_model: str
    max_length: int
    started_at: str
    stamp: str

    @property
    def at(self) -> datetime:
        """When it was started."""
        return datetime.fromisoformat(self.started_at)


@dataclass(frozen=True)
class Look:
    """How a target's newest preflight stands. `state`: none, running, done, stopped or failed; `fraction` (0 to 1) and
    `words` say how far it is, or why there is no report; `changed`: the project's data changed since it was started."""

    state: State
    folder: Path
    about: About | None = None
    fraction: float = 0.0
    words: str = ""
    report: Report | None = None
    changed: bool = False


def start_preflight(
    db: Database, workspace: Workspace, target: Target, asked: dict[str, Any], write_rows: WriteRows
) -> None:
    """Write the rows on a thread and start the process; `look_at` tells the rest. `asked`: fields of PreflightSpec.

    Raises BadInput while one of the target is at work, BadSpec for a field outside its limits, DiskFull.
    """
    spec = _spec(workspace, asked)
    folder = folder_of(workspace, target)
    with _LOCK:
        if is_alive(folder) or folder in _WRITING:
            raise BadInput("This data is being checked already: wait for it, or cancel it.")
        _make_folder(folder)
        stamp = data_stamp(db, target.project_id)
        about = About(
            *(target.project_id, target.snapshot_id, spec.base_model, spec.max_length),
            *(datetime.now(UTC).isoformat(timespec="seconds"), stamp),
        )
        (folder / _ABOUT_FILE).write_text(json.dumps(asdict(about)), encoding="utf-8")
        ended = threading.Event()
        thread = threading.Thread(target=_prepare, args=(folder, spec, write_rows, ended), daemon=True)
        _WRITING[folder] = _Writing(thread, ended)
    thread.start()


def look_at(db: Database | None, workspace: Workspace, target: Target) -> Look:
    """How a target's newest preflight stands now; without `db` not whether the data changed since."""
    folder = folder_of(workspace, target)
    about = _about(folder)
    if about is None or (about.project_id, about.snapshot_id) != (target.project_id, target.snapshot_id):
        return Look("none", folder)
    writing = folder in _WRITING
    alive = writing or is_alive(folder)  # asked first: what a dying process wrote last is then there already
    events = read_all(folder)
    if alive:
        return Look("running", folder, about, *_progress(events))
    reap(folder)
    (folder / ROWS_FILE).unlink(missing_ok=True)  # nobody needs it any more, and it holds what is to be redacted
    state = events[-1].data.get("state") if events and events[-1].kind == "done" else None
    if state == "done" and (folder / REPORT_FILE).exists():
        try:
            report = read_report(folder)
        except JobFailed as error:
            return Look("failed", folder, about, words=str(error))
        changed = db is not None and data_stamp(db, target.project_id) != about.stamp
        return Look("done", folder, about, 1.0, report=report, changed=changed)
    if state == "stopped" or stop_was_asked(folder):
        return Look("stopped", folder, about, words="Cancelled: check again when you like.")
    return Look("failed", folder, about, words=why_failed(folder, events, "The check broke off"))


def cancel_preflight(workspace: Workspace, target: Target) -> None:
    """End a target's preflight, by force when it does not listen."""
    folder = folder_of(workspace, target)
    if writing := _WRITING.get(folder):
        writing.ended.set()
        writing.thread.join(_STOP_SECONDS)
    job_folders.end(folder)


def wait_for_rows(workspace: Workspace, target: Target) -> None:
    """Wait until the rows of a preflight are written: from then on it needs no database."""
    if writing := _WRITING.get(folder_of(workspace, target)):
        writing.thread.join()


def follow_preflight(
    workspace: Workspace, target: Target, on_progress: Callable[[float, str], object] = lambda fraction, words: None
) -> Look:
    """See a preflight to its end; an interrupt cancels it. Raises JobFailed, Cancelled."""

    def look() -> Standing:
        found = look_at(None, workspace, target)
        return Standing(found.state, found.fraction, found.words)

    job_folders.follow(look, lambda: cancel_preflight(workspace, target), on_progress)
    return look_at(None, workspace, target)


def folder_of(workspace: Workspace, target: Target) -> Path:
    """Where a target's newest preflight lies. Two projects can share a snapshot, so both name it."""
    name = f"{target.project_id}-{target.snapshot_id}" if target.snapshot_id else target.project_id
    return workspace.preflights / Path(name).name


def _spec(workspace: Workspace, asked: dict[str, Any]) -> PreflightSpec:
    try:
        return PreflightSpec.model_validate({"models": workspace.models, **asked})
    except ValidationError as error:
        raise unusable(error) from None


def _make_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise DiskFull(f"The preflight cannot be written to {folder}: {error.strerror or error}.") from error


def _prepare(folder: Path, spec: PreflightSpec, write_rows: WriteRows, ended: threading.Event) -> None:
    """Write rows and spec, then start the process; what fails is told by events, as the process tells it."""
    try:
        with claimed(folder) as lock:
            events = EventWriter(folder)
            try:
                events.write("state", state="starting", message="Reading the pairs")
                write_rows(folder / ROWS_FILE, lambda done, total: _tell(events, done, total, ended))
                (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
                if ended.is_set():
                    raise Cancelled("Stopped: nothing was checked.")
            except Cancelled:
                events.write("done", state="stopped")
                return
            except (StudioError, OSError) as error:
                said = str(error) if isinstance(error, StudioError) else "The disk is full: make room and check again."
                events.write("error", message=said, kind=type(error).__name__)
                events.write("done", state="failed")
                return
            finally:
                events.close()
            spawn(folder, PREFLIGHT_MODULE, lock)
    except StudioError as error:
        (folder / "log.txt").write_text(f"{error}\n", encoding="utf-8")
    finally:
        _WRITING.pop(folder, None)


def _tell(events: EventWriter, done: int, total: int, ended: threading.Event) -> bool:
    events.write("step", step=done, steps=total, message="Reading the pairs")
    return not ended.is_set()


def _progress(events: list[Event]) -> tuple[float, str]:
    """How far it is and what it does. Reading the pairs is the first tenth, as the process begins to count anew."""
    fraction, words = 0.0, "Starting"
    for event in events:
        if event.kind not in ("state", "step"):
            continue
        words = str(event.data.get("message") or words)
        step, steps = event.data.get("step"), event.data.get("steps")
        if isinstance(step, int) and isinstance(steps, int) and steps > 0:
            share = min(1.0, step / steps)
            fraction = 0.1 * share if words == "Reading the pairs" else max(fraction, 0.1 + 0.9 * share)
    return fraction, words


def _about(folder: Path) -> About | None:
    try:
        return About(**json.loads((folder / _ABOUT_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
