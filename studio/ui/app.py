"""The page: a sidebar with the project in hand, the tabs of the loop in their order and who works here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.jobs.devices import list_devices
from studio.language import tr
from studio.ui import (
    compare,
    data,
    datasets,
    deploy,
    evaluate,
    home,
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
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.guide import guide_strip
from studio.ui.roles import Register, least
from studio.ui.sidebar import ARRIVED, ARRIVING, bell, brand, language_menu, menu_bar, wire_place
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
    "Home": Tab(home.build, "annotator"),
    "Projects": Tab(projects.build, "admin"),
    "Label": Tab(label.build, "annotator"),
    "Review": Tab(review.build, "reviewer"),
    "Suggestions": Tab(suggestions.build, "reviewer"),
    "Team": Tab(team.build, "reviewer"),
    "Data": Tab(data.build, "reviewer"),
    "Datasets": Tab(datasets.build, "admin"),
    "Preflight": Tab(preflight.build, "admin"),
    "Train": Tab(train.build, "admin"),
    "Evaluate": Tab(evaluate.build, "admin"),
    "Compare": Tab(compare.build, "annotator", "admin"),
    "Deploy": Tab(deploy.build, "admin"),
    "Monitor": Tab(monitor.build, "admin"),
    "People": Tab(people.build, "admin"),
}
"""In the order of the sidebar, whose headings are in components/sidebar.js."""


def build_ui(studio: Studio) -> gr.Blocks:
    """The whole page over an open studio, each of its handlers asking for the role it needs.

    Once it is mounted, `studio.ui.tailored.tailor(page, roles_of(page))` makes it each role's own.
    """
    with gr.Blocks(title="SFT Studio", analytics_enabled=False, fill_width=True) as page:
        register = Register(page)
        # The "secret" only keeps Gradio from making a new one at each start, which would forget the project.
        remembered = gr.BrowserState("", storage_key="sft-studio-project", secret="sft-studio")  # noqa: S106
        menu_bar()
        with gr.Row(elem_id="topbar"):
            brand()
            project = gr.Dropdown(label="Project", choices=[], elem_id="project-switch", interactive=True)
        with gr.Row(elem_id="foot"):
            device = gr.HTML(elem_id="device")
            bell()
            language_menu()
            bar = gr.HTML(elem_id="user")
        wanted = gr.State("")
        guide_strip()
        # Wrapped, as Gradio would hide the tabs that do not fit into a row; the stylesheet makes a column of them.
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            frame = Frame(project, tabs, wanted)
            for name, built in TABS.items():
                with show_to(gr.Tab(name, id=name.lower()), built.role) as tab:
                    built.build(studio, frame, tab)
                    frame.join(tab)
                    register.note(built.acts or built.role)
        feet = [bar, device]
        page.load(lambda: (user_html(current_user(), studio.accounts.on), device_line()), None, feet, **REFRESH)
        wire_place(frame)
        example = gr.Textbox(label="Example", visible="hidden", elem_id="place-example")
        page.load(
            lambda last, example: (frame.choices(studio, last), example),
            [remembered, example],
            [frame.project, frame.wanted],
            js=ARRIVING,
            **REFRESH,
        ).then(None, None, None, js=ARRIVED)
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
        f'<span class="chip">{text(tr(user.role))}</span></summary><div class="menu">'
        f'<a href="/account">{tr("Account and password")}</a>'
        f'<form method="post" action="/logout"><button type="submit">{tr("Log out")}</button></form></div></details>'
    )


@least("annotator")
def device_line() -> str:
    """The device that training will take, for the bar."""
    return f'<p class="quiet">{text(tr(list_devices()[0].label))}</p>'
