"""A plot of a few lines over days, labelled at their ends. Plain SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from studio.language import tr
from studio.ui.components.html import text

_WIDTH, _HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 150, 12, 30
_MOST = 4
_NAME = 16


def day_lines(days: Sequence[date], lines: Sequence[tuple[str, Sequence[int]]], what: str) -> str:
    """An SVG of at most four (name, count of each day); `what` names the counts for a screen reader."""
    lines = lines[:_MOST]
    if not days or not lines:
        return ""
    top = max(1, *(max(counts) for _, counts in lines))
    wide = max(1, len(days) - 1)

    def x(place: int) -> float:
        return _LEFT + place / wide * (_WIDTH - _LEFT - _RIGHT)

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / top * (_HEIGHT - _TOP - _BOTTOM)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>'
        for tick in sorted({0, top // 2, top})
    )
    ends = {0: "start", len(days) - 1: "end"} if len(days) > 1 else {0: "start"}
    axis = "".join(
        f'<text x="{x(place):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{days[place]:%d %b}</text>'
        for place, anchor in ends.items()
    )
    paths = "".join(_line(number, counts, x, y) for number, (_, counts) in enumerate(lines))
    said = "; ".join(f"{name}: {sum(counts)}" for name, counts in lines)
    span = {"first": f"{days[0]:%d %b}", "last": f"{days[-1]:%d %b}"}
    label = tr("{what}, {first} to {last}. {counts}", what=what, counts=said, **span)
    return (
        f'<div class="chart lines"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(label)}">'
        f"{grid}{axis}{paths}{_end_labels(lines, x, y)}</svg></div>"
    )


def _line(number, counts, x, y) -> str:  # type: ignore[no-untyped-def]
    if len(counts) == 1:
        return f'<circle class="dot{number}" cx="{x(0):.1f}" cy="{y(counts[0]):.1f}" r="3.5"/>'
    points = " ".join(f"{x(place):.1f},{y(count):.1f}" for place, count in enumerate(counts))
    return f'<polyline class="line{number}" points="{points}"/>'


def _end_labels(lines, x, y) -> str:  # type: ignore[no-untyped-def]
    """Each name beside its line's end, pushed apart (and up from the bottom) where they would touch."""
    ends = sorted((y(counts[-1]), number, name, counts) for number, (name, counts) in enumerate(lines))
    heights: list[float] = []
    for height, *_ in ends:
        heights.append(max(height, heights[-1] + 16) if heights else height)
    over = max(0.0, heights[-1] - (_HEIGHT - _BOTTOM))
    heights = [height - over for height in heights]
    return "".join(
        f'<text class="end{number}" x="{x(len(counts) - 1) + 8:.1f}" y="{height + 4:.1f}">'
        f"{text(name if len(name) <= _NAME else name[: _NAME - 1] + '…')} {counts[-1]}</text>"
        for height, (_, number, name, counts) in zip(heights, ends, strict=True)
    )
