"""The list of the queue: its buttons are one event, `act`, with what to do and the id of the job.

What it leaves out: the rows themselves (studio.ui.train_queue_views). Clicks are in queue_list.js.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_SCRIPT = Path(__file__).with_name("queue_list.js").read_text(encoding="utf-8")
_LONGEST = 60


def queue_list() -> gr.HTML:
    """The list; its value is the HTML of studio.ui.train_queue_views.queue_html."""
    return gr.HTML("", html_template="${value}", js_on_load=_SCRIPT, elem_id="queue-list")


def acted(event: gr.EventData) -> tuple[str, str]:
    """What is to be done, and with which job. Anything may stand in it: a browser sent it."""
    data = event._data if isinstance(event._data, dict) else {}
    return str(data.get("act", ""))[:_LONGEST], str(data.get("id", ""))[:_LONGEST]
