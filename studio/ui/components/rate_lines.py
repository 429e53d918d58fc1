"""A plot of shares over days, a line a source, labelled at the ends. Plain SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from studio.language import tr
from studio.ui.components.html import text

Point = tuple[date, float]
_WIDTH, _HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 130, 12, 30
_MOST = 4


def rate_lines(lines: Sequence[tuple[str, Sequence[Point]]], what: str) -> str:
    """An SVG of at most four (name, points of (day, share from 0 to 1)); a day without a point is bridged. `what` says
    to a screen reader what the shares are."""
    lines = [(name, sorted(points)) for name, points in lines if points][:_MOST]
    if not lines:
        return ""
    first = min(points[0][0] for _, points in lines)
    last = max(points[-1][0] for _, points in lines)
    days = max(1, (last - first).days)

    def x(day: date) -> float:
        return _LEFT + (day - first).days / days * (_WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        for share in (0, 0.5, 1)
    )
    ends = [(first, "start"), (last, "end")] if last > first else [(first, "start")]
    axis = "".join(
        f'<text x="{x(day):.1f}" y="{_HEIGHT - 8}" text-anchor="{side}">{day:%d %b}</text>' for day, side in ends
    )
    marks = "".join(
        _marks(number, [(x(day), y(share)) for day, share in points]) for number, (_, points) in enumerate(lines)
    )
    said = "; ".join(f"{name} {points[-1][1]:.0%}" for name, points in lines)
    return (
        f'<div class="chart lines"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{text(tr("{what}, last: {shares}", what=what, shares=said))}">{grid}{axis}{marks}'
        f"{_labels([(name, x(points[-1][0]), y(points[-1][1]), points[-1][1]) for name, points in lines])}</svg></div>"
    )


def _marks(number: int, points: Sequence[tuple[float, float]]) -> str:
    dots = "".join(f'<circle class="dot{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line{number}" points="{path}"/>{dots}' if len(points) > 1 else dots


def _labels(ends: Sequence[tuple[str, float, float, float]]) -> str:
    """Name and last share beside each line's end, pushed apart where they would touch."""
    placed, above = [], float("-inf")
    for name, x, y, share in sorted(ends, key=lambda end: end[2]):
        above = max(y, above + 16)
        placed.append(f'<text x="{x + 8:.1f}" y="{above + 4:.1f}">{text(name)} {share:.0%}</text>')
    return "".join(placed)
