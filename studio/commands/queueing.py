"""`queue`, `devices`, `costs` and `compute`: what waits and why, what there is to run it on, and what it takes.

Without the app nobody dispatches but these commands: `queue work` does so until nothing waits any more.
"""

from __future__ import annotations

import argparse
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from storage.projects import find_project, list_projects
from storage.queued import get_job
from storage.records import User
from studio.commands import Outcome, opened
from studio.contract.events import read_all
from studio.errors import BadInput, WorkspaceBusy
from studio.jobs import queueing, queueing_for
from studio.jobs.accounting import (
    Cost,
    Quota,
    compute_settings,
    costs,
    job_folder,
    list_all_quotas,
    set_compute,
    set_quota,
)
from studio.jobs.devices import Device, inventory
from studio.jobs.naming import called
from studio.jobs.processes import is_alive
from studio.jobs.runs import sync_runs
from studio.settings import USER, Workspace

ACTS = ("up", "pause", "resume", "cancel", "priority")
_LOOK_SECONDS = 1.0
_BUSY = "waits in the queue of the app, which is open: Ctrl-C leaves it there"
_BY = User(USER, "admin")  # whoever may write the workspace


def add_queue_commands(verbs: Any, command: Callable[[Any, str, Any, str], argparse.ArgumentParser]) -> None:
    """Add them all; `command(verbs, name, run, help)` adds one."""
    queue_verb = command(verbs, "queue", queue, "what waits for a device, and why; move, pause, resume or cancel it")
    queue_verb.add_argument("words", nargs="*", metavar="ACT JOB", help=f"list, work, or one of {', '.join(ACTS)}")
    command(verbs, "devices", devices, "the devices of this machine: memory, how busy they are, temperature, processes")
    spent = command(verbs, "costs", spent_on, "device-hours, tokens, energy and price by run and user")
    spent.add_argument("name", nargs="?", metavar="NAME", help="of a project (default: all)")
    compute = command(verbs, "compute", computing, "prices of a device-hour, slots of a device, limits of users")
    compute.add_argument("--price", action="append", default=[], metavar="KIND=X", help="of a device-hour: cuda=2.5")
    compute.add_argument("--slots", action="append", default=[], metavar="KIND=N", help="jobs at a time: cuda=4")
    compute.add_argument("--currency", metavar="WORD")
    compute.add_argument("--quota", action="append", default=[], metavar="USER=HOURS", help="in 30 days; ann= lifts it")


def queue(workspace: Workspace, flags: Namespace) -> Outcome:
    """`queue`, `queue up|pause|resume|cancel JOB`, `queue priority JOB N`, `queue work`."""
    words: list[str] = flags.words or ["list"]
    if words == ["work"]:
        return _work(workspace)
    with opened(workspace) as db:
        sync_runs(db, workspace)
        if words != ["list"]:
            _act(words)(db, workspace)
        return Outcome({"queue": [_row(place) for place in queueing.list_queue(db, workspace)]})


def devices(workspace: Workspace, flags: Namespace) -> Outcome:
    """`devices`: the one that training takes first comes first. No GPU is a normal case and is said."""
    found = inventory()
    told = "" if any(one.kind != "cpu" for one in found) else "There is no GPU here: everything runs on the CPU."
    return Outcome({"devices": [_device(one, flags.json) for one in found]}, told)


def spent_on(workspace: Workspace, flags: Namespace) -> Outcome:
    """`costs [NAME]`: what the jobs of a project, or of all, have taken so far."""
    with opened(workspace) as db:
        sync_runs(db, workspace)
        project = find_project(db, flags.name) if flags.name else None
        found, compute = costs(db, project.id if project else None), compute_settings(db)
        names = {one.id: one.name for one in list_projects(db, archived=True)}
        names_of = {one.name: called(db, workspace, one.name) for one in found.jobs}
        by_project = [] if project else [_cost("project", costs(db, key).total, name) for key, name in names.items()]
    known = {"currency": compute.currency, **_cost("project", found.total, project.name if project else "all")}
    return Outcome(
        {
            **known,
            "jobs": [{**_cost("job", one), "name": names_of[one.name]} for one in found.jobs],
            "users": [_cost("user", one) for one in found.users],
            **({"projects": [one for one in by_project if one["device_hours"]]} if by_project else {}),
        }
    )


