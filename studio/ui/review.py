"""Review: what waits for a reviewer, with the guidelines at hand. The desk itself is components/review_desk."""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.ui.components.label_desk import desk_value
from studio.ui.components.review_desk import review_desk
from studio.ui.frame import REFRESH, Frame
from studio.ui.label import guidelines_of


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    desk = review_desk()
    with gr.Accordion("Guidelines", open=False, visible=False) as fold:
        guidelines = gr.HTML("")

    def on_show(chosen: str | None) -> tuple[object, ...]:
        words = guidelines_of(studio, chosen)
        return gr.Accordion(visible=bool(words)), words, desk_value(chosen)

    gr.on(frame.looks_at(tab), on_show, frame.project, [fold, guidelines, desk], **REFRESH)
