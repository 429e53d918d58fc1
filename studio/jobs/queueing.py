"""The queue: jobs wait until a slot and their planned memory are free, can be moved, paused, resumed and cancelled.

Whoever looks may dispatch: the app's watcher twice a second, and each command. A job is started by a compare-and-set
under the lock of its folder, which its process then keeps; one whose starter was killed before the process began is
found without a sign of life and waits again. So no job is started twice, and none is lost. What it leaves out: which
job comes first where (studio.jobs.placing), and evaluations, exports and servers, which count by the memory they hold.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.database import Database
from storage.queued import (
    AT_WORK,
    Ask,
    Job,
    change_state,
    change_state_in,
    get_job,
    list_jobs,
    move_up,
    put_in,
    say_reasons,
    set_priority,
)
from storage.runs import change_run, get_run, list_active_runs
from storage.usage import begin_span_in, forget_span_in
from studio.contract.events import ENDED_STATES, EVENTS_FILE
from studio.errors import BadInput, JobFailed, NotFound, StudioError
from studio.jobs.accounting import Compute, compute_settings, count_up, job_folder, list_spent, refuse_spent
from studio.jobs.curves import curve_at_work, get_curve
from studio.jobs.devices import Device, list_devices
from studio.jobs.lending import Want, settle_loans
from studio.jobs.naming import name_of
from studio.jobs.placing import AtWork, place
from studio.jobs.processes import PROCESS_FILE, ask_to_stop, claimed, is_alive, reap, spawn, stop_was_asked
from studio.jobs.sweeps import get_sweep, sweep_at_work
from studio.jobs.waiting import mark_waiting, unmark_waiting
from studio.language import mark, tr
from studio.settings import Workspace

PRIORITIES = (-100, 100)
ATTEMPTS = 3
_FIGURE_SECONDS = 10.0
WAITING = ("waiting", "paused")
PAUSED = mark("Paused: its checkpoint is kept and the device is free. Resume goes on from it.")
HELD_BACK = mark("Paused while it waited: Resume has it wait again.")
CANCELLED = mark("Cancelled while it waited: nothing of it is lost, Resume has it wait again.")

TURN = threading.RLock()
"""One process owns the database, so a lock of this process keeps looks at the jobs and starts apart; what a killed
process leaves behind is kept apart by compare-and-set."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A job as the queue shows it: `name` ("Run 3 of Support"), `place` from 1 among those that wait (0 for others)."""

    job: Job
    name: str
    place: int


def enqueue(db: Database, workspace: Workspace, ask: Ask, begin: Callable[[object], object] | None = None) -> None:
    """Have a job wait, and start what can start; `begin(cursor)` writes what goes with it in the same transaction.

    Raises NotAllowed where the user's device-hours are used up, BadInput for a priority out of its limits or a job that
    waits or is at work already.
    """
    refuse_spent(db, ask.user_name)
    _check_priority(ask.priority)
    with TURN:
        _reconcile(db, workspace, leaving=ask.job_id)
        with db.write() as cursor:
            if begin:
                begin(cursor)
            if not put_in(cursor, ask):
                raise BadInput("It waits or is at work already.")
            if ask.kind == "run":
                change_run(cursor, ask.job_id, {"state": "waiting", "message": "Waits for its turn."})
        if ask.kind != "run":
            mark_waiting(job_folder(workspace, ask.kind, ask.job_id), "waits for its turn")
        try:
            dispatch(db, workspace, resumed=ask.job_id)
        except StudioError as error:  # it is in the queue for good: whoever looks next starts it
            _log.warning("%s is in the queue, which could not be worked on: %s", ask.job_id, error)


def dispatch(db: Database, workspace: Workspace, resumed: str = "") -> list[str]:
    """Take up what has become of the jobs at work, and start those whose turn it is; their ids. `resumed`: a job whose
    last process is waited for a moment, should it be on its way out."""
    with TURN:
        _reconcile(db, workspace)
        waiting = list_jobs(db, ("waiting",))
        if not waiting:
            settle_loans(db, workspace)
            return []
        devices, compute = list_devices(), compute_settings(db)
        at_work, refused = _at_work(db, workspace, devices), _refused(db, workspace, waiting, resumed)
        found = place(waiting, devices, at_work, compute.slots, lambda job: name_of(db, workspace, job), refused)
        jobs = {job.job_id: job for job in waiting}
        started = [
            job_id for job_id, device in found.starts.items() if _start(db, workspace, jobs[job_id], device, compute)
        ]
        _note(db, workspace, waiting, found.reasons, found.overtaken if started else ())
        settle_loans(db, workspace, [Want(jobs[job_id], lacks) for job_id, lacks in found.missing.items()])
        return started


