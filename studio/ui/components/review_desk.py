"""The reviewer's desk: a component on our own JSON routes, with the forms, keys and word diff of the labeling form.

What happens on the keyboard is in review/*.js; the parts of desk/*.js that both use come first in one script.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_FOLDER = Path(__file__).parent
_SHARED = ("base", "keys", "text_forms", "label_forms", "preference_form", "chat_form", "diff")
_OWN = ("answers", "desk", "paint")


def review_script() -> str:
    """The whole script of the desk."""
    files = [_FOLDER / "desk" / f"{part}.js" for part in _SHARED] + [_FOLDER / "review" / f"{part}.js" for part in _OWN]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def review_desk() -> gr.HTML:
    """Shows one example at a time with all its answers, and saves each decision before it shows the next.

    Its value is `components.label_desk.desk_value`: the project, and an example to open.
    """
    return gr.HTML("", html_template='<div class="desk review"></div>', js_on_load=review_script())
