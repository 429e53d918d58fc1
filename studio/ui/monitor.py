"""Monitor: how what is served does, what to tell when it does badly, what to label of it, and when to retrain.

The page shows itself anew only while something is at work: a server of the project, a look for drift, a retraining.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.deploy.monitoring import figures, last_requests
from studio.jobs.runs import list_runs
from studio.jobs.serving import list_servers
from studio.ui import monitor_alerts, monitor_prompts, monitor_rules
from studio.ui.frame import POLL, REFRESH, Frame
from studio.ui.monitor_prompts import Looks
from studio.ui.monitor_views import WINDOWS, figures_html, figures_table, no_project

_SECONDS = 2.0
_FIRST = "day"


@dataclass(frozen=True)
class _Parts:
    window: gr.Radio
    figures: gr.HTML
    table: gr.HTML
    alerts: monitor_alerts.Parts
    prompts: monitor_prompts.Parts
    rules: monitor_rules.Parts
    timer: gr.Timer
    seen: gr.State

    @property
    def live(self) -> list[Any]:
        """What changes by itself; the list of requests stays while boxes may be ticked."""
        shown = [self.figures, self.table, self.alerts.alerts, *self.prompts.live, self.prompts.listing]
        return [*shown, *self.rules.live, self.timer, self.seen]

    @property
    def page(self) -> list[Any]:
        """All of the tab."""
        return [*self.live, *self.alerts.form, *self.rules.form, self.rules.sure]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts, looks = _layout(), Looks()
    asked = [frame.project, parts.window]

    def on_page(chosen: str | None, window: str) -> list[object]:
        forms = [*monitor_alerts.form_values(studio, chosen), *monitor_rules.form_values(studio, chosen)]
        return [*shown(studio, looks, chosen, window, ()), *forms, gr.Group(visible=False)]

    def on_window(chosen: str | None, window: str) -> list[str]:
        return figures_of(studio, chosen, window)

    def on_tick(chosen: str | None, window: str, seen: tuple[object, ...]) -> list[object]:
        return shown(studio, looks, chosen, window, seen)

    gr.on(frame.looks_at(tab), on_page, asked, parts.page, **REFRESH)
    parts.window.input(on_window, asked, [parts.figures, parts.table], **REFRESH)
    parts.timer.tick(on_tick, [*asked, parts.seen], parts.live, **POLL)
    monitor_alerts.wire(studio, frame, parts.alerts)
    monitor_prompts.wire(studio, frame, parts.prompts, parts.timer, looks)
    monitor_rules.wire(studio, frame, parts.rules, parts.timer)


def _layout() -> _Parts:
    with gr.Row(elem_id="monitor-head"):
        gr.HTML("<h2 class='title'>Monitor</h2>")
        choices = [(words, key) for key, (words, _, _) in WINDOWS.items()]
        window = gr.Radio(choices, value=_FIRST, label="Time", elem_id="monitor-window")
    shown = gr.HTML(elem_id="monitor-figures")
    with gr.Accordion("The same as a table", open=False, elem_id="monitor-table"):
        table = gr.HTML()
    parts = monitor_alerts.layout(), monitor_prompts.layout(), monitor_rules.layout()
    return _Parts(window, shown, table, *parts, gr.Timer(_SECONDS, active=False), gr.State(()))


def shown(studio: Studio, looks: Looks, project_id: str | None, window: str, seen: tuple[object, ...]) -> list[object]:
    """Values of `_Parts.live`. `seen`: what was shown last, () for nothing; what is still so is skipped."""
    if not project_id:
        live = [*monitor_prompts.live_values(studio, looks, None), "", *monitor_rules.live_values(studio, None)]
        return [no_project(), "", "", *live, gr.Timer(active=False), ()]
    served = _served(studio, project_id, window)
    looking = monitor_prompts.is_looking(looks, project_id)
    alerts = monitor_alerts.alerts_of(studio, project_id)
    figures_now = figures_of(studio, project_id, window) if seen[:1] != (served,) else [gr.skip(), gr.skip()]
    listing = monitor_prompts.listing_of(studio, project_id) if seen[1:2] != (looking,) else gr.skip()
    return [
        *figures_now,
        alerts if seen[2:3] != (alerts,) else gr.skip(),
        *monitor_prompts.live_values(studio, looks, project_id),
        listing,
        *monitor_rules.live_values(studio, project_id),
        gr.Timer(active=looking or at_work(studio, project_id)),
        (served, looking, alerts),
    ]


def at_work(studio: Studio, project_id: str) -> bool:
    """Whether a retraining of a project is under way, or a server serves one of its runs."""
    if monitor_rules.retraining_under_way(studio, project_id):
        return True
    own = {run.id for run in list_runs(studio.db, project_id)}
    return any(server.standing.alive and own & {*server.names.values()} for server in list_servers(studio.workspace))


def figures_of(studio: Studio, project_id: str | None, window: str) -> list[str]:
    """The figures of a window up to now: the plots, and the same as a table."""
    if not project_id:
        return [no_project(), ""]
    _, hours, points = WINDOWS.get(window, WINDOWS[_FIRST])
    between = last_requests(studio.db, project_id)
    now = datetime.now(UTC)
    found = figures(studio.db, project_id, now - timedelta(hours=hours), now, points)
    return [figures_html(found, window, between[1] if between else None), figures_table(found)]


def _served(studio: Studio, project_id: str, window: str) -> tuple[object, ...]:
    """What the figures rest on: they are shown anew when a request has come, and once a minute."""
    between = last_requests(studio.db, project_id)
    return (project_id, window, between and between[1], _minute())


def _minute() -> str:
    return f"{datetime.now(UTC):%H:%M}"