def look(db: Database, workspace: Workspace, devices: Sequence[Device] = ()) -> None:
    """What the watcher does at each look: count what is at work, pause what nobody may pay for any more, dispatch."""
    with TURN:
        count_up(db, workspace, devices)
        spent = list_spent(db)
        for job in list_jobs(db, ("running",)) if spent else ():
            if job.user_name in spent:
                with suppress(StudioError):  # it ended just now
                    pause(db, workspace, job.job_id, f"paused: {spent[job.user_name]}")
        dispatch(db, workspace)


def list_queue(db: Database, workspace: Workspace, project_id: str | None = None) -> list[Place]:
    """What is at work, what waits in its order, and what is paused; of a project or all. Places count all projects."""
    at_work = list_jobs(db, AT_WORK)
    waiting, paused = list_jobs(db, ("waiting",)), list_jobs(db, ("paused",))
    places = {job.job_id: number for number, job in enumerate(waiting, 1)}
    mine = [job for job in (*at_work, *waiting, *paused) if project_id is None or job.project_id == project_id]
    return [Place(job, name_of(db, workspace, job), places.get(job.job_id, 0)) for job in mine]


def move(db: Database, workspace: Workspace, job_id: str) -> None:
    """Put a waiting job one place further up. Raises BadInput, NotFound."""
    job = _waiting(db, job_id)
    if not move_up(db, job.job_id):
        raise BadInput("It is the first in the queue already, or waits no more.")
    dispatch(db, workspace)


def prioritise(db: Database, workspace: Workspace, job_id: str, priority: int) -> None:
    """Give a waiting job a priority: the highest starts first. Raises BadInput, NotFound."""
    _check_priority(priority)
    if not set_priority(db, _waiting(db, job_id).job_id, priority):
        raise BadInput("It waits no more.")
    dispatch(db, workspace)


def pause(db: Database, workspace: Workspace, job_id: str, why: str = "") -> None:
    """Have a job give its device back after a checkpoint, or hold a waiting one back; `why`, where it is not what
    somebody asked for. Raises BadInput, NotFound."""
    with TURN:
        _reconcile(db, workspace)
        job = _known(db, job_id)
        if job.state == "waiting":
            _hold(db, workspace, job)
            return
        if not change_state(db, job_id, ("running",), "pausing", reason=why):
            raise BadInput("It is not at work and does not wait: there is nothing to pause.")
        ask_to_stop(job_folder(workspace, job.kind, job_id))  # what is no more is settled at the next look


def resume(db: Database, workspace: Workspace, job_id: str, user: str = "") -> None:
    """Have a paused job wait for its turn again, with the priority it had; `user`: who asks, '' for whoever asked
    before. Raises BadInput, NotFound, NotAllowed."""
    with TURN:
        _reconcile(db, workspace, leaving=job_id)
        job = _known(db, job_id)
        if job.state != "paused":
            raise BadInput("It is not paused: there is nothing to resume here.")
        known = (job.job_id, job.kind, job.project_id, user or job.user_name, job.device)
        enqueue(db, workspace, Ask(*known, job.memory_bytes, job.priority))


def cancel(db: Database, workspace: Workspace, job_id: str) -> None:
    """Take a waiting or paused job out of the queue; its checkpoint, where it has one, is kept. Raises BadInput (also
    for one at work, which can be stopped), NotFound."""
    with TURN:
        _reconcile(db, workspace, leaving=job_id)
        job = _known(db, job_id)
        run = {"state": "stopped", "message": CANCELLED} if job.kind == "run" else None
        if not change_state(db, job_id, WAITING, "ended", run, reason=""):
            raise BadInput("It does not wait: stop it where it is at work.")
        if job.kind != "run":
            mark_waiting(job_folder(workspace, job.kind, job_id), "cancelled")


def never_began(job: Job | None, folder: Path) -> bool:
    """Whether a job that counts as started shows no sign that its process ever was: whoever was to start it was killed
    (or its process, before it could say anything)."""
    if job is None or job.state not in AT_WORK or is_alive(folder):
        return False
    return not (folder / PROCESS_FILE).exists() and folder.is_dir() and _events_size(folder) == job.events_size


