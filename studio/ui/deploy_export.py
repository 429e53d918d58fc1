"""Deploy, fourth part: a run as a folder that others load, checked against the studio. Views: deploy_export_views.

What it leaves out: sending it to the Hub (deploy_hub).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import gradio as gr

from storage.records import Run
from studio.context import Studio
from studio.contract.export import FORMATS, Format
from studio.deploy.choices import servable_runs
from studio.errors import BadInput
from studio.jobs.exporting_model import Exported, cancel_export, look_at, start_export
from studio.ui.components.deploy_copy import copies
from studio.ui.deploy_export_views import LABELS, export_html, format_html, target_of
from studio.ui.deploy_hub import HubParts, hub_fresh, hub_layout, wire_hub
from studio.ui.deploy_production import standing_of
from studio.ui.deploy_views import run_label
from studio.ui.errors import told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.who import current_user

_FIRST: Format = "adapter"
Values = list[object]


@dataclass(frozen=True)
class ExportParts:
    """The controls."""

    run: gr.Dropdown
    wanted: gr.Radio
    use: gr.HTML
    folder: gr.Textbox
    start: gr.Button
    cancel: gr.Button
    state: gr.HTML
    timer: gr.Timer
    hub: HubParts

    @property
    def asked(self) -> list[gr.components.Component]:
        """What names an export."""
        return [self.run, self.wanted]

    @property
    def live(self) -> list[gr.blocks.Block]:
        """What an export changes."""
        return [self.state, self.start, self.cancel, self.timer, *self.hub.fresh]


def export_layout() -> ExportParts:
    """Lay the part out."""
    with gr.Column(elem_id="deploy-export-panel", min_width=300):
        gr.HTML(
            "<h2 class='title'>Export a model</h2><p class='quiet'>Read again and held against the studio's own "
            "answers before it counts as done.</p>"
        )
        run = gr.Dropdown(label="Run to export", choices=[])
        wanted = gr.Radio(label="Format", choices=LABELS, value=_FIRST, elem_id="deploy-format")
        use = gr.HTML(format_html(_FIRST))
        folder = gr.Textbox(
            label="Name of its folder (optional)",
            max_lines=1,
            info="With a name it lies in exports/kept/NAME of the workspace; without one, the next export of this run "
            "in this format takes its place.",
        )
        with gr.Row():
            start = gr.Button("Export", variant="primary", scale=0, min_width=130)
            cancel = gr.Button("Cancel", visible=False, scale=0, min_width=110)
        state, timer = copies(), gr.Timer(1.0, active=False)
        hub = hub_layout()
    return ExportParts(run, wanted, use, folder, start, cancel, state, timer, hub)


def wire_export(studio: Studio, frame: Frame, parts: ExportParts) -> None:
    """Wire the part."""

    @told
    def on_start(chosen: str | None, run: str | None, wanted: str, folder: str) -> Values:
        own = run_of(studio, chosen, run)
        target = target_of(studio.workspace, folder)
        start_export(studio.db, studio.workspace, current_user(), own.id, format_of(wanted), target)
        return ["", *export_shown(studio, chosen, own.id, wanted)]

    @told
    def on_cancel(chosen: str | None, run: str | None, wanted: str) -> Values:
        cancel_export(studio.workspace, run_of(studio, chosen, run).id, format_of(wanted))
        return export_shown(studio, chosen, run, wanted)

    def on_tick(chosen: str | None, run: str | None, wanted: str) -> Values:
        return export_shown(studio, chosen, run, wanted, ticking=True)

    def on_choose(chosen: str | None, run: str | None, wanted: str) -> Values:
        return [format_html(format_of(wanted)), *export_shown(studio, chosen, run, wanted)]

    asked = [frame.project, *parts.asked]
    parts.start.click(on_start, [*asked, parts.folder], [parts.folder, *parts.live], **QUICK)
    parts.cancel.click(on_cancel, asked, parts.live, **QUICK)
    parts.timer.tick(on_tick, asked, parts.live, **POLL)
    gr.on([parts.run.input, parts.wanted.input], on_choose, asked, [parts.use, *parts.live], **REFRESH)
    wire_hub(studio, frame, parts.asked, parts.hub, lambda *named: look(studio, *named))


def export_opened(studio: Studio, project_id: str, run: str | None, wanted: str) -> Values:
    """Values of `ExportParts.asked`, `use` and `live` when somebody looks: what is at work is shown first."""
    runs = servable_runs(studio.db, studio.workspace, project_id)
    busy = next((found for found in (_at_work(studio, one) for one in runs) if found), None)
    known = [one.id for one in runs]
    standing = standing_of(studio, project_id).run
    first = standing.id if standing and standing.id in known else (known[0] if known else None)
    run = run if run in known else busy.source if busy else first
    chosen = busy.wanted if busy and run == busy.source else format_of(wanted)
    menu = gr.Dropdown(choices=[(run_label(one), one.id) for one in runs], value=run)
    return [menu, chosen, format_html(chosen), *export_shown(studio, project_id, run, chosen)]


def export_shown(studio: Studio, project_id: str | None, run: str | None, wanted: str, ticking: bool = False) -> Values:
    """Values of `ExportParts.live`; a tick leaves what is asked about the Hub as it is."""
    if not project_id or not run:
        return ["", gr.Button(interactive=False), gr.Button(visible=False), gr.Timer(active=False), *hub_fresh(False)]
    found = look(studio, project_id, run, wanted)
    busy = found.standing.alive
    hub = [gr.skip()] * len(hub_fresh(False)) if ticking and busy else hub_fresh(found.report is not None)
    buttons = [gr.Button(interactive=not busy), gr.Button(visible=busy), gr.Timer(active=busy)]
    return [export_html(found), *buttons, *hub]


def look(studio: Studio, project_id: str | None, run: str | None, wanted: str) -> Exported:
    """How the newest export of a project's run in a format stands. Raises BadInput."""
    return look_at(studio.workspace, run_of(studio, project_id, run).id, format_of(wanted))


def run_of(studio: Studio, project_id: str | None, run_id: str | None) -> Run:
    """A finished run of the project in hand. Raises BadInput for any other: ids come from the browser."""
    for run in servable_runs(studio.db, studio.workspace, project_id or ""):
        if run.id == run_id:
            return run
    raise BadInput("Choose a finished run of this project first.")


def format_of(wanted: str | None) -> Format:
    """A format by its name. Raises BadInput."""
    if wanted not in FORMATS:
        raise BadInput("Choose a format first.")
    return cast(Format, wanted)


def _at_work(studio: Studio, run: Run) -> Exported | None:
    found = (look_at(studio.workspace, run.id, wanted) for wanted in FORMATS)
    return next((one for one in found if one.standing.alive), None)
