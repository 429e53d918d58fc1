"""Tables that are more than text: sorted by a click on a heading, rows chosen by check box, intervals as bars.

Sorting and choosing happen in the page: nothing is asked of the server for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import gradio as gr

from studio.language import tr
from studio.ui.components.html import text

_SORT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('th button');
  if (!button) return;
  const head = button.closest('th'), table = head.closest('table'), place = [...head.parentNode.children].indexOf(head);
  const down = head.getAttribute('aria-sort') !== 'descending';
  for (const other of head.parentNode.children) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const key = (row) => row.children[place].dataset.sort;
  const compare = (a, b) => {
    if (key(a) === '' || key(b) === '') return (key(a) === '') - (key(b) === '');   // what is missing stands last
    const [x, y] = [Number(key(a)), Number(key(b))];
    const order = isNaN(x) || isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
    return down ? -order : order;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
});
"""

_CHOOSE = """
const boxes = () => [...element.querySelectorAll('tbody input[type=checkbox]')];
const count = () => {
  const chosen = boxes().filter((box) => box.checked).length;
  const all = element.querySelector('thead input'), button = element.querySelector('[data-act]');
  if (all) { all.checked = chosen > 0 && chosen === boxes().length; all.indeterminate = chosen > 0 && !all.checked; }
  if (button) { button.disabled = !chosen; button.querySelector('span').textContent = chosen ? ` (${chosen})` : ''; }
};
element.addEventListener('change', (event) => {
  if (event.target.closest('thead')) for (const box of boxes()) box.checked = event.target.checked;
  count();
});
element.addEventListener('click', (event) => {
  if (!event.target.closest('[data-act]')) return;
  trigger('chosen', { ids: boxes().filter((box) => box.checked).map((box) => box.dataset.id) });
});
"""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and what its column is sorted by ('' for missing). `html` is already escaped."""

    html: str
    key: float | str = ""


def sorted_table() -> gr.HTML:
    """A place for `sortable` tables."""
    return gr.HTML("", html_template="${value}", js_on_load=_SORT)


def chosen_table() -> gr.HTML:
    """A place for a `choosable` table: a click on its button is the event `.chosen(handler)` (see `chosen_ids`)."""
    return gr.HTML("", html_template="${value}", js_on_load=_CHOOSE)


def chosen_ids(event: gr.EventData) -> list[str]:
    """The rows that were chosen in a `choosable` table."""
    found = event._data["ids"]
    return [str(one) for one in found] if isinstance(found, list) else []


def sortable(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], numeric: Sequence[int]) -> str:
    """A table whose headings sort it, biggest first and at the next click smallest first."""
    side = ["num" if index in numeric else "" for index in range(len(head))]
    cells = "".join(
        f'<th scope="col" class="{c}"><button type="button">{text(name)}</button></th>'
        for c, name in zip(side, head, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{c}" data-sort="{text(cell.key)}" data-head="{text(name)}">{cell.html}</td>'
            for c, name, cell in zip(side, head, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="table sortable" role="region" aria-label="{text(caption)}" tabindex="0">'
        f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def choosable(
    act: str, head: Sequence[str], rows: Iterable[tuple[str, str, Sequence[str]]], numeric: Sequence[int]
) -> str:
    """A table of (id, words that name the row, cells as escaped HTML) with a check box a row, and the button `act`."""
    side = ["num" if index in numeric else "" for index in range(len(head))]
    cells = "".join(f'<th scope="col" class="{c}">{text(name)}</th>' for c, name in zip(side, head, strict=True))
    body = "".join(
        f'<tr><td class="pick"><input type="checkbox" data-id="{text(key)}" aria-label="{_choose(name)}"></td>'
        + "".join(f'<td class="{c}">{cell}</td>' for c, cell in zip(side, row, strict=True))
        + "</tr>"
        for key, name, row in rows
    )
    caption, every = text(tr("Likely wrong labels")), text(tr("Choose all"))
    return (
        f'<div class="choosable"><div class="table" role="region" aria-label="{caption}" tabindex="0"><table>'
        f'<thead><tr><th class="pick"><input type="checkbox" aria-label="{every}"></th>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<button type="button" data-act disabled>{text(act)}<span></span></button></div>'
    )


def _choose(name: str) -> str:
    return text(tr("Choose {name}", name=name))


def interval(low: float, value: float, high: float, least: float, most: float) -> str:
    """A 95 % interval as a bar on a scale from `least` to `most`, with a dot at the value."""

    def place(number: float) -> float:
        return 100 * (min(max(number, least), most) - least) / (most - least)

    zero = f'<i class="zero" style="left:{place(0):.1f}%"></i>' if least < 0 < most else ""
    return (
        f'<span class="interval" aria-hidden="true">{zero}<i class="span" style="left:{place(low):.1f}%;'
        f'width:{max(1.0, place(high) - place(low)):.1f}%"></i>'
        f'<i class="dot" style="left:{place(value):.1f}%"></i></span>'
    )
