"""The page: a bar with the project in hand, and the tabs of the loop in their order."""

from __future__ import annotations

import gradio as gr

from studio.jobs.context import Studio
from studio.jobs.devices import list_devices
from studio.ui import compare, data, datasets, label, projects, train
from studio.ui.components.html import text
from studio.ui.frame import QUICK, Frame

TABS = {
    "Projects": projects.build,
    "Data": data.build,
    "Label": label.build,
    "Datasets": datasets.build,
    "Train": train.build,
    "Compare": compare.build,
}


def build_ui(studio: Studio) -> gr.Blocks:
    """The whole page over an open studio."""
    with gr.Blocks(title="SFT Studio", analytics_enabled=False, fill_width=True) as page:
        # The "secret" only keeps Gradio from making a new one at each start, which would forget the project.
        remembered = gr.BrowserState("", storage_key="sft-studio-project", secret="sft-studio")  # noqa: S106
        with gr.Row(elem_id="topbar"):
            gr.HTML('<span class="name"><span class="mark"></span>SFT Studio</span>', elem_id="brand")
            project = gr.Dropdown(label="Project", choices=[], elem_id="project-switch", interactive=True)
            gr.HTML(device_line, elem_id="device")
        wanted = gr.State("")
        with gr.Tabs(elem_id="tabs") as tabs:
            frame = Frame(project, tabs, wanted)
            for name, build in TABS.items():
                with gr.Tab(name, id=name.lower()) as tab:
                    build(studio, frame, tab)
        page.load(lambda last: frame.choices(studio, last), remembered, frame.project, **QUICK)
        frame.project.change(lambda chosen: chosen or "", frame.project, remembered, **QUICK)
    return page


def device_line() -> str:
    """The device that training will take, for the bar."""
    return f'<p class="quiet">{text(list_devices()[0].label)}</p>'
