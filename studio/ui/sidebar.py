"""The sidebar: what stands over Gradio's own list of tabs and under it, and the script that makes a sidebar of them.

The list itself stays Gradio's (role, names and events of its tabs too): components/sidebar.css lays it out as a column,
and components/sidebar.js puts headings and badges beside it, keeps the place in the address and the browser tab's
title. What it leaves out: the figures of the badges (studio.web.look).
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from studio.language import LANGUAGES
from studio.ui.frame import QUICK, Frame

_FOLDER = Path(__file__).parent / "components"
_MENU = (
    '<div class="bar"><button type="button" aria-expanded="false"><span aria-hidden="true">☰</span> Menu</button>'
    '<b class="here"></b></div>'
)
_BRAND = '<span class="name"><span class="mark"></span>SFT Studio</span>'
_BELL = '<button type="button" class="bell" aria-pressed="false" hidden>Tell me when a run ends</button>'

ARRIVING = "(last, _) => [window.studioPlace?.remembered(last) ?? last, window.studioPlace?.example() ?? '']"
"""Before the event that chooses the project: the one that the address names comes before the one of last time, and
Label opens the example that it names."""

ARRIVED = "() => window.studioPlace?.ready()"
"""After that event: there may be no project at all."""


def sidebar_head() -> str:
    """Stylesheet and script, for the page's head. Not with the other stylesheets: Gradio puts its own container in
    front of each selector of theirs (in media rules instead of the selector as it stands), and these are about that
    container and what lies around it."""
    css, script = ((_FOLDER / f"sidebar.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return f"<style>{css}</style><script>{script}</script>"


def language_menu() -> None:
    """The language that one reads, each under its own name."""
    choices = "".join(f'<option value="{code}">{name}</option>' for code, name in LANGUAGES.items())
    gr.HTML(f'<select aria-label="Language">{choices}</select>', elem_id="language")


def menu_bar() -> None:
    """What a narrow page shows in place of the sidebar: the button that opens it, and the open tab's name."""
    gr.HTML(_MENU, elem_id="menu")


def brand() -> None:
    """The studio's name."""
    gr.HTML(_BRAND, elem_id="brand")


def bell() -> None:
    """The wish to be told when a run ends; shown by the script to those who see runs."""
    gr.HTML(_BELL, elem_id="bell")


def wire_place(frame: Frame) -> None:
    """Let the page's script set the project in hand, for going back to where another one was."""
    asked = gr.Button("Take the project of this address", visible="hidden", elem_id="place-project")
    asked.click(None, None, frame.project, js="() => window.studioPlace.asked()", **QUICK)
