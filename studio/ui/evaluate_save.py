"""Evaluate, fourth part: the verdict saved as a page to send. The file is made by studio.jobs.verdict_page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import gradio as gr

from studio.context import Studio
from studio.jobs.runs import get_run
from studio.jobs.verdict_page.records import evaluated
from studio.ui.errors import told
from studio.ui.export import DOWNLOAD
from studio.ui.frame import QUICK

_HELD = "The file then holds up to 16 held-out rows: prompt, reference, both answers. Without: figures and lineage."


@dataclass(frozen=True)
class SaveParts:
    """The controls; `place` is seen once there is a report."""

    place: gr.Column
    texts: gr.Checkbox
    save: gr.Button
    url: gr.Textbox


def save_layout() -> SaveParts:
    """A quiet block under the leaderboard."""
    with gr.Column(visible=False, elem_id="evaluate-save") as place:
        texts = gr.Checkbox(label="With texts of the rows", value=True, info=_HELD)
        save = gr.Button("Save as page")
        url = gr.Textbox(label="Address of the page", visible=False)
    return SaveParts(place, texts, save, url)


def wire_save(
    studio: Studio,
    parts: SaveParts,
    project: gr.Dropdown,
    run: gr.Dropdown,
    own: Callable[[str | None, str | None], str],
) -> None:
    """A click sends the browser to the file. `own` gives the id of a run of the project in hand, or raises."""

    @told
    def on_save(chosen: str | None, run_id: str | None, texts: bool) -> str:
        found = own(chosen, run_id)
        evaluated(studio.workspace, get_run(studio.db, found))
        return f"/api/report/{quote(found, safe='')}?texts={int(bool(texts))}"

    saved = parts.save.click(on_save, [project, run, parts.texts], parts.url, **QUICK)
    saved.success(None, parts.url, None, js=DOWNLOAD)
