"""The labeling form: a component on our own JSON routes, because Gradio's queue is too slow and too narrow for it.

What happens on the keyboard is in label_desk.js.
"""

from __future__ import annotations

from pathlib import Path
from time import time_ns

import gradio as gr

_SCRIPT = Path(__file__).with_name("label_desk.js").read_text(encoding="utf-8")


def label_desk() -> gr.HTML:
    """Shows one example at a time and saves each act before it shows the next."""
    return gr.HTML("", html_template='<div class="desk"></div>', js_on_load=_SCRIPT)


def desk_value(project_id: str | None, example_id: str = "") -> str:
    """The form's value: the project to label, the example to open ("" for the next), and a number that is new each
    time, so that the form looks at the queue anew."""
    return f"{project_id}#{example_id}#{time_ns()}" if project_id else ""
