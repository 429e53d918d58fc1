"""Several handlers of a tab in one event, each with its own values."""

from __future__ import annotations

import gradio as gr
import pytest

from studio.ui.frame import Frame


def test_what_looks_at_a_tab_goes_in_one_event() -> None:
    with gr.Blocks() as page:
        one, two = gr.Textbox("1"), gr.Textbox("2")
        with gr.Tabs() as tabs, gr.Tab("Here") as tab:
            shown = [gr.HTML(), gr.HTML(), gr.HTML()]
        frame = Frame(gr.Dropdown(), tabs, gr.State(""))
        frame.on_look(tab, lambda first, second: [first + second, second], [one, two], shown[:2])
        frame.on_look(tab, lambda first: [first], [one], shown[2:])
        frame.join(tab)
        frame.join(tab)  # what was joined is not wired again
    (event,) = page.fns.values()
    assert [name for _, name in event.targets] == ["select", "click"]
    assert event.fn("a", "b", "c") == ["ab", "b", "c"]  # type: ignore[misc]
    assert event.outputs == shown


def test_a_handler_that_gives_too_little_is_a_mistake_that_is_seen() -> None:
    with gr.Blocks() as page:
        with gr.Tabs() as tabs, gr.Tab("Here") as tab:
            shown = [gr.HTML(), gr.HTML()]
        frame = Frame(gr.Dropdown(), tabs, gr.State(""))
        frame.on_look(tab, lambda: ["only one"], [], shown)
        frame.join(tab)
    (event,) = page.fns.values()
    with pytest.raises(ValueError, match="2 values"):
        event.fn()  # type: ignore[misc]
