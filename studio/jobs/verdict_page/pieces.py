"""The markup of the page: every text is escaped here, and nothing but `Html` goes in as it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Html(str):
    """Markup that is escaped already."""


def text(value: object) -> Html:
    """Any value as text; what no page can hold (control characters, half a character) as a mark of its own."""
    return Html(escape(_CONTROLS.sub("\ufffd", str(value))))


def part(title: str, *body: str, note: str = "") -> Html:
    """A section with its heading, and what has to be known to read it; nothing where it is empty."""
    inner = "".join(body)
    if not inner:
        return Html("")
    told = f'<p class="note">{text(note)}</p>' if note else ""
    return Html(f"<section><h2>{text(title)}</h2>{told}{inner}</section>")


def quiet(words: object) -> Html:
    """A line beside the matter."""
    return Html(f'<p class="quiet">{text(words)}</p>') if words else Html("")


def said(sentence: str) -> Html:
    """A sentence of the report."""
    return Html(f"<p>{text(sentence)}</p>") if sentence else Html("")


def notice(kind: str, words: str) -> Html:
    """A sentence that has to be seen; `kind` is warn or busy."""
    return Html(f'<p class="notice {text(kind)}">{text(words)}</p>')


def chip(words: object, kind: str = "") -> Html:
    """A small label; `kind` colours it: good, bad or none."""
    return Html(f'<span class="chip {text(kind)}">{text(words)}</span>')


def table(
    name: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    numeric: Collection[int] = (),
    kind: str = "",
) -> Html:
    """A table whose first column names its rows; columns in `numeric` stand right. `name` is for screen readers; with
    the kind "stack" a narrow screen shows each row as a list of its cells, named by the headings.
    """
    side = ["num" if at in numeric else "" for at in range(len(head))]
    cells = "".join(f'<th scope="col" class="{c}">{_cell(one)}</th>' for c, one in zip(side, head, strict=True))
    body = "".join(f"<tr>{_row(side, head, row)}</tr>" for row in rows)
    if not body:
        return Html("")
    return Html(
        f'<div class="table {text(kind)}" role="region" aria-label="{text(name)}" tabindex="0"><table><thead><tr>'
        f"{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(side: Sequence[str], head: Sequence[str], row: Sequence[object]) -> str:
    first, *rest = row
    cells = "".join(
        f'<td class="{c}" data-head="{text(name)}">{_cell(one)}</td>'
        for c, name, one in zip(side[1:], head[1:], rest, strict=True)
    )
    return f'<th scope="row" class="{side[0]}">{_cell(first)}</th>{cells}'


def facts(lines: Iterable[tuple[str, object]], kind: str = "facts") -> Html:
    """Names and values; a line without a value is left out."""
    told = "".join(
        f"<div><dt>{text(name)}</dt><dd>{_cell(value)}</dd></div>" for name, value in lines if value not in ("", None)
    )
    return Html(f'<dl class="{text(kind)}">{told}</dl>') if told else Html("")


def code(value: object) -> Html:
    """A hash or an id."""
    return Html(f"<code>{text(value)}</code>") if value else Html("")


def _cell(value: object) -> str:
    return value if isinstance(value, Html) else text(value)
