"""The learning curve as a picture: scores over labels, the fitted line beyond them, the band it lies in. Plain SVG."""

from __future__ import annotations

from studio.jobs.curves import Foretold
from studio.language import tr
from studio.ui.components.html import text

_WIDTH, _HEIGHT = 720, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 112, 16, 36
_ROOM = 0.12
"""Empty space above and below, as a share of the scores' range."""


def learning_curve(told: Foretold) -> str:
    """An SVG of what a curve's points foretell; '' without points."""
    if not told.points:
        return ""
    values = [score for _, score in told.points]
    values += [bound for one in told.line for bound in (one.low, one.high)]
    low, high = _limits(values, told)
    last = max([told.points[-1][0], *(one.labels for one in told.line)])

    def x(labels: float) -> float:
        return _LEFT + labels / last * (_WIDTH - _LEFT - _RIGHT)

    def y(score: float) -> float:
        inside = min(high, max(low, score))
        return _HEIGHT - _BOTTOM - (inside - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    return (
        f'<div class="chart learning"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{text(_in_words(told))}">{_grid(low, high, y)}{_axis(last, told, x)}{_band(told, x, y)}'
        f"{_dots(told, x, y)}{_end(told, x, y)}</svg></div>"
    )


def figure(score: float, told: Foretold) -> str:
    """A score in words: shares as per cent, others with two or three digits behind the point."""
    if told.best == 1.0 and told.higher_better:
        return tr("{percent:.1f} %", percent=100 * score)
    return tr("{figure:.1f}", figure=score) if told.higher_better else tr("{figure:.3f}", figure=score)


def _limits(values: list[float], told: Foretold) -> tuple[float, float]:
    """What the axis shows: all values with some room, never beyond what a score can be."""
    low, high = min(values), max(values)
    room = _ROOM * (high - low) or max(abs(high), 1e-3) * _ROOM
    low, high = low - room, high + room
    return (max(low, 0.0), min(high, told.best)) if told.higher_better else (max(low, told.best), high)


def _grid(low: float, high: float, y) -> str:  # type: ignore[no-untyped-def]
    marks = [low + (high - low) * part / 4 for part in range(5)]
    wide = high - low
    digits = 0 if wide >= 10 else 2 if wide >= 0.2 else 3
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:.{digits}f}</text>'
        for mark in marks
    )


def _axis(last: int, told: Foretold, x) -> str:  # type: ignore[no-untyped-def]
    marks = [labels for labels, _ in told.points] + ([last] if last > told.points[-1][0] else [])
    return "".join(
        f'<text x="{x(labels):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{text(_labels(labels) if labels == marks[-1] else tr('{figure:,}', figure=labels))}</text>"
        for labels in marks
    )


def _band(told: Foretold, x, y) -> str:  # type: ignore[no-untyped-def]
    if not told.line:
        return ""
    there = [f"{x(one.labels):.1f},{y(one.high):.1f}" for one in told.line]
    back = [f"{x(one.labels):.1f},{y(one.low):.1f}" for one in reversed(told.line)]
    middle = " ".join(f"{x(one.labels):.1f},{y(one.score):.1f}" for one in told.line)
    return f'<polygon class="band" points="{" ".join([*there, *back])}"/><polyline class="fit" points="{middle}"/>'


def _dots(told: Foretold, x, y) -> str:  # type: ignore[no-untyped-def]
    return "".join(
        f'<circle class="dot" cx="{x(labels):.1f}" cy="{y(score):.1f}" r="4">'
        f"<title>{text(tr('{labels}: {score}', labels=_labels(labels), score=figure(score, told)))}</title></circle>"
        for labels, score in told.points
    )


def _end(told: Foretold, x, y) -> str:  # type: ignore[no-untyped-def]
    """What is foretold, beside the line's end: the middle, and the bounds below it."""
    ahead = told.ahead
    if ahead is None:
        return ""
    at, height = x(ahead.labels) + 8, y(ahead.score)
    bounds = tr("{low} to {high}", low=figure(ahead.low, told), high=figure(ahead.high, told))
    return (
        f'<text class="end" x="{at:.1f}" y="{height:.1f}">{text(figure(ahead.score, told))}</text>'
        f'<text x="{at:.1f}" y="{height + 15:.1f}">{text(bounds)}</text>'
    )


def _in_words(told: Foretold) -> str:
    points = ", ".join(
        tr("{score} with {labels:,}", score=figure(score, told), labels=labels) for labels, score in told.points
    )
    said = {"measure": told.measure, "points": points, "sentence": told.sentence}
    return tr("{measure} over labels: {points}. {sentence}", **said)


def _labels(number: int) -> str:
    return tr("{count:,} labels", count=number)
