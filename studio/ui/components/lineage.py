"""The picture and the table of a lineage: from what a thing was made, and what was made of it. Plain SVG and HTML.

Two pictures of the same graph: in columns from left to right, and for narrow places one thing a line with arcs between
the lines; the stylesheet shows the one that fits. What they leave out, the table has: more than MOST things of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studio.data.lineage import Lineage, Node
from studio.language import mark, tr, trn
from studio.ui.components.html import text

MOST = 12
_COLUMNS = (("comparison",), ("example", "annotator", "guidelines"), ("annotation",), ("snapshot",), ("run",))
_WORDS = {
    "comparison": mark("Comparison"),
    "example": mark("Example"),
    "annotator": mark("Annotator"),
    "guidelines": mark("Guidelines"),
    "annotation": mark("Answer"),
    "snapshot": mark("Snapshot"),
    "run": mark("Run"),
}
_WIDTH, _HEIGHT, _GAP, _ROW = 150, 46, 42, 58
_LETTERS = 20
_LINE, _LEFT = 44, 58
Place = tuple[float, float]


def lineage_html(found: Lineage) -> str:
    """Both pictures and the table."""
    shown, hidden = _shown(found)
    edges = [edge for edge in found.edges if edge[0] in shown and edge[1] in shown]
    words = ", ".join(_counted(kind, sum(node.kind == kind for node in found.nodes)) for kind in _WORDS)
    left = trn("{count:,} more thing in the table only.", "{count:,} more things in the table only.", hidden)
    more = f'<p class="quiet">{text(left)}</p>' if hidden else ""
    return (
        f'<div class="lineage">{_wide(found.id, shown, edges, words)}{_narrow(found.id, shown, edges, words)}{more}'
        f"{_table(found)}</div>"
    )


def _counted(kind: str, number: int) -> str:
    """How many things of a kind there are, in words."""
    return {
        "comparison": trn("{count:,} comparison", "{count:,} comparisons", number),
        "example": trn("{count:,} example", "{count:,} examples", number),
        "annotator": trn("{count:,} annotator", "{count:,} annotators", number),
        "guidelines": trn("{count:,} guidelines", "{count:,} guidelines", number),
        "annotation": trn("{count:,} answer", "{count:,} answers", number),
        "snapshot": trn("{count:,} snapshot", "{count:,} snapshots", number),
        "run": trn("{count:,} run", "{count:,} runs", number),
    }[kind]


def _shown(found: Lineage) -> tuple[dict[str, Node], int]:
    """The nodes of the picture: the first MOST of each kind, in any case the one that was asked for."""
    kept: dict[str, Node] = {}
    for kind in _WORDS:
        of_kind = [node for node in found.nodes if node.kind == kind]
        first = sorted(of_kind, key=lambda node: node.id != found.id)[:MOST]
        kept.update((node.id, node) for node in of_kind if node in first)
    return kept, len(found.nodes) - len(kept)


def _wide(own: str, nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]], words: str) -> str:
    """Columns from left to right."""
    columns = [[node for node in nodes.values() if node.kind in kinds] for kinds in _COLUMNS]
    columns = [column for column in columns if column]
    tallest = max((len(column) for column in columns), default=1)
    places: dict[str, Place] = {}
    for at, column in enumerate(columns):
        top = (tallest - len(column)) * _ROW / 2
        places.update((n.id, (2 + at * (_WIDTH + _GAP), 2 + top + row * _ROW)) for row, n in enumerate(column))
    lines = "".join(_curve(places[start], places[end]) for start, end in edges)
    boxes = "".join(_box(node, places[node.id], node.id == own) for node in nodes.values())
    width, height = 4 + len(columns) * (_WIDTH + _GAP) - _GAP, 4 + tallest * _ROW - (_ROW - _HEIGHT)
    label, told = text(tr("Picture of the lineage")), text(tr("Lineage: {words}", words=words))
    return (
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><svg width="{width}" '
        f'height="{height}" role="img" aria-label="{told}">{lines}{boxes}</svg></div>'
    )


def _curve(start: Place, end: Place) -> str:
    if start[0] == end[0]:  # in one column: the later answer was made from the earlier one
        x, y1, y2 = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[1] + _HEIGHT / 2
        far = x + 20
        return f'<path class="edge" d="M{x:.0f} {y1:.0f}C{far:.0f} {y1:.0f} {far:.0f} {y2:.0f} {x:.0f} {y2:.0f}"/>'
    x1, y1, x2, y2 = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[0], end[1] + _HEIGHT / 2
    middle = (x1 + x2) / 2
    return f'<path class="edge" d="M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"/>'


def _box(node: Node, place: Place, own: bool) -> str:
    x, y = place
    return (
        f'<rect class="{"own" if own else node.kind}" x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="8"/><text class="what" x="{x + 10:.0f}" y="{y + 19:.0f}">{text(_short(node.text, _LETTERS))}</text>'
        f'<text class="kind" x="{x + 10:.0f}" y="{y + 36:.0f}">{text(_short(_second(node), _LETTERS + 2))}</text>'
    )


def _second(node: Node) -> str:
    """The second line of a thing: its kind, unless the first says it, and its state."""
    kind = tr(_WORDS[node.kind])
    return " · ".join(filter(None, ("" if node.text.startswith(kind) else kind, node.detail)))


def _narrow(own: str, nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]], words: str) -> str:
    """One thing a line, arcs at the left from each to what was made of it."""
    rows = {id: row * _LINE + 22.0 for row, id in enumerate(nodes)}
    arcs = "".join(_arc(rows[start], rows[end]) for start, end in edges)
    marks = "".join(
        f'<circle class="{"own" if id == own else "dot"}" cx="{_LEFT}" cy="{rows[id]:.0f}" r="5"/>'
        f'<text class="what" x="{_LEFT + 16}" y="{rows[id]:.0f}">{text(_short(node.text, 34))}</text>'
        f'<text class="kind" x="{_LEFT + 16}" y="{rows[id] + 16:.0f}">'
        f"{text(_short(_second(node), 42))}</text>"
        for id, node in nodes.items()
    )
    told = text(tr("Lineage: {words}", words=words))
    return (
        f'<div class="slim"><svg width="100%" height="{len(rows) * _LINE}" role="img" '
        f'aria-label="{told}">{arcs}{marks}</svg></div>'
    )


def _arc(start: float, end: float) -> str:
    far = _LEFT - 8 - min(_LEFT - 12, 6 + abs(end - start) / 5)
    x = _LEFT - 5
    return f'<path class="edge" d="M{x} {start:.0f}C{far:.0f} {start:.0f} {far:.0f} {end:.0f} {x} {end:.0f}"/>'


def _table(found: Lineage) -> str:
    """Every thing with what it was made from; headings as rows of a list where it is narrow."""
    names = {node.id: _short(node.text, 40) for node in found.nodes}
    made: dict[str, list[str]] = {}
    for start, end in found.edges:
        made.setdefault(end, []).append(names[start])
    rows = "".join(
        f"<tr><td>{text(node.text)}<small>{text(tr(_WORDS[node.kind]))}</small></td><td>{text(node.detail)}</td>"
        f"<td>{text(_several(made.get(node.id, [])))}</td></tr>"
        for node in found.nodes
    )
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in (tr("What"), tr("State"), tr("Made from")))
    return f'<div class="table rows"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _several(names: Sequence[str]) -> str:
    first, more = ", ".join(names[:MOST]), len(names) - MOST
    return tr("{names} and {count:,} more", names=first, count=more) if more > 0 else first


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
