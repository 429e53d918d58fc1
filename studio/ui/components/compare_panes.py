"""The panes of a comparison in the page: buttons and keys to vote, and for what one may do with an answer.

Event `act` {act, choice, place, token}: a vote, a vote taken back, a word diff, an answer to be fixed or explained. Its
value is the HTML of studio.ui.compare_views.panes_html; keys and clicks are in compare_panes.js.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

_SCRIPT = Path(__file__).with_name("compare_panes.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class PaneAct:
    """What was pressed: `act` is vote, pass, undo, diff, fix or why; `place` counts panes from 0, -1 for none."""

    act: str
    choice: str
    place: int
    token: str


def compare_panes(elem_id: str) -> gr.HTML:
    """The panes, empty at first."""
    return gr.HTML("", html_template="${value}", js_on_load=_SCRIPT, elem_id=elem_id)


def pane_act(event: gr.EventData) -> PaneAct:
    """What was pressed, from an event that anybody may have made up."""
    data = event._data if isinstance(event._data, dict) else {}
    act, choice, token = (str(data.get(name) or "")[:40] for name in ("act", "choice", "token"))
    place = str(data.get("place") or "")
    return PaneAct(act, choice, int(place) if place in tuple("01234567") else -1, token)