def _reconcile(db: Database, workspace: Workspace, leaving: str = "") -> None:
    """Take up how the jobs at work stand: their folders are the truth. A process that has said its last word and is not
    gone yet keeps its slot, but for the job `leaving`: somebody asks for that one now."""
    for job in list_jobs(db, AT_WORK):
        folder = job_folder(workspace, job.kind, job.job_id)
        alive = is_alive(folder)
        ended = get_run(db, job.job_id).state if job.kind == "run" else ""
        if alive and not (job.job_id == leaving and ended in (*ENDED_STATES, "paused")):
            if job.state == "pausing" and not stop_was_asked(folder):
                ask_to_stop(folder)  # whoever was to ask was killed before they did
            continue
        if ended in (*ENDED_STATES, "paused"):
            _settle(db, job, "paused" if ended == "paused" else "ended")
        elif never_began(job, folder):
            _give_back(db, workspace, job, "its start was broken off")
        elif job.kind != "run":  # a run's last events are to be taken up first
            reap(folder)
            _settle(db, job, _after(workspace, job))
    count_up(db, workspace, every=float("inf"))  # what has ended, up to its end


def _settle(db: Database, job: Job, state: str) -> None:
    """A job is at work no more; one that is paused keeps the reason for it."""
    change_state(db, job.job_id, AT_WORK, state, reason=job.reason if state == "paused" else "")


def _after(workspace: Workspace, job: Job) -> str:
    if job.state != "pausing":
        return "ended"
    try:
        if job.kind == "sweep":
            return "ended" if get_sweep(workspace, job.job_id).state == "done" else "paused"
        return "ended" if get_curve(workspace, job.job_id).standing.state == "done" else "paused"
    except NotFound:
        return "ended"


def _start(db: Database, workspace: Workspace, job: Job, device: Device, compute: Compute) -> bool:
    """Start a waiting job on a device; False where that was not to be."""
    folder = job_folder(workspace, job.kind, job.job_id)
    try:
        with claimed(folder) as lock:
            (folder / PROCESS_FILE).unlink(missing_ok=True)  # else an earlier process would pass for this one
            if not _claim(db, job, device, compute, _events_size(folder)):
                return False
            unmark_waiting(folder)
            try:
                spawn(folder, _module(job.kind), lock, _environment(device))
            except JobFailed as error:
                _give_back(db, workspace, get_job(db, job.job_id), _phrase(error))
                return False
    except FileNotFoundError:
        told = "The folder is gone: start a new one."
        run = {"state": "failed", "message": told} if job.kind == "run" else None
        change_state(db, job.job_id, ("waiting", *AT_WORK), "ended", run, reason=told)
        return False
    except (BadInput, OSError) as error:  # its last process is there still, or the folder cannot be written
        _note(db, workspace, [job], {job.job_id: f"waits, as it cannot be started: {_phrase(error)}"})
        return False
    return True


def _note(
    db: Database, workspace: Workspace, jobs: Sequence[Job], reasons: Mapping[str, str], overtaken: Sequence[str] = ()
) -> None:
    """Say why jobs wait, in their rows and folders, where that is news."""
    news = [job for job in jobs if job.job_id in reasons and _is_news(job, reasons[job.job_id])]
    say_reasons(db, {job.job_id: reasons[job.job_id] for job in news}, overtaken)
    for job in news:
        if job.kind != "run":
            mark_waiting(job_folder(workspace, job.kind, job.job_id), reasons[job.job_id])


def _refused(db: Database, workspace: Workspace, waiting: Sequence[Job], resumed: str) -> dict[str, str]:
    """Why some may not start whatever is free: their user's hours are used up, or their last process is there still
    (which nobody is to wait for with the queue in hand, but for a moment at the click)."""
    spent, told = list_spent(db), dict[str, str]()
    for job in waiting:
        if job.user_name in spent:
            told[job.job_id] = f"waits: {spent[job.user_name]}"
        elif job.job_id != resumed and is_alive(job_folder(workspace, job.kind, job.job_id)):
            told[job.job_id] = "waits for its last process to leave"
    return told


def _phrase(error: Exception) -> str:
    """What an error says, as the end of a sentence; without the paths that a refusal of the system brings along."""
    told = (isinstance(error, OSError) and error.strerror) or str(error)
    return f"{told[:1].lower()}{told[1:300]}".rstrip(".")


def _claim(db: Database, job: Job, device: Device, compute: Compute, events_size: int) -> bool:
    """Take a waiting job for oneself: the compare-and-set that only one can win."""
    run = {"state": "starting", "message": ""} if job.kind == "run" else None
    beside = [(one.key, one.joules) for one in device.beside]
    keys = ",".join([device.key, *(key for key, _ in beside)])
    given = {"on_device": keys, "attempts": job.attempts + 1, "events_size": events_size, "reason": ""}
    with db.write() as cursor:
        if not change_state_in(cursor, job.job_id, ("waiting",), "running", run, **given):
            return False
        begin_span_in(cursor, job, device.key, compute.prices.get(device.kind, 0.0), device.joules, beside)
    return True


