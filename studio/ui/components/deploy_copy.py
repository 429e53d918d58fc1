"""A piece of text to be copied whole: a key, an address, a snippet, each with its button."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from studio.language import tr
from studio.ui.components.html import text

_COPY = Path(__file__).with_name("deploy_copy.js").read_text(encoding="utf-8")


def copies() -> gr.HTML:
    """A place for pieces of `copied`."""
    return gr.HTML("", html_template="${value}", js_on_load=_COPY)


def copied(label: str, content: str, button: str = "") -> str:
    """A text under its label, as it stands, with a button that copies it."""
    button = button or tr("Copy")
    return (
        f'<div class="copied"><div class="over"><span>{text(label)}</span>'
        f'<button type="button" data-copy="{text(button)}" aria-label="{text(button)}: {text(label)}">{text(button)}'
        f'</button></div><pre tabindex="0"><code>{text(content)}</code></pre></div>'
    )
