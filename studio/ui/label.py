"""Label: the form with the guidelines at hand. The form itself is components/label_desk."""

from __future__ import annotations

import gradio as gr

from studio.data.projects import get_project
from studio.errors import NotFound
from studio.jobs.context import Studio
from studio.ui.components.label_desk import label_desk
from studio.ui.frame import REFRESH, Frame


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    with gr.Accordion("Guidelines", open=False, elem_id="guidelines") as folded:
        guidelines = gr.Markdown("")
    desk = label_desk()

    def on_show(chosen: str | None) -> tuple[object, ...]:
        words = guidelines_of(studio, chosen)
        # A new value each time, so that the form looks at the queue anew whenever the tab is opened.
        return gr.Accordion(visible=bool(words)), words, gr.HTML(value=chosen or "")

    gr.on(
        [tab.select, frame.project.change],
        on_show,
        frame.project,
        [folded, guidelines, desk],
        **REFRESH,
    )


def guidelines_of(studio: Studio, project_id: str | None) -> str:
    """A project's guidelines, or '' when there is none."""
    if not project_id:
        return ""
    try:
        return get_project(studio.db, project_id).guidelines
    except NotFound:
        return ""
