"""The list of requests that could be labeled: boxes, and one button whose event is `take` with the chosen ids.

What it leaves out: the rows themselves (studio.ui.monitor_views). Clicks are in monitor_list.js.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_SCRIPT = Path(__file__).with_name("monitor_list.js").read_text(encoding="utf-8")
_MOST = 1000
_LONGEST = 200


def monitor_list() -> gr.HTML:
    """The list; its value is the HTML of studio.ui.monitor_views.candidates_html."""
    return gr.HTML("", html_template="${value}", js_on_load=_SCRIPT, elem_id="monitor-list")


def taken_ids(event: gr.EventData) -> list[str]:
    """The ids of a `take` event. Anything may stand in it: a browser sent it."""
    ids = event._data.get("ids") if isinstance(event._data, dict) else None
    return [str(one)[:_LONGEST] for one in ids[:_MOST]] if isinstance(ids, list) else []
