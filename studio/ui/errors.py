"""How a handler tells the user that something was not to be: one plain sentence, as a toast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gradio as gr

from studio.errors import StudioError
from studio.language import tr
from studio.ui.components.html import text

P = ParamSpec("P")
R = TypeVar("R")


def say(message: str) -> None:
    """A short toast. Gradio shows a toast's message as HTML, so it is escaped here."""
    gr.Info(text(message), duration=5)


def told(handler: Callable[P, R]) -> Callable[P, R]:
    """Show a StudioError's sentence as it stands; anything else is a bug and keeps its traceback."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            raise gr.Error(text(tr(str(error))), print_exception=False) from error

    return wrapper