def computing(workspace: Workspace, flags: Namespace) -> Outcome:
    """`compute --price KIND=X --slots KIND=N --currency WORD --quota USER=HOURS`: set what is named; how it stands."""
    prices = {kind: _number(price) for kind, price in map(_pair, flags.price)}
    slots = {kind: _whole(count) for kind, count in map(_pair, flags.slots)}
    limits = {user: _number(hours) if hours else None for user, hours in map(_pair, flags.quota)}
    with opened(workspace) as db:
        if prices or slots or flags.currency:
            set_compute(db, _BY, prices, slots, flags.currency)
        for user, hours in limits.items():
            set_quota(db, _BY, user, hours)
        compute, quotas = compute_settings(db), list_all_quotas(db)
    return Outcome(
        {
            "prices": dict(compute.prices),
            "slots": dict(compute.slots),
            "currency": compute.currency,
            "quotas": [_quota(one) for one in quotas],
        }
    )


def await_turn(workspace: Workspace, job_id: str) -> None:
    """Wait until a job waits no more, and start what is due while no app does. Ctrl-C leaves it in the queue."""
    folder = job_folder(workspace, job_id.split("-")[0], job_id)
    told, said = "", len(read_all(folder))
    while True:
        try:
            with opened(workspace) as db:
                sync_runs(db, workspace)
                job = get_job(db, job_id)
        except WorkspaceBusy:  # the app has the database, and starts what is due
            if is_alive(folder) or len(read_all(folder)) > said:  # or it has come to its end between two looks
                return
            if told != _BUSY:
                told = _BUSY
                print(f"{job_id} {told}.", file=sys.stderr, flush=True)
        else:
            if job is None or job.state != "waiting":
                return
            if job.reason != told:
                told = job.reason
                print(f"{job_id} {told}.", file=sys.stderr, flush=True)
        time.sleep(_LOOK_SECONDS)


def _work(workspace: Workspace) -> Outcome:
    """Start what is due until nothing waits and nothing is at work, and say what is waited for."""
    told: set[tuple[str, str]] = set()
    while True:
        with opened(workspace) as db:
            sync_runs(db, workspace)
            left = [place for place in queueing.list_queue(db, workspace) if place.job.state != "paused"]
        if not left:
            return Outcome({"queue": []})
        for place in left:
            news = (place.job.job_id, place.job.reason.split(";")[0])
            if place.job.reason and news not in told:
                told.add(news)
                print(f"{place.name} {place.job.reason}.", file=sys.stderr, flush=True)
        time.sleep(_LOOK_SECONDS)


def _act(words: Sequence[str]) -> Callable[[Any, Workspace], None]:
    act, job, rest = words[0], words[1] if len(words) > 1 else "", words[2:]
    if act == "priority" and job and len(rest) == 1:
        number = _whole(rest[0])
        return lambda db, workspace: queueing_for.prioritise_for(db, workspace, _BY, job, number)
    acts = {
        "up": queueing_for.move_for,
        "pause": queueing_for.pause_for,
        "resume": queueing_for.resume_for,
        "cancel": queueing_for.cancel_for,
    }
    if act not in acts or not job or rest:
        raise BadInput("Write `queue`, `queue work`, `queue up|pause|resume|cancel JOB`, or `queue priority JOB N`.")
    return lambda db, workspace: acts[act](db, workspace, _BY, job)


def _row(place: queueing.Place) -> dict[str, object]:
    job = place.job
    return {
        "place": place.place or None,
        "job": job.job_id,
        "name": place.name,
        "state": job.state,
        "priority": job.priority,
        "device": job.on_device or job.device,
        "memory_bytes": job.memory_bytes or None,
        "user": job.user_name,
        "reason": job.reason,
    }


def _device(one: Device, whole: bool) -> dict[str, object]:
    known: dict[str, object] = {
        "device": one.key,
        "kind": one.kind,
        "name": one.name,
        "memory_bytes": one.memory_bytes,
        "free_bytes": one.free_bytes,
        "utilisation": None if one.utilisation is None else round(one.utilisation, 3),
        "temperature": one.temperature,
        "watts": one.watts,
    }
    processes = [{"pid": p.pid, "name": p.name, "memory_bytes": p.memory_bytes} for p in one.processes]
    return known | {"processes": processes if whole else len(processes)}


def _cost(key: str, one: Cost, name: str = "") -> dict[str, object]:
    return {
        key: name or one.name,
        "device_hours": round(one.hours, 6),
        "tokens": one.tokens,
        "watt_hours": None if one.watt_hours is None else round(one.watt_hours, 3),
        "cost": round(one.cost, 4),
    }


def _quota(one: Quota) -> dict[str, object]:
    return {"user": one.user_name, "used_hours": round(one.used, 6), "hours": one.hours}


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name.strip():
        raise BadInput(f"'{text[:40]}' is no NAME=VALUE.")
    return name.strip(), value.strip()


def _whole(text: str) -> int:
    number = _number(text)
    if not number.is_integer():  # neither are nan and the infinities
        raise BadInput(f"'{text[:40]}' is no whole number.")
    return int(number)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"'{text[:40]}' is no number.") from None
