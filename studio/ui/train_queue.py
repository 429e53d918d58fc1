"""Queue, devices and costs, a part of the Train tab: what waits and why, how busy each device is, what it took.

The page looks again by itself: often while something waits or is at work, else now and then, as others start runs too.
Views are in train_queue_views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from studio.context import Studio
from studio.errors import BadInput
from studio.jobs import queueing, queueing_for
from studio.jobs.accounting import (
    KINDS,
    Cost,
    Costs,
    compute_settings,
    cost_of_job,
    costs,
    list_all_quotas,
    quota_of,
    set_compute,
    set_quota,
)
from studio.jobs.naming import called
from studio.jobs.plan import Plan
from studio.jobs.runs import list_runs, sync_runs
from studio.jobs.sayings import retold
from studio.language import mark, tr
from studio.ui.components.queue_list import acted, queue_list
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.train_queue_views import MOST_JOBS, costs_html, devices_html, plan_cost, queue_html
from studio.ui.who import current_user

_ACTS = {
    "up": queueing_for.move_for,
    "pause": queueing_for.pause_for,
    "resume": queueing_for.resume_for,
    "cancel": queueing_for.cancel_for,
    "raise": queueing_for.raise_for,
    "lower": queueing_for.lower_for,
}
_OFTEN, _NOW_AND_THEN = 3.0, 15.0
_SAID = {
    "up": mark("Moved up."),
    "pause": mark("Paused; what is at work writes a checkpoint first, then the device is free."),
    "resume": mark("It waits for its turn."),
    "cancel": mark("Taken out of the queue."),
    "raise": mark("A higher priority: it starts before all that have a lower one."),
    "lower": mark("A lower priority: it starts after all that have a higher one."),
}


@dataclass(frozen=True)
class _Parts:
    whole: gr.Accordion
    queue: gr.HTML
    devices: gr.HTML
    costs: gr.HTML
    timer: gr.Timer
    kind: gr.Dropdown
    price: gr.Number
    slots: gr.Number
    save: gr.Button
    user: gr.Textbox
    hours: gr.Number
    limit: gr.Button

    @property
    def view(self) -> list[gr.components.Component]:
        """What shows how things stand."""
        return [self.queue, self.devices, self.costs, self.timer]


def build(studio: Studio, frame: Frame, tab: gr.Tab, after: Sequence[gr.events.Dependency] = ()) -> None:
    """Lay out and wire an accordion; `after`: events of the page that it follows, as they put jobs into the queue."""
    parts = _layout()

    def look(project_id: str | None) -> list[object]:
        return shown(studio, project_id)

    @told
    def on_act(project_id: str | None, event: gr.EventData) -> list[object]:
        act, job_id = acted(event)
        if act not in _ACTS:
            raise BadInput("That cannot be done with what is in the queue.")
        _ACTS[act](studio.db, studio.workspace, current_user(), job_id)
        sync_runs(studio.db, studio.workspace)
        say(tr(_SAID[act]))
        return shown(studio, project_id)

    @told
    def on_save(project_id: str | None, kind: str, price: float | None, slots: float | None) -> list[object]:
        set_compute(studio.db, current_user(), {kind: float(price or 0)}, {kind: int(slots or 1)})
        say(tr("Kept: it counts from the next start on."))
        return shown(studio, project_id)

    @told
    def on_limit(project_id: str | None, user: str, hours: float | None) -> list[object]:
        if hours is None:
            raise BadInput("Say how many device-hours, or -1 for no limit.")
        set_quota(studio.db, current_user(), user, hours if hours >= 0 else None)
        say(tr("Kept.") if hours >= 0 else tr("The limit is lifted."))
        return shown(studio, project_id)

    def on_kind(kind: str) -> list[object]:
        compute = compute_settings(studio.db)
        return [compute.prices.get(kind, 0.0), compute.slots.get(kind, 1)]

    parts.queue.act(on_act, frame.project, parts.view, **QUICK)  # type: ignore[attr-defined]
    parts.save.click(on_save, [frame.project, parts.kind, parts.price, parts.slots], parts.view, **QUICK)
    parts.limit.click(on_limit, [frame.project, parts.user, parts.hours], parts.view, **QUICK)
    parts.kind.change(on_kind, parts.kind, [parts.price, parts.slots], **QUICK)
    for timer in (parts.timer, gr.Timer(_NOW_AND_THEN)):
        timer.tick(look, frame.project, parts.view, **POLL)
    frame.on_look(tab, look, [frame.project], parts.view)
    parts.whole.expand(look, frame.project, parts.view, **REFRESH)
    for event in after:
        event.then(look, frame.project, parts.view, **REFRESH)


def _layout() -> _Parts:
    with gr.Accordion("Queue, devices and costs", open=False, elem_id="queue") as whole:
        with gr.Row(elem_id="queue-columns"):
            with gr.Column(scale=6, min_width=300):
                queue = queue_list()
                costs_part = gr.HTML()
            with gr.Column(scale=5, min_width=290):
                devices = gr.HTML()
        with gr.Accordion("Prices and limits", open=False):
            with gr.Row():
                kind = gr.Dropdown(list(KINDS), value="cpu", label="Kind of device", min_width=120)
                price = gr.Number(0, label="Price of a device-hour", minimum=0, min_width=120)
                slots = gr.Number(1, label="Jobs at a time", precision=0, minimum=1, min_width=120)
                save = gr.Button("Keep", scale=0, min_width=110)
            with gr.Row():
                user = gr.Textbox("", label="User", max_lines=1, min_width=120)
                hours = gr.Number(None, label="Device-hours in 30 days (-1: no limit)", min_width=160)
                limit = gr.Button("Set limit", scale=0, min_width=110)
    view = (queue, devices, costs_part, gr.Timer(_OFTEN, active=False))
    return _Parts(whole, *view, kind, price, slots, save, user, hours, limit)


def shown(studio: Studio, project_id: str | None) -> list[object]:
    """Values of `_Parts.view`. The queue is that of all projects: they share the devices."""
    places = queueing.list_queue(studio.db, studio.workspace)
    history = studio.watcher.history
    devices = history.newest()
    found = costs(studio.db, project_id) if project_id else costs(studio.db)
    named = _named(studio, project_id, found)
    compute, quotas = compute_settings(studio.db), list_all_quotas(studio.db)
    return [
        queue_html(places),
        devices_html(devices, {one.key: history.of(one.key) for one in devices}),
        costs_html(found.total, named, quotas, compute),
        gr.Timer(active=any(place.job.state != "paused" for place in places)),
    ]


def costs_of_plan(studio: Studio, plan: Plan) -> dict[str, str]:
    """What a plan says of its price and of the limit of whoever looks at it."""
    return plan_cost(compute_settings(studio.db), plan, quota_of(studio.db, current_user().name))


def cost_of_run(studio: Studio, run_id: str) -> dict[str, str]:
    """What a run has taken so far, as figures of its summary; nothing before it was on a device."""
    found = cost_of_job(studio.db, run_id)
    if found is None or not found.hours:
        return {}
    compute = compute_settings(studio.db)
    said = {tr("Device-hours"): tr("{figure:.3f}", figure=found.hours)}
    if found.watt_hours is not None:
        said[tr("Energy")] = tr("{energy:,.1f} Wh", energy=found.watt_hours)
    if found.cost:
        said[tr("Cost")] = tr("{cost:.2f} {currency}", cost=found.cost, currency=compute.currency)
    return said


def _named(studio: Studio, project_id: str | None, found: Costs) -> list[tuple[str, Cost]]:
    numbers = {run.id: tr("Run {number}", number=run.number) for run in list_runs(studio.db, project_id)}
    newest = found.jobs[:MOST_JOBS]
    return [(numbers.get(one.name) or retold(called(studio.db, studio.workspace, one.name)), one) for one in newest]
