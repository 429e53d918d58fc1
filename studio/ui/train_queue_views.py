"""What the Train tab shows of the queue, of the devices and of what they cost: data in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studio.jobs.accounting import Compute, Cost, Quota, planned_cost
from studio.jobs.devices import Device, Sample
from studio.jobs.plan import Plan
from studio.jobs.queueing import Place
from studio.jobs.sayings import retold
from studio.language import tr
from studio.ui.components.html import chip, duration, size, table, text

_KINDS = {"waiting": "busy", "running": "good", "pausing": "warn", "paused": "warn"}
_WIDTH, _HEIGHT = 300, 64
MOST_JOBS = 20


def queue_html(places: Sequence[Place]) -> str:
    """What is at work, what waits in its order and why, what is paused; with what can be done."""
    if not places:
        nothing = tr("Nothing waits and nothing is at work: a run starts at the click.")
        return f"<p class='quiet'>{text(nothing)}</p>"
    first = min((place.place for place in places if place.place), default=0)
    return f'<div class="queue">{"".join(_job(place, first) for place in places)}</div>'


def devices_html(devices: Sequence[Device], samples: Mapping[str, Sequence[Sample]]) -> str:
    """Each device with its last minutes; that there is no GPU is said as the normal case it is."""
    none = ""
    if all(one.kind == "cpu" for one in devices):
        none = f"<p>{text(tr('There is no GPU here: everything runs on the CPU.'))}</p>"
    shown = "".join(_device(one, samples.get(one.key, ())) for one in devices)
    return f'<div class="devices">{none}{shown}</div>'


def costs_html(total: Cost, jobs: Sequence[tuple[str, Cost]], quotas: Sequence[Quota], compute: Compute) -> str:
    """What a project has taken so far, its newest jobs first, and the limits of users."""
    if not total.hours:
        nothing = tr("Nothing of this project has been on a device yet.")
        return f"<p class='quiet'>{text(nothing)}</p>{_quotas(quotas)}"
    priced = any(compute.prices.values()) or total.cost > 0
    heads = ["", tr("Device-hours"), tr("Tokens"), tr("Energy"), *([tr("Cost")] if priced else [])]
    rows = [_cost_row(name, one, compute, priced) for name, one in [(tr("In all"), total), *jobs[:MOST_JOBS]]]
    return table(heads, rows, range(1, len(heads))) + _quotas(quotas)


def plan_cost(compute: Compute, plan: Plan, quota: Quota) -> dict[str, str]:
    """What a plan says of its price and of the user's limit; nothing where there is neither."""
    cost = planned_cost(compute, plan.device.kind, plan.minutes, plan.device_count)
    said = {} if cost is None else {tr("Cost"): f"~{_price(cost, compute)}"}
    if quota.hours is None:
        return said
    return said | {tr("Your hours"): tr("{used:.1f} of {hours:g}", used=quota.used, hours=quota.hours)}


def _job(place: Place, first: int) -> str:
    job = place.job
    number = f'<span class="number">{place.place}.</span>' if place.place else ""
    line = [_where(place)]
    line += [tr("plans {size}", size=size(job.memory_bytes))] if job.memory_bytes else []
    line += [tr("priority {priority}", priority=job.priority)] if job.priority else []
    return (
        f'<div class="job">{number}<b>{text(retold(place.name))}</b>{chip(tr(job.state), _KINDS.get(job.state, ""))}'
        f'<span class="acts">{_acts(place, first)}</span>'
        f'<span class="line">{text(" · ".join([*line, job.user_name]))}</span></div>'
    )


def _where(place: Place) -> str:
    job = place.job
    if job.state == "paused":
        return retold(job.reason) or tr("paused: the device is free, Resume goes on with it")
    if job.on_device and not place.place:
        return tr("on {device}", device=job.on_device)
    return retold(job.reason) or tr("waits for its turn")


def _acts(place: Place, first: int) -> str:
    job, acts = place.job, ""
    if place.place:
        acts += _button("up", tr("Move up"), job.job_id) if place.place > first else ""
        acts += _button("raise", tr("Priority +"), job.job_id) + _button("lower", tr("Priority −"), job.job_id)
    if job.state in ("waiting", "running"):
        acts += _button("pause", tr("Pause"), job.job_id)
    if job.state == "paused":
        acts += _button("resume", tr("Resume"), job.job_id)
    if job.state in ("waiting", "paused"):
        acts += _button("cancel", tr("Cancel"), job.job_id, tr("Really cancel?"))
    return acts


def _button(act: str, words: str, job_id: str, sure: str = "") -> str:
    asks = f' data-sure="{text(sure)}"' if sure else ""
    return f'<button type="button" data-act="{text(act)}" data-id="{text(job_id)}"{asks}>{text(words)}</button>'


def _device(one: Device, samples: Sequence[Sample]) -> str:
    facts = [tr("{free} of {total} free", free=size(one.free_bytes), total=size(one.memory_bytes))]
    facts += [tr("{percent:.0f} % busy", percent=100 * one.utilisation)] if one.utilisation is not None else []
    facts += [f"{one.temperature:.0f} °C"] if one.temperature is not None else []
    facts += [f"{one.watts:.0f} W"] if one.watts is not None else []
    facts += [tr("{count} processes", count=len(one.processes))] if one.processes else []
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
    label, keys = _told(one, duration(wide), full[-1][1], busy[-1][1] if busy else None)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text(label)}">'
        f"{line('busy-line', busy)}{line('memory-line', full)}</svg>"
        f'<p class="key">{keys}</p>'
    )


def _told(one: Device, time: str, full: float, busy: float | None) -> tuple[str, str]:
    """What a chart says to a screen reader, and the key below it (HTML)."""
    kind, memory = one.kind.upper(), 100 * full
    if busy is None:
        label = tr("{device} in the last {time}: memory {memory:.0f} % full now", device=kind, time=time, memory=memory)
        return label, text(tr("memory (dashed), last {time}", time=time))
    figures = {"device": kind, "time": time, "memory": memory, "busy": 100 * busy}
    label = tr("{device} in the last {time}: memory {memory:.0f} % full, {busy:.0f} % busy now", **figures)
    return label, tr("{busy} and memory (dashed), last {time}", busy=f"<i>{text(tr('busy'))}</i>", time=text(time))


def _y(share: float) -> float:
    return _HEIGHT - 3 - min(1.0, max(0.0, share)) * (_HEIGHT - 6)


def _cost_row(name: str, one: Cost, compute: Compute, priced: bool) -> list[str]:
    energy = "–" if one.watt_hours is None else tr("{energy:,.1f} Wh", energy=one.watt_hours)
    took = [tr("{figure:.3f}", figure=one.hours), tr("{figure:,}", figure=one.tokens), energy]
    return [name, *took, *([_price(one.cost, compute)] if priced else [])]


def _price(cost: float, compute: Compute) -> str:
    if cost >= 0.01 or not cost:
        return tr("{cost:.2f} {currency}", cost=cost, currency=compute.currency)
    return tr("under {cost:.2f} {currency}", cost=0.01, currency=compute.currency)


def _quotas(quotas: Sequence[Quota]) -> str:
    limited = [one for one in quotas if one.hours is not None]
    if not limited:
        return ""
    rows = [(one.user_name, tr("{figure:.2f}", figure=one.used), tr("{figure:g}", figure=one.hours)) for one in limited]
    return table((tr("Limit of"), tr("Used in 30 days"), tr("Device-hours")), rows, (1, 2))
