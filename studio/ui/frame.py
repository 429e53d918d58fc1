"""What every tab may use of the page around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.blocks import Block

from studio.context import Studio
from studio.data.projects import list_projects

QUICK: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private", "show_progress": "hidden"}
"""For events whose handler takes milliseconds: none waits for another, no endpoint of the public API, and no veil over
what they are to fill.

Through Gradio's queue all the same: past it (`queue=False`) version 6.31 shows neither an error's sentence nor a toast.
"""

REFRESH: dict[str, Any] = {**QUICK, "trigger_mode": "multiple"}
"""For events that show anew what has changed: every trigger is sent. With Gradio's default for several triggers, one
that comes while a slower one is at work would be dropped, and the screen would keep what was true before. Its
"always_last" is no way out: in version 6.31 events that overlap then send each other again without end, and the page
freezes.
"""

POLL: dict[str, Any] = {**REFRESH, "trigger_mode": "once", "queue": False}
"""For a timer's events: past the queue, which would cost the browser more, as nobody is told anything by them."""


_LOOK = "look"
# A click reaches the button by way of the document, and must not go on to the window, where it would close open menus.
_LOOK_NOW = """(project) => {
  window.studioPlace?.project(project);
  const hush = (event) => event.stopPropagation();
  document.addEventListener('click', hush);
  for (const look of document.querySelectorAll('.look')) if (look.parentElement.checkVisibility()) look.click();
  document.removeEventListener('click', hush);
}"""


@dataclass(frozen=True)
class _Look:
    """A handler that is called when somebody looks at a tab; it gives a list of values, one for each output."""

    handler: Callable[..., list[object]]
    inputs: Sequence[Block]
    outputs: Sequence[Block]


@dataclass(frozen=True)
class Frame:
    """`project`: the menu, whose value is the id of the project in hand, or None. `tabs`: to open another tab.

    `wanted`: the id of an example that Label is to open next, or "".
    """

    project: gr.Dropdown
    tabs: gr.Tabs
    wanted: gr.State
    _looks: dict[int, gr.Button] = field(default_factory=dict)
    _asked: dict[int, list[_Look]] = field(default_factory=dict)

    def looks_at(self, tab: gr.Tab) -> list[Any]:
        """The events at which somebody looks at a tab: it is opened, or another project is taken in hand while it is
        open.

        Not `project.change`: a dozen tabs that nobody sees would all be filled anew, which takes the page seconds.
        """
        if tab._id not in self._looks:
            self._looks[tab._id] = look = gr.Button("Look", visible="hidden", elem_classes=_LOOK)
            if look.parent:
                look.parent.children.remove(look)  # a tab cannot be entered twice
            tab.add(look)
        return [tab.select, self._looks[tab._id].click]

    def on_look(
        self,
        tab: gr.Tab,
        handler: Callable[..., list[object]],
        inputs: Sequence[Block],
        outputs: Sequence[Block],
    ) -> None:
        """Have `handler` called whenever somebody looks at a tab, in one event with the others of that tab.

        A page sends the events of a click one after the other, each when the last one is answered.
        """
        self._asked.setdefault(tab._id, []).append(_Look(handler, inputs, outputs))

    def join(self, tab: gr.Tab) -> None:
        """Wire what `on_look` was told of a tab, once all of it is built."""
        looks = self._asked.pop(tab._id, [])

        def on_look(*values: Any) -> list[object]:
            shown, given = list[object](), iter(values)
            for look in looks:
                found = look.handler(*(next(given) for _ in look.inputs))
                if len(found) != len(look.outputs):  # else the values of those behind it would land elsewhere
                    raise ValueError(f"{look.handler} gave {len(found)} of {len(look.outputs)} values")
                shown += found
            return shown

        if looks:
            inputs = [part for look in looks for part in look.inputs]
            outputs = [part for look in looks for part in look.outputs]
            gr.on(self.looks_at(tab), on_look, inputs, outputs, **REFRESH)

    def wire(self) -> None:
        """Have the open tab look when another project is taken in hand."""
        self.project.change(None, self.project, None, js=_LOOK_NOW)

    @staticmethod
    def choices(studio: Studio, chosen: str | None) -> gr.Dropdown:
        """The project menu anew, keeping the chosen one while it exists, else taking the first."""
        choices = [(project.name, project.id) for project in list_projects(studio.db)]
        ids = [choice[1] for choice in choices]
        return gr.Dropdown(choices=choices, value=chosen if chosen in ids else (ids[0] if ids else None))
