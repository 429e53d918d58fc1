"""Home: where a project's loop stands and the one next step; without a project, how to get one."""

from __future__ import annotations

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.data.projects import list_projects
from studio.data.sample import create_guided_project
from studio.errors import NotFound
from studio.jobs.next_step import next_step
from studio.jobs.overview import overview
from studio.labeling.visits import note_visit
from studio.ui.errors import told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.home_views import home_html, labeling_html, welcome_html
from studio.ui.roles import least
from studio.ui.tailored import show_to
from studio.ui.who import current_user


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    shown = gr.HTML(loading_html(), elem_id="home")
    with show_to(gr.Row(elem_id="home-sample"), "admin"):  # seen beside the welcome only (components/home.css)
        sample = gr.Button("Try it with a sample", variant="primary", scale=0, min_width=200)

    def on_show(chosen: str | None) -> str:
        return home_of(studio, current_user(), chosen)

    @least("admin")
    @told
    def on_sample() -> gr.Dropdown:
        made = create_guided_project(studio.db)
        return frame.choices(studio, made.id)

    gr.on(frame.looks_at(tab), on_show, frame.project, shown, **REFRESH)
    sample.click(on_sample, None, frame.project, **QUICK)


def loading_html() -> str:
    """The page's places before its figures are there."""
    return '<div class="home waiting" aria-busy="true"><p class="quiet">Looking at where things stand…</p></div>'


def home_of(studio: Studio, user: User, project_id: str | None) -> str:
    """A project's Home for a user; the welcome where there is no project."""
    if not project_id:
        return welcome_html(user.role, bool(list_projects(studio.db)))
    try:
        since = note_visit(studio.db, user.name, project_id)
        found = overview(studio.db, studio.workspace, studio.queues, project_id, user, since)
    except NotFound:
        return welcome_html(user.role, True)
    step = next_step(found, user.role)
    return labeling_html(found, step) if user.role == "annotator" else home_html(found, step, user.role)
