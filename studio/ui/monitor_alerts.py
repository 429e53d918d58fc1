"""Alerts, a part of the Monitor tab: those open now and past ones, a limit for each figure, and the webhook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.deploy.monitoring import KINDS, LEAST, list_alerts, set_watch, watch_of
from studio.errors import BadInput
from studio.language import tr
from studio.ui.components.html import moment
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, Frame
from studio.ui.monitor_views import alerts_html
from studio.ui.who import current_user

LABELS: Mapping[str, str] = {
    "p95_ms": "p95 above (ms)",
    "error_rate": "Errors above (%)",
    "feedback": "Thumbs up below (%)",
    "refusal_rate": "Refusals above (%)",
    "form_failure_rate": "Out of form above (%)",
    "tokens_per_second": "Tokens a second below",
    "drift": "Drift: p below",
}
"""The label of each limit's field."""

_HOW = (
    f"<p class='quiet'>An empty field is off. Limits are held against the last hour once a minute, where at least "
    f"{LEAST} requests say something; drift against the newest look at the prompts.</p>"
)
_SENT = (
    "Each new alert is sent there once, as JSON: the project's name, which figure, its value, its limit and the time. "
    "Never a prompt, an answer or a key. Empty: nothing is sent anywhere."
)
_FORGET = (
    "Where a server keeps redacted texts (Deploy): older ones are deleted, once a minute; files on their way here may "
    "hold them for a day more. Counts and examples stay. Empty: they are kept for good."
)


@dataclass(frozen=True)
class Parts:
    """What is shown of alerts and limits."""

    alerts: gr.HTML
    limits: dict[str, gr.Number]
    days: gr.Number
    webhook: gr.Textbox
    kept: gr.HTML
    save: gr.Button

    @property
    def form(self) -> list[Any]:
        """The limits as they are set."""
        return [*self.limits.values(), self.webhook, self.days, self.kept]


def layout() -> Parts:
    """Lay it out."""
    with gr.Column(elem_id="monitor-alerts"):
        gr.HTML("<h2 class='title'>Alerts</h2>")
        alerts = gr.HTML(elem_id="monitor-alerts-list")
        with gr.Accordion("Limits and webhook", open=False, elem_id="monitor-limits"):
            gr.HTML(_HOW)
            with gr.Row():
                limits = {kind: gr.Number(label=LABELS[kind], min_width=130) for kind in KINDS}
            webhook = gr.Textbox(label="Webhook URL", placeholder="https://example.org/alerts", info=_SENT, max_lines=1)
            days = gr.Number(label="Forget kept texts after (days)", info=_FORGET, precision=0, minimum=1)
            with gr.Row(elem_id="monitor-limits-save"):
                save, kept = gr.Button("Save limits", scale=0, min_width=140), gr.HTML()
    return Parts(alerts, limits, days, webhook, kept, save)


def wire(studio: Studio, frame: Frame, parts: Parts) -> None:
    """Wire it."""

    @told
    def on_save(chosen: str | None, webhook: str, days: float | None, *given: float | None) -> list[object]:
        if not chosen:
            raise BadInput("Choose or create a project first (Projects tab).")
        keep = None if days is None else max(0, int(days))
        set_watch(studio.db, chosen, limits_of(given), current_user().name, webhook or "", keep)
        say(tr("Limits saved."))
        return [alerts_of(studio, chosen), *form_values(studio, chosen)]

    given = [frame.project, parts.webhook, parts.days, *parts.limits.values()]
    parts.save.click(on_save, given, [parts.alerts, *parts.form], **QUICK)


def limits_of(given: Sequence[float | None]) -> dict[str, float]:
    """The fields as limits by kind, shares from per cent; an empty one is off. Raises BadInput for a share beyond 1."""
    found = {}
    for kind, value in zip(KINDS, given, strict=True):
        if value is None:
            continue
        per_cent = _in_per_cent(kind)
        if per_cent and not 0 <= value <= 100:
            raise BadInput(tr("{figure}: a share lies between 0 and 100 %.", figure=tr(LABELS[kind])))
        found[kind] = value / 100 if per_cent else value
    return found


def form_values(studio: Studio, project_id: str | None) -> list[object]:
    """Values of `Parts.form`."""
    watch = watch_of(studio.db, project_id) if project_id else None
    if watch is None:
        return [*[None for _ in KINDS], "", None, ""]
    limits = [_shown(kind, watch.thresholds.get(kind)) for kind in KINDS]
    saved = tr("Saved {when}.", when=moment(watch.created_at))
    return [*limits, watch.webhook, watch.keep_days, f"<p class='quiet'>{saved}</p>"]


def alerts_of(studio: Studio, project_id: str) -> str:
    """The alerts of a project, as HTML."""
    watch = watch_of(studio.db, project_id)
    return alerts_html(list_alerts(studio.db, project_id), bool(watch and watch.thresholds))


def _shown(kind: str, limit: float | None) -> float | None:
    return limit if limit is None or not _in_per_cent(kind) else round(100 * limit, 6)


def _in_per_cent(kind: str) -> bool:
    return KINDS[kind].share and kind != "drift"
