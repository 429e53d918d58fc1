"""The page: a bar with the project in hand and who works here, and the tabs of the loop in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.jobs.devices import list_devices
from studio.ui import (
    compare,
    data,
    datasets,
    deploy,
    evaluate,
    label,
    monitor,
    people,
    preflight,
    projects,
    review,
    suggestions,
    team,
    train,
)
from studio.ui.components.html import text
from studio.ui.frame import QUICK, Frame
from studio.ui.roles import Register, least
from studio.ui.tailored import show_to
from studio.ui.who import current_user

Build = Callable[[Studio, Frame, gr.Tab], None]


@dataclass(frozen=True)
class Tab:
    """A tab: what builds it, who sees it, and what its handlers ask for where they are not marked with `least`."""

    build: Build
    role: str
    acts: str = ""


TABS = {
    "Projects": Tab(projects.build, "admin"),
    "Data": Tab(data.build, "reviewer"),
    "Label": Tab(label.build, "annotator"),
    "Review": Tab(review.build, "reviewer"),
    "Suggestions": Tab(suggestions.build, "reviewer"),
    "Team": Tab(team.build, "reviewer"),
    "Datasets": Tab(datasets.build, "admin"),
    "Preflight": Tab(preflight.build, "admin"),
    "Train": Tab(train.build, "admin"),
    "Evaluate": Tab(evaluate.build, "admin"),
    "Compare": Tab(compare.build, "annotator", "admin"),
    "Deploy": Tab(deploy.build, "admin"),
    "Monitor": Tab(monitor.build, "admin"),
    "People": Tab(people.build, "admin"),
}


def build_ui(studio: Studio) -> gr.Blocks:
    """The whole page over an open studio, each of its handlers asking for the role it needs.

    Once it is mounted, `studio.ui.tailored.tailor(page, roles_of(page))` makes it each role's own.
    """
    with gr.Blocks(title="SFT Studio", analytics_enabled=False, fill_width=True) as page:
        register = Register(page)
        # The "secret" only keeps Gradio from making a new one at each start, which would forget the project.
        remembered = gr.BrowserState("", storage_key="sft-studio-project", secret="sft-studio")  # noqa: S106
        with gr.Row(elem_id="topbar"):
            gr.HTML('<span class="name"><span class="mark"></span>SFT Studio</span>', elem_id="brand")
            project = gr.Dropdown(label="Project", choices=[], elem_id="project-switch", interactive=True)
            gr.HTML(device_line, elem_id="device")
            bar = gr.HTML(elem_id="user")
        wanted = gr.State("")
        with gr.Tabs(elem_id="tabs") as tabs:
            frame = Frame(project, tabs, wanted)
            for name, built in TABS.items():
                with show_to(gr.Tab(name, id=name.lower()), built.role) as tab:
                    built.build(studio, frame, tab)
                    register.note(built.acts or built.role)
        page.load(lambda: user_html(current_user(), studio.accounts.on), None, bar, **QUICK)
        page.load(lambda last: frame.choices(studio, last), remembered, frame.project, **QUICK)
        frame.wire()
        frame.project.change(lambda chosen: chosen or "", frame.project, remembered, **QUICK)
        register.note("annotator")
    register.enforce(studio.accounts)
    return page


def user_html(user: User, accounts_on: bool) -> str:
    """Who is logged in, with the way to their account and out; nothing without accounts."""
    if not accounts_on:
        return ""
    return (
        f'<details class="user" data-role="{text(user.role)}"><summary><b>{text(user.name)}</b> '
        f'<span class="chip">{text(user.role)}</span></summary><div class="menu">'
        '<a href="/account">Account and password</a>'
        '<form method="post" action="/logout"><button type="submit">Log out</button></form></div></details>'
    )


@least("annotator")
def device_line() -> str:
    """The device that training will take, for the bar."""
    return f'<p class="quiet">{text(list_devices()[0].label)}</p>'
