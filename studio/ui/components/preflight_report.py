"""The preflight's report as a component: a list of findings whose buttons are events. Keys and clicks are in the .js.

Its one event is `act`, with {act, finding, page, row, number, ids, field, hash, text}: `act` is open, turn, one of the
repairs, undo, change, save, cancel, freeze or label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

_SCRIPT = Path(__file__).with_name("preflight_report.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Act:
    """What was clicked. `finding` is its place in the report (-1 outside of one); `ids` are the rows chosen, () for
    all; `row` one example; `number` a repair."""

    act: str
    finding: int
    page: int
    row: str
    number: int
    ids: tuple[str, ...]
    field: str
    hash: str
    text: str


def preflight_report(elem_id: str) -> gr.HTML:
    """A place for the report, or for the list of steps."""
    return gr.HTML("", html_template="${value}", js_on_load=_SCRIPT, elem_id=elem_id)


def act_of(event: gr.EventData) -> Act:
    """What an `act` event says. Anything may stand in it: a browser sent it."""
    said: Mapping[str, Any] = event._data
    ids = said.get("ids")
    return Act(
        *(str(said.get("act", "")), _whole(said.get("finding"), -1), max(1, _whole(said.get("page"), 1))),
        *(str(said.get("row", "")), _whole(said.get("number"), 0)),
        tuple(str(one) for one in ids) if isinstance(ids, list) else (),
        *(str(said.get(name, "")) for name in ("field", "hash", "text")),
    )


def _whole(value: object, otherwise: int) -> int:
    return int(value) if isinstance(value, (int, float)) and abs(value) < 1e12 else otherwise
