"""Label: the form with the guidelines at hand. The form itself is components/label_desk."""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.data.projects import get_project
from studio.errors import NotFound
from studio.ui.components.label_desk import desk_value, label_desk
from studio.ui.components.markdown import rendered
from studio.ui.frame import REFRESH, Frame


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    with gr.Row(elem_id="label-columns"):
        with gr.Column(scale=4, min_width=320):
            desk = label_desk()
        with gr.Column(scale=1, min_width=220, visible=False, elem_id="guidelines") as side:
            gr.HTML("<h2 class='side-title'>Guidelines</h2>")
            guidelines = gr.HTML("")

    def on_show(chosen: str | None, wanted: str) -> tuple[object, ...]:
        words = guidelines_of(studio, chosen)
        return gr.Column(visible=bool(words)), words, desk_value(chosen, wanted), ""

    gr.on(
        frame.looks_at(tab),
        on_show,
        [frame.project, frame.wanted],
        [side, guidelines, desk, frame.wanted],
        **REFRESH,
    )


def guidelines_of(studio: Studio, project_id: str | None) -> str:
    """A project's guidelines as safe HTML, '' when there are none: gr.Markdown would fetch pictures from elsewhere."""
    if not project_id:
        return ""
    try:
        words = get_project(studio.db, project_id).guidelines
    except NotFound:
        return ""
    return f'<div class="prose">{rendered(words)}</div>' if words.strip() else ""
