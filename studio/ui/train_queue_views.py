"""What the Train tab shows of the queue, of the devices and of what they cost: data in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studio.jobs.accounting import Compute, Cost, Quota, planned_cost
from studio.jobs.devices import Device, Sample
from studio.jobs.plan import Plan
from studio.jobs.queueing import Place
from studio.ui.components.html import chip, duration, size, table, text

_KINDS = {"waiting": "busy", "running": "good", "pausing": "warn", "paused": "warn"}
_WIDTH, _HEIGHT = 300, 64
MOST_JOBS = 20


def queue_html(places: Sequence[Place]) -> str:
    """What is at work, what waits in its order and why, what is paused; with what can be done."""
    if not places:
        return "<p class='quiet'>Nothing waits and nothing is at work: a run starts at the click.</p>"
    first = min((place.place for place in places if place.place), default=0)
    return f'<div class="queue">{"".join(_job(place, first) for place in places)}</div>'


def devices_html(devices: Sequence[Device], samples: Mapping[str, Sequence[Sample]]) -> str:
    """Each device with its last minutes; that there is no GPU is said as the normal case it is."""
    none = (
        "" if any(one.kind != "cpu" for one in devices) else "<p>There is no GPU here: everything runs on the CPU.</p>"
    )
    shown = "".join(_device(one, samples.get(one.key, ())) for one in devices)
    return f'<div class="devices">{none}{shown}</div>'


def costs_html(total: Cost, jobs: Sequence[tuple[str, Cost]], quotas: Sequence[Quota], compute: Compute) -> str:
    """What a project has taken so far, its newest jobs first, and the limits of users."""
    if not total.hours:
        return "<p class='quiet'>Nothing of this project has been on a device yet.</p>" + _quotas(quotas)
    priced = any(compute.prices.values()) or total.cost > 0
    heads = ["", "Device-hours", "Tokens", "Energy", *(["Cost"] if priced else [])]
    rows = [_cost_row(name, one, compute, priced) for name, one in [("In all", total), *jobs[:MOST_JOBS]]]
    return table(heads, rows, range(1, len(heads))) + _quotas(quotas)


def plan_cost(compute: Compute, plan: Plan, quota: Quota) -> dict[str, str]:
    """What a plan says of its price and of the user's limit; nothing where there is neither."""
    cost = planned_cost(compute, plan.device.kind, plan.minutes, plan.device_count)
    said = {} if cost is None else {"Cost": f"~{_price(cost, compute)}"}
    return said if quota.hours is None else said | {"Your hours": f"{quota.used:.1f} of {quota.hours:g}"}


def _job(place: Place, first: int) -> str:
    job = place.job
    number = f'<span class="number">{place.place}.</span>' if place.place else ""
    priority = f" · priority {job.priority}" if job.priority else ""
    memory = f" · plans {size(job.memory_bytes)}" if job.memory_bytes else ""
    where = f"on {job.on_device}" if job.on_device and not place.place else job.reason or "waits for its turn"
    acts = ""
    if place.place:
        acts += _button("up", "Move up", job.job_id) if place.place > first else ""
        acts += _button("raise", "Priority +", job.job_id) + _button("lower", "Priority −", job.job_id)
    if job.state in ("waiting", "running"):
        acts += _button("pause", "Pause", job.job_id)
    if job.state == "paused":
        where = job.reason or "paused: the device is free, Resume goes on with it"
        acts += _button("resume", "Resume", job.job_id)
    if job.state in ("waiting", "paused"):
        acts += _button("cancel", "Cancel", job.job_id, "Really cancel?")
    return (
        f'<div class="job">{number}<b>{text(place.name)}</b>{chip(job.state, _KINDS.get(job.state, ""))}'
        f'<span class="acts">{acts}</span>'
        f'<span class="line">{text(where)}{text(memory)}{text(priority)} · {text(job.user_name)}</span></div>'
    )


def _button(act: str, words: str, job_id: str, sure: str = "") -> str:
    asks = f' data-sure="{text(sure)}"' if sure else ""
    return f'<button type="button" data-act="{text(act)}" data-id="{text(job_id)}"{asks}>{text(words)}</button>'


def _device(one: Device, samples: Sequence[Sample]) -> str:
    facts = [f"{size(one.free_bytes)} of {size(one.memory_bytes)} free"]
    facts += [f"{100 * one.utilisation:.0f} % busy"] if one.utilisation is not None else []
    facts += [f"{one.temperature:.0f} °C"] if one.temperature is not None else []
    facts += [f"{one.watts:.0f} W"] if one.watts is not None else []
    facts += [f"{len(one.processes)} processes"] if one.processes else []
    head = f"<p><b>{text(one.kind.upper())}</b> {text(one.name)}</p><p>{text(' · '.join(facts))}</p>"
    return f'<div class="device">{head}{_chart(one, samples)}</div>'


def _chart(one: Device, samples: Sequence[Sample]) -> str:
    """Two lines over the last minutes: how busy, how full; '' before there are two looks."""
    if len(samples) < 2:
        return ""
    began, ended = samples[0].at, samples[-1].at
    wide = max(ended - began, 1e-9)

    def line(kind: str, values: Sequence[tuple[float, float]]) -> str:
        points = " ".join(f"{(at - began) / wide * _WIDTH:.1f},{_y(value):.1f}" for at, value in values)
        return f'<polyline class="{kind}" points="{points}"/>' if len(values) > 1 else ""

    busy = [(sample.at, sample.utilisation) for sample in samples if sample.utilisation is not None]
    full = [(sample.at, sample.memory) for sample in samples]
    last = f"memory {100 * full[-1][1]:.0f} % full" + (f", {100 * busy[-1][1]:.0f} % busy" if busy else "")
    label = f"{one.kind.upper()} in the last {duration(wide)}: {last} now"
    keys = ("<i>busy</i> and " if busy else "") + "memory (dashed)"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text(label)}">'
        f"{line('busy-line', busy)}{line('memory-line', full)}</svg>"
        f'<p class="key">{keys}, last {duration(wide)}</p>'
    )


def _y(share: float) -> float:
    return _HEIGHT - 3 - min(1.0, max(0.0, share)) * (_HEIGHT - 6)


def _cost_row(name: str, one: Cost, compute: Compute, priced: bool) -> list[str]:
    energy = "–" if one.watt_hours is None else f"{one.watt_hours:,.1f} Wh"
    return [name, f"{one.hours:.3f}", f"{one.tokens:,}", energy, *([_price(one.cost, compute)] if priced else [])]


def _price(cost: float, compute: Compute) -> str:
    return f"{cost:.2f} {compute.currency}" if cost >= 0.01 or not cost else f"under 0.01 {compute.currency}"


def _quotas(quotas: Sequence[Quota]) -> str:
    limited = [one for one in quotas if one.hours is not None]
    if not limited:
        return ""
    rows = [(one.user_name, f"{one.used:.2f}", f"{one.hours:g}") for one in limited]
    return table(("Limit of", "Used in 30 days", "Device-hours"), rows, (1, 2))
