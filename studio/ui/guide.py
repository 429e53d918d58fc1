"""The guide of a first visit: a line over the open tab that says the next step and leads there.

On Home the same step stands in its card. The step comes with the badges (studio.web.look, studio.jobs.next_step);
components/guide.js paints it. What it leaves out: when the guide is over (studio.data.sample.end_guide).
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_SCRIPT = Path(__file__).parent / "components" / "guide.js"


def guide_strip() -> None:
    """The line's place, empty until a guide's step is there."""
    gr.HTML('<aside class="guide" aria-label="Guide" hidden></aside>', elem_id="guide")


def guide_head() -> str:
    """The script that paints it, for the page's head."""
    return f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>"
