"""Which waiting job starts on which device, and why the others wait: plain arithmetic over what is known of them.

A job starts where a slot is free and its planned memory fits beside what is planned for the others. A later job may
overtake one that does not fit yet, but only so often, so that a large one is not passed over for ever. What it leaves
out: where the figures come from (studio.jobs.queueing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from storage.queued import Job
from studio.contract.spec import TrainSpec
from studio.jobs.devices import Device
from studio.jobs.plan_memory import ROOM

OVERTAKES = 8
"""So many later jobs may start before one that waits for memory; then all wait for it."""


@dataclass(frozen=True)
class AtWork:
    """A job on a device: what was planned for it (bytes, 0 where that is not known), and what it has reached so far."""

    name: str
    device: str
    planned: int
    reached: int = 0


@dataclass(frozen=True)
class Placed:
    """`starts`: devices by the ids of the jobs that start on them, in order; `reasons`: why each other job waits;
    `overtaken`: those that were overtaken by one that starts; `missing`: of those for which memory is short, also where
    they start, the bytes that lack by device."""

    starts: Mapping[str, Device] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    overtaken: tuple[str, ...] = ()
    missing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a job asks for: a kind of device or auto, how many, and which by number (any where none is named)."""

    kind: str
    count: int = 1
    named: tuple[int, ...] = ()


def asked_device(spec: TrainSpec) -> str:
    """What a run asks of the queue, as text: auto, cuda, auto*2, cuda:0,1."""
    if spec.devices:
        return f"cuda:{spec.devices}"
    return f"{spec.device}*{spec.ranks}" if spec.ranks > 1 else spec.device


def wanted(asked: str) -> Wanted:
    """The same, read again. Processes of a CPU share that one device."""
    kind, _, numbers = asked.partition(":")
    if numbers:
        named = tuple(int(number) for number in numbers.split(","))
        return Wanted(kind, len(named), named)
    kind, _, count = asked.partition("*")
    return Wanted(kind, int(count or 1))


def place(
    waiting: Sequence[Job],
    devices: Sequence[Device],
    at_work: Sequence[AtWork],
    slots: Mapping[str, int],
    name_of: Callable[[Job], str],
    refused: Mapping[str, str] | None = None,
) -> Placed:
    """Place the waiting jobs, given in the order in which they are to start.

    `devices`: with the memory that is free now; `slots`: jobs at a time by kind of device; `refused`: ids of jobs that
    may not start whatever is free, with the reason.
    """
    busy, starts, reasons, overtaken = list(at_work), dict[str, Device](), dict[str, str](), list[str]()
    short: list[Job] = []  # those that wait for memory
    named: set[str] = set()
    missing = dict[str, dict[str, int]]()
    for job in waiting:
        if told := (refused or {}).get(job.job_id):
            reasons[job.job_id] = told
            continue
        kind, asked = kind_for(job, devices), wanted(job.device)
        needed = asked.count if kind == "cuda" else 1
        able = [one for one in devices if one.kind == kind and (not asked.named or one.index in asked.named)]
        if len(able) < needed:
            reasons[job.job_id] = f"waits for {job.device}: there are {len(able)} such GPUs"
            continue
        tired = next((one for one in short if one.overtaken >= OVERTAKES and kind_for(one, devices) == kind), None)
        if tired:
            reasons[job.job_id] = f"waits behind {name_of(tired)}, which has been overtaken {tired.overtaken} times"
            continue
        told_why: list[tuple[int, str, bool, str]] = []
        free: list[tuple[int, Device]] = []
        for device in able:
            why, memory, left = _why_not(job, device, busy, slots)
            if why:
                told_why.append((-left, why, memory, device.key))
            else:
                free.append((left, device))
        if len(free) >= needed:
            best = sorted(free, key=lambda pair: -pair[0])[:needed]
            taken = [device for _, device in best]
            missing[job.job_id] = _lacks(job, [(device.key, left) for left, device in best])
            starts[job.job_id] = replace(taken[0], beside=tuple(taken[1:]))
            busy += [AtWork(name_of(job), device.key, job.memory_bytes) for device in taken]
            overtaken += [one.job_id for one in short if kind_for(one, devices) == kind]
            continue
        _, reason, memory, _ = min(told_why)
        # Behind the first that waits for a slot nobody is named: it would be told anew at each start.
        reasons[job.job_id] = reason if memory or kind not in named else f"waits for its turn on {kind}"
        named |= set() if memory else {kind}
        if tight := [(key, -left) for left, _, memory, key in told_why if memory]:
            short.append(job)
            missing[job.job_id] = _lacks(job, tight)
    return Placed(starts, reasons, tuple(overtaken), {job: lacks for job, lacks in missing.items() if lacks})


def kind_for(job: Job, devices: Sequence[Device]) -> str:
    """The kind of device that a job takes: the one it asks for, else (also where there is none, which its process then
    says) that of the best there is."""
    kind = wanted(job.device).kind
    return kind if any(one.kind == kind for one in devices) else devices[0].kind


def free_on(device: Device, at_work: Sequence[AtWork]) -> int:
    """Bytes that a job may plan with: what is free now, less what the jobs there are still to take."""
    here = [one for one in at_work if one.device == device.key]
    return int(ROOM * (device.free_bytes - sum(max(0, one.planned - one.reached) for one in here)))


def _why_not(job: Job, device: Device, at_work: Sequence[AtWork], slots: Mapping[str, int]) -> tuple[str, bool, int]:
    """Why a job cannot start on a device now ('' where it can), whether that is memory, and what is free there."""
    here = [one for one in at_work if one.device == device.key]
    free = max(0, free_on(device, at_work))
    if len(here) >= slots.get(device.kind, 1):
        return f"waits for {here[0].name} on {device.key}", False, free
    if here and not (job.memory_bytes and all(one.planned for one in here)):
        return f"waits for {device.key} to be empty: not all memory there can be planned yet", True, free
    alone = not here and (device.kind != "cuda" or job.memory_bytes > ROOM * device.memory_bytes)
    # Alone on memory that programs give back when it runs short, or too large for any device: the plan has said so.
    if job.memory_bytes > free and not alone:
        return f"waits for {_gb(job.memory_bytes)}; {_gb(free)} free on {device.key}", True, free
    return "", False, free


def _lacks(job: Job, free: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Bytes that a job lacks, by the keys of devices with what is free there; those with the most first."""
    ordered = sorted(free, key=lambda pair: -pair[1])
    return {key: job.memory_bytes - left for key, left in ordered if job.memory_bytes > left}


def _gb(count: int) -> str:
    return f"{count / 2**30:.1f} GB"
