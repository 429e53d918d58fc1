"""Small pieces of escaped HTML: the only place where screens put markup together.

`gr.HTML` shows its value raw, so every text goes through `text()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

import gradio as gr

from studio.contract.figures import count as count
from studio.contract.figures import duration as duration
from studio.language import tr

_CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-id]');
  if (button) trigger('open', { id: button.dataset.id });
});
"""


def cards() -> gr.HTML:
    """A list whose buttons carry `data-id`; a click is the event `.open(handler)` with `{"id"}` (see `opened`).

    A function and no subclass of gr.HTML: for each subclass Gradio writes a .pyi file beside the source.
    """
    return gr.HTML("", html_template="${value}", js_on_load=_CLICKS)


def opened(event: gr.EventData) -> str:
    """The id that was clicked in a list of `cards`."""
    return str(event._data["id"])


def text(value: object) -> str:
    """Any value as text in HTML."""
    return escape(str(value))


def empty(title: str, what_to_do: str) -> str:
    """A quiet empty state: what is missing and how to get it."""
    return f'<div class="empty"><strong>{text(title)}</strong><p>{text(what_to_do)}</p></div>'


def awaited(height: int) -> str:
    """Bars of so many pixels for what is still to come, so that nothing below it moves when it does."""
    return f'<div class="awaited" aria-hidden="true" style="height:{height}px"></div>'


def notice(kind: str, message: str, details: Iterable[str] = ()) -> str:
    """A sentence for people. `kind` is good, warn, bad or busy; details are folded."""
    rows = "".join(f"<li>{text(detail)}</li>" for detail in details)
    folded = f"<details><summary>{text(tr('Details'))}</summary><ul>{rows}</ul></details>" if rows else ""
    return f'<div class="notice {text(kind)}" role="status"><p>{text(message)}</p>{folded}</div>'


def chip(label: object, kind: str = "") -> str:
    """A small label; `kind` colours it: good, warn, bad, busy or none."""
    return f'<span class="chip {text(kind)}">{text(label)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = ()) -> str:
    """A plain table; columns in `numeric` stand right."""
    side = ["num" if index in numeric else "" for index in range(len(head))]
    cells = "".join(f'<th scope="col" class="{c}">{text(name)}</th>' for c, name in zip(side, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{c}">{text(v)}</td>' for c, v in zip(side, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="table"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def bar(fraction: float, label: str) -> str:
    """A progress bar with its words."""
    percent = min(100.0, max(0.0, 100 * fraction))
    return (
        f'<div class="progress" role="progressbar" aria-label="{text(label)}" aria-valuenow="{percent:.0f}" '
        f'aria-valuemin="0" aria-valuemax="100"><div style="width:{percent:.1f}%"></div></div>'
        f'<p class="quiet">{text(label)}</p>'
    )


def moment(when: datetime) -> str:
    """A time: UTC in the markup, shown in the reader's zone by the page's script."""
    iso = when.isoformat(timespec="seconds")
    return f'<time datetime="{iso}" title="{when:%Y-%m-%d %H:%M} UTC">{when:%Y-%m-%d %H:%M} UTC</time>'


def number(value: float) -> str:
    """A whole number, or as many digits as it has, with the separators of the reader's language."""
    return tr("{number:,}", number=value)


def size(count: float) -> str:
    """Bytes as people say them."""
    return tr("{size:.1f} GB", size=count / 2**30) if count >= 2**30 else tr("{size:.0f} MB", size=count / 2**20)
