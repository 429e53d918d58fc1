"""Compare: one prompt to base and several runs at once, blind votes on the answers, and how the models stand by them.

Layout is in compare_layout, the three parts in compare_ask, compare_vote and compare_standings.
"""

from __future__ import annotations

import gradio as gr

from studio.context import Studio
from studio.ui.compare_ask import wire_answers, wire_choices, wire_question
from studio.ui.compare_layout import layout
from studio.ui.compare_vote import wire_batch, wire_standings, wire_votes
from studio.ui.compare_why import wire_why
from studio.ui.frame import Frame


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = layout()
    wire_choices(studio, frame, tab, parts)
    wire_question(studio, frame, parts)
    wire_answers(studio, parts)
    wire_why(studio, parts)
    wire_votes(studio, frame, tab, parts)
    wire_standings(studio, frame, tab, parts)
    wire_batch(studio, frame, tab, parts)