def _give_back(db: Database, workspace: Workspace, job: Job | None, why: str) -> None:
    """A job that was claimed and never began waits again (or is paused, where that was asked for); after some attempts
    it has failed. `why`: a phrase."""
    if job is None:
        return
    reason = f"waits again: {why}"
    if job.state == "pausing":
        state, reason, run = "paused", job.reason, {"state": "paused", "message": HELD_BACK}
    elif job.attempts >= ATTEMPTS:
        state, run = "ended", {"state": "failed", "message": f"Given up after {ATTEMPTS} attempts: {why}."}
    else:
        state, run = "waiting", {"state": "waiting", "message": f"Waits again: {why}."}
    with db.write() as cursor:
        if change_state_in(cursor, job.job_id, AT_WORK, state, run if job.kind == "run" else None, reason=reason):
            forget_span_in(cursor, job.job_id)
    if state != "ended" and job.kind != "run":
        mark_waiting(job_folder(workspace, job.kind, job.job_id), reason if state == "waiting" else "paused")


def _hold(db: Database, workspace: Workspace, job: Job) -> None:
    run = {"state": "paused", "message": HELD_BACK} if job.kind == "run" else None
    if not change_state(db, job.job_id, ("waiting",), "paused", run, reason="paused while it waited"):
        raise BadInput("It waits no more.")
    if job.kind != "run":
        mark_waiting(job_folder(workspace, job.kind, job.job_id), "paused")


def _is_news(job: Job, why: str) -> bool:
    """Whether a reason is to be noted: another one at once, the same with other free memory only now and then."""
    if job.reason.split(";")[0] != why.split(";")[0]:
        return True
    return job.reason != why and (datetime.now(UTC) - job.changed_at).total_seconds() > _FIGURE_SECONDS


def _at_work(db: Database, workspace: Workspace, devices: Sequence[Device]) -> list[AtWork]:
    """What is on the devices: jobs of the queue, and those that were started without it (by an earlier version)."""
    jobs = list_jobs(db, AT_WORK)
    reached = {run.id: run.memory_bytes or 0 for run in list_active_runs(db)}
    found = [
        AtWork(name_of(db, workspace, job), key, job.memory_bytes, reached.get(job.job_id, 0))
        for job in jobs
        for key in job.on_device.split(",")
    ]
    known, first = {job.job_id for job in jobs}, devices[0].key
    found += [AtWork(f"run {run_id}", first, 0) for run_id in reached if run_id not in known]
    if not any(job.kind == "sweep" for job in jobs) and (sweep := sweep_at_work(workspace)):
        found.append(AtWork(f"Sweep {sweep.number}", first, 0))
    if not any(job.kind == "curve" for job in jobs) and (curve := curve_at_work(workspace)):
        found.append(AtWork(f"Learning curve {curve.number}", first, 0))
    return found


def _environment(device: Device) -> dict[str, str]:
    """What makes a process see its own GPUs alone."""
    if device.beside:
        return {"CUDA_VISIBLE_DEVICES": ",".join(one.uuid or str(one.index) for one in (device, *device.beside))}
    return {"CUDA_VISIBLE_DEVICES": device.uuid} if device.kind == "cuda" and device.uuid else {}


def _module(kind: str) -> str:
    from studio.jobs import curve, runs, sweeping  # they import this

    modules = {"run": runs.TRAINING_MODULE, "sweep": sweeping.SWEEPING_MODULE, "curve": curve.SWEEPING_MODULE}
    return modules[kind]


def _events_size(folder: Path) -> int:
    try:
        return (folder / EVENTS_FILE).stat().st_size
    except OSError:
        return 0


def _known(db: Database, job_id: str) -> Job:
    job = get_job(db, job_id)
    if job is None:
        raise NotFound(tr("'{job}' is not in the queue: `queue` lists what is.", job=job_id[:60]))
    return job


def _waiting(db: Database, job_id: str) -> Job:
    job = _known(db, job_id)
    if job.state != "waiting":
        raise BadInput("It does not wait: only what waits has a place in the queue.")
    return job


def _check_priority(priority: int) -> None:
    low, high = PRIORITIES
    if not low <= priority <= high:
        raise BadInput(tr("A priority lies between {low} and {high}.", low=low, high=high))
