"""The Evaluate tab's judge: a form, what it would send and cost, and only then a button that sends it.

The key stands in its field until it is sent, and nowhere afterwards. What it leaves out: the report's section on what
the judge said (studio.ui.evaluate_judge_views).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.errors import BadInput
from studio.jobs.endpoint import load_endpoint
from studio.jobs.judging import (
    JudgeAsk,
    Standing,
    cancel_judging,
    criteria_of,
    estimate,
    judge_standing,
    start_judging,
)
from studio.language import tr
from studio.ui.errors import told
from studio.ui.evaluate_judge_views import SENT, estimate_html, judge_state_html
from studio.ui.frame import QUICK
from studio.ui.who import current_user

_ROWS = 100


@dataclass(frozen=True)
class Ready:
    """What was estimated and may be sent as it stands: of which run, and to which host."""

    run_id: str
    asked: JudgeAsk


@dataclass(frozen=True)
class JudgeParts:
    """The form, what may be done, and what is told."""

    url: gr.Textbox
    model: gr.Textbox
    key: gr.Textbox
    criteria: gr.Textbox
    reference: gr.Checkbox
    rows: gr.Number
    price_in: gr.Number
    price_out: gr.Number
    most_cost: gr.Number
    look: gr.Button
    send: gr.Button
    stop: gr.Button
    state: gr.HTML
    ready: gr.State

    @property
    def form(self) -> list[gr.components.Component]:
        """What is asked, without the key, in the order of `asked_of`."""
        return [self.url, self.model, self.criteria, self.reference, self.rows, *self.prices]

    @property
    def prices(self) -> list[gr.components.Component]:
        """What it costs and may cost."""
        return [self.price_in, self.price_out, self.most_cost]

    @property
    def live(self) -> list[gr.components.Component]:
        """What a judging changes."""
        return [self.state, self.look, self.send, self.stop, self.ready]

    @property
    def fresh(self) -> list[gr.components.Component]:
        """What is filled in when somebody looks at the tab."""
        return [self.url, self.model, self.criteria, *self.live]


@dataclass(frozen=True)
class Page:
    """What of the tab a judging needs. `own` gives the id of a run of the project in hand, or raises."""

    project: gr.Dropdown
    run: gr.Dropdown
    view: gr.State
    timer: gr.Timer
    own: Callable[[str | None, str | None], str]


def judge_layout() -> JudgeParts:
    """The folded section."""
    with gr.Accordion("Ask a judge", open=False, elem_id="evaluate-judge"):
        gr.HTML(SENT)
        url = gr.Textbox(label="Judge's address", placeholder="https://host/v1", max_lines=1)
        model = gr.Textbox(label="Judge's model", max_lines=1)
        key = gr.Textbox(label="API key", type="password", max_lines=1, placeholder="used once, kept nowhere")
        criteria = gr.Textbox(label="Criteria", lines=4, max_lines=12, info="What makes an answer the better one.")
        reference = gr.Checkbox(label="Show the judge the reference answer", value=True)
        with gr.Row():
            rows = gr.Number(label="Rows", value=_ROWS, precision=0, minimum=1, min_width=110, info="evenly spread")
            most = gr.Number(label="Stop at cost", value=0, minimum=0, min_width=110, info="0: no limit")
        with gr.Row():
            price_in = gr.Number(label="Price in", value=0, minimum=0, min_width=110, info="per million tokens")
            price_out = gr.Number(label="Price out", value=0, minimum=0, min_width=110, info="per million tokens")
        state = gr.HTML()
        look = gr.Button("See what it sends")
        send = gr.Button("Send", variant="primary", visible=False)
        stop = gr.Button("Stop the judge", visible=False)
    ready = gr.State(None)
    return JudgeParts(
        url, model, key, criteria, reference, rows, price_in, price_out, most, look, send, stop, state, ready
    )


def wire_judge(studio: Studio, parts: JudgeParts, page: Page, at_work: Callable[[Any], Any]) -> None:
    """Estimate, send, stop. `at_work` gives the tab's view with a judge at work."""
    own = page.own

    @told
    def on_look(chosen: str | None, run_id: str | None, *form: object) -> list[object]:
        asked = asked_of(form)
        found = estimate(studio.db, studio.workspace, own(chosen, run_id), asked)
        told_so = estimate_html(found, bool(asked.price_in or asked.price_out), asked.reference)
        words = tr("Send to {host}", host=found.host) if found.requests else tr("Show the verdicts")
        return [
            told_so,
            gr.skip(),
            gr.Button(words, visible=True),
            gr.Button(visible=False),
            Ready(run_id or "", asked),
        ]

    @told
    def on_send(
        chosen: str | None, run_id: str | None, view: object, ready: Ready | None, key: str, *form: object
    ) -> list[object]:
        if ready is None or ready.run_id != run_id or ready.asked != asked_of(form):
            raise BadInput("Something was changed since you looked: see once more what it sends.")
        start_judging(studio.db, studio.workspace, current_user(), own(chosen, run_id), ready.asked, key or "")
        return [*judge_live(Standing("running", words="Starting")), "", gr.Timer(active=True), at_work(view)]

    @told
    def on_stop(chosen: str | None, run_id: str | None) -> list[object]:
        run_of = own(chosen, run_id)
        cancel_judging(studio.workspace, run_of)
        return judge_live(judge_standing(studio.workspace, run_of))

    of = [page.project, page.run]
    parts.look.click(on_look, [*of, *parts.form], parts.live, **QUICK)
    sent = [*of, page.view, parts.ready, parts.key, *parts.form]
    parts.send.click(on_send, sent, [*parts.live, parts.key, page.timer, page.view], **QUICK)
    parts.stop.click(on_stop, of, parts.live, **QUICK)


def asked_of(form: tuple[object, ...]) -> JudgeAsk:
    """What a form asks: an empty number is 0. Raises BadInput for what is no number."""
    url, model, criteria, reference, *numbers = form
    rows, price_in, price_out, most = (_number(value) for value in numbers)
    return JudgeAsk(
        url=str(url or ""),
        model=str(model or ""),
        criteria=str(criteria or ""),
        rows=int(rows),
        reference=bool(reference),
        price_in=price_in,
        price_out=price_out,
        most_cost=most,
    )


def _number(value: object) -> float:
    if value in (None, ""):
        return 0.0
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadInput("Rows, prices and the limit on the cost are numbers.")
    return float(value)


def judge_live(standing: Standing) -> list[object]:
    """Values of `JudgeParts.live` for a judging that stands so; an estimate is gone with it."""
    alive = standing.alive
    buttons = [gr.Button(visible=not alive), gr.Button(visible=False), gr.Button(visible=alive)]
    return [judge_state_html(standing), *buttons, None]


def judge_fresh(
    studio: Studio, project_id: str | None, run_id: str | None, url: str | None, model: str | None, another: bool
) -> list[object]:
    """Values of `JudgeParts.fresh` when somebody looks: the endpoint that Compare asks, where none is named here, and
    the criteria of the project where it is `another` than before."""
    named = None if (url or model or "").strip() else load_endpoint(studio.workspace)
    fields = [named.url, named.model] if named else [gr.skip(), gr.skip()]
    criteria = criteria_of(studio.db, studio.workspace, project_id) if project_id and another else gr.skip()
    standing = judge_standing(studio.workspace, run_id) if run_id else Standing("none")
    return [*fields, criteria, *judge_live(standing)]
