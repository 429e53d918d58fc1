"""A small plot of a figure over time: lines that break where nothing says, or bars of counts. Plain SVG.

What it leaves out: the ends of the time axis, which stand below it as words.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10

from studio.language import tr
from studio.ui.components.html import text

_WIDTH, _HEIGHT = 264, 84
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 4, 8, 6
_MOST_LINES = 2

Value = float | None


def small_lines(lines: Sequence[Sequence[Value]], top: float | None, said: str, per_cent: bool = False) -> str:
    """An SVG of at most two lines of equally many values, None where there is none; `top`: where the axis ends at the
    least, `said`: the plot in words. `per_cent`: values are shares, 0 to 1."""
    known = [value for line in lines for value in line if value is not None and isfinite(value)]
    high = _round_up(max([*known, top or 0.0])) if known else (top or 1.0)
    drawn = "".join(_line(number, line, high) for number, line in enumerate(lines[:_MOST_LINES]))
    return _svg(high, drawn, said, per_cent)


def small_bars(counts: Sequence[int], below: Sequence[int] | None, said: str) -> str:
    """An SVG of counts as bars; `below`: other counts, drawn downwards from the same line."""
    up, down = max([1, *counts]), max([0, *(below or ())])
    high, low = _round_up(up), _round_up(down) if down else 0.0
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(counts))
    zero = _y(0.0, high, -low)
    bars = "".join(
        _bar(place, width, _y(count, high, -low), zero, "bar") for place, count in enumerate(counts) if count
    )
    bars += "".join(
        _bar(place, width, zero, _y(-count, high, -low), "bar down") for place, count in enumerate(below or ()) if count
    )
    return _svg(high, bars, said, False, -low)


def _svg(high: float, drawn: str, said: str, per_cent: bool, low: float = 0.0) -> str:
    marks = sorted({low, 0.0, high}) if low else [0.0, high / 2, high]
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_mark(abs(at), per_cent)}</text>'
        for at, y in ((at, _y(at, high, low)) for at in marks)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(said)}">{grid}{drawn}</svg>'


def _y(value: float, high: float, low: float = 0.0) -> float:
    inside = min(high, max(low, value))
    return _HEIGHT - _BOTTOM - (inside - low) / ((high - low) or 1.0) * (_HEIGHT - _TOP - _BOTTOM)


def _x(place: int, places: int) -> float:
    """The middle of a place: lines and bars of the same time stand above each other."""
    return _LEFT + (place + 0.5) / max(1, places) * (_WIDTH - _LEFT - _RIGHT)


def _line(number: int, values: Sequence[Value], high: float) -> str:
    parts: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None or not isfinite(value):
            parts.append([])
        else:
            parts[-1].append((_x(place, len(values)), _y(value, high)))
    return "".join(
        f'<polyline class="line{number}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in part)}"/>'
        if len(part) > 1
        else f'<circle class="dot{number}" cx="{part[0][0]:.1f}" cy="{part[0][1]:.1f}" r="1.8"/>'
        for part in parts
        if part
    )


def _bar(place: int, width: float, top: float, bottom: float, kind: str) -> str:
    gap = min(1.0, width / 4)
    return (
        f'<rect class="{kind}" x="{_LEFT + place * width + gap / 2:.1f}" y="{top:.1f}" '
        f'width="{max(0.6, width - gap):.1f}" height="{max(0.8, bottom - top):.1f}"/>'
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 10 and so on at or above a value, so that the middle of the axis is a plain number."""
    if not value > 0:
        return 1.0
    unit: float = 10.0 ** floor(log10(value))
    return next((unit * step for step in (1, 2, 4, 5, 10) if unit * step >= value * 0.999999), unit * 10)


def _mark(value: float, per_cent: bool) -> str:
    if per_cent:
        return tr("{share:.3g} %", share=100 * value)
    if value >= 1e6:
        return tr("{number:.3g}M", number=value / 1e6)
    return tr("{number:.3g}k", number=value / 1e3) if value >= 1e4 else tr("{number:.4g}", number=value)
