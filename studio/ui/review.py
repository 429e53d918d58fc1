"""Review: what waits for a reviewer, with the guidelines at hand. The desk itself is components/review_desk."""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.ui.components.label_desk import desk_value
from studio.ui.components.review_desk import review_desk
from studio.ui.frame import REFRESH, Frame


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    desk = review_desk()
    gr.on([tab.select, frame.project.change], desk_value, frame.project, desk, **REFRESH)
