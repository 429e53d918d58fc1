"""Why a run said what it said, in Compare: the training pairs that speak most for an answer, below the panes.

The nearest by text come in seconds, those by gradient as a job that goes on when the page is closed. What it leaves
out: base and endpoint, which were trained on other things.
"""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.errors import NotFound
from studio.jobs.why import look_at_why, start_why
from studio.language import tr
from studio.ui.compare_layout import ASKS, Parts
from studio.ui.compare_state import Shown
from studio.ui.components.compare_panes import PaneAct, pane_act
from studio.ui.components.html import text
from studio.ui.components.why import why_html
from studio.ui.errors import told
from studio.ui.frame import POLL, QUICK, REFRESH
from studio.ui.roles import least


def wire_why(studio: Studio, parts: Parts) -> None:
    """Ask for an answer's sources, and show them as they come; a new question takes them off the screen."""
    asks, because = parts.ask, parts.ask.because

    @told
    @least(ASKS)
    def on_act(shown: Shown | None, event: gr.EventData) -> list[object]:
        wanted = pane_act(event)
        return begin(studio, shown, wanted) if wanted.act == "why" else [gr.skip()] * len(because.live)

    @least(ASKS)
    def on_tick(asked: str) -> list[object]:
        return values(studio, asked)

    asks.panes.act(on_act, asks.shown, because.live, **QUICK)
    because.timer.tick(on_tick, because.asked, because.live, **POLL)
    asked_anew = [asks.generate.click, asks.prompt.submit, asks.go_on.click]
    gr.on(asked_anew, least(ASKS)(nothing), None, because.live, **REFRESH)


def begin(studio: Studio, shown: Shown | None, wanted: PaneAct) -> list[object]:
    """Values of `Because.live` once the question is asked. Raises what `start_why` raises."""
    if shown is None or wanted.token != shown.token or not 0 <= wanted.place < len(shown.panes):
        return nothing()
    run, answer = shown.run(wanted.place), shown.pane(wanted.place).text
    if not run or not answer:
        return nothing()
    return values(studio, start_why(studio.workspace, run, shown.chat(wanted.place), answer, gradients=True), answer)


def values(studio: Studio, asked: str, answer: str = "") -> list[object]:
    """Values of `Because.live` as the question stands."""
    try:
        look = look_at_why(studio.workspace, asked)
    except NotFound:  # the folder was cleared away meanwhile
        return nothing()
    said = (look.found.answer if look.found else "") or answer
    shown = f"{said[:120]}{'…' if len(said) > 120 else ''}"
    head = f"<h3>{text(tr('Why “{answer}”?', answer=shown))}</h3>" if said else ""
    return [asked, f"{head}{why_html(look)}", gr.Timer(active=look.standing.alive)]


def nothing() -> list[object]:
    """Values of `Because.live` when nothing is asked."""
    return ["", "", gr.Timer(active=False)]
