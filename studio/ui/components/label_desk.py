"""The labeling form: a component on our own JSON routes, because Gradio's queue is too slow and too narrow for it.

What happens on the keyboard is in desk/*.js, which become one script here: Gradio takes one, and the browser fetches
nothing for it. What they share (the state, requests) is in desk/base.js; what starts it all in desk/desk.js.
"""

from __future__ import annotations

from pathlib import Path
from time import time_ns

import gradio as gr

_PARTS = (
    "base",
    "keys",
    "drafts",
    "text_forms",
    "label_forms",
    "preference_form",
    "chat_form",
    "diff",
    "top",
    "card",
    "bulk",
    "desk",
)
"""In this order: a part may use what an earlier one declares while it is read, and all of it afterwards."""


def desk_script() -> str:
    """The whole script of the form."""
    folder = Path(__file__).with_name("desk")
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS)


def label_desk() -> gr.HTML:
    """Shows one example at a time, or many, and saves each act before it shows the next."""
    return gr.HTML("", html_template='<div class="desk"></div>', js_on_load=desk_script())


def desk_value(project_id: str | None, example_id: str = "") -> str:
    """The form's value: the project to label, the example to open ("" for the next), and a number that is new each
    time, so that the form looks at the queue anew."""
    return f"{project_id}#{example_id}#{time_ns()}" if project_id else ""
