"""The loss chart: train and validation over steps, labelled at their ends. Plain SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10

from studio.language import mark, tr
from studio.ui.components.html import text

Point = tuple[float, float]
_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 118, 14, 34
_MOST_POINTS = 300
_TRAIN = mark("train loss {loss:.3f} at step {step:g}")
_VALIDATION = mark("validation loss {loss:.3f} at step {step:g}")


def curve(train: Sequence[Point], validation: Sequence[Point], steps: int) -> str:
    """An SVG of (step, loss) points; `steps` is the length of the whole run. Loss is in nats a target token."""
    train = smoothed([point for point in train if isfinite(point[1])])
    validation = [point for point in validation if isfinite(point[1])]
    losses = [loss for _, loss in [*train, *validation]]
    if not losses:
        return ""
    top = max(losses) * 1.05 or 1.0
    heights = ticks(top)
    last = max([steps, 1, *(step for step, _ in [*train, *validation])])

    def x(step: float) -> float:
        return _LEFT + step / last * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _HEIGHT - _BOTTOM - loss / top * (_HEIGHT - _TOP - _BOTTOM)

    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(t) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in heights
    )
    axis = "".join(
        f'<text x="{x(s):.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{text(label)}</text>'
        for s, label in ((0, "0"), (last / 2, f"{last / 2:g}"), (last, tr("step {step:g}", step=last)))
    )
    parts = [_path(train, x, y, "train"), _path(validation, x, y, "validation")]
    dots = "".join(f'<circle class="dot" cx="{x(s):.1f}" cy="{y(v):.1f}" r="3.2"/>' for s, v in validation)
    ends = _end_labels([("train", train), ("validation", validation)], x, y)
    what = _in_words(train, validation)
    return (
        f'<div class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(what)}">'
        f"{lines}{axis}{''.join(parts)}{dots}{ends}</svg></div>"
    )


def smoothed(points: Sequence[Point]) -> list[Point]:
    """At most `_MOST_POINTS` means of neighbouring points, so that a long run stays a light picture."""
    width = max(1, -(-len(points) // _MOST_POINTS))
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _path(points, x, y, name: str) -> str:  # type: ignore[no-untyped-def]
    if len(points) < 2:
        return ""
    return f'<polyline class="{name}" points="{" ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)}"/>'


def _end_labels(series, x, y) -> str:  # type: ignore[no-untyped-def]
    """Name and last value beside each line's end, pushed apart where they would touch."""
    ends = sorted((y(points[-1][1]), name, points[-1]) for name, points in series if points)
    placed: list[str] = []
    above = float("-inf")
    for height, name, (step, loss) in ends:
        height = max(height, above + 15)
        above = height
        said = tr("{line} {value:.3f}", line=tr(name), value=loss)
        placed.append(f'<text x="{x(step) + 8:.1f}" y="{height + 4:.1f}">{text(said)}</text>')
    return "".join(placed)


def ticks(top: float) -> list[float]:
    """Three to six round values from 0 up to `top`."""
    step = 10 ** floor(log10(top))
    for factor in (1, 0.5, 0.2, 0.1):
        if top / (step * factor) >= 3:
            step *= factor
            break
    return [round(step * i, 10) for i in range(int(top / step) + 1)]


def _in_words(train: Sequence[Point], validation: Sequence[Point]) -> str:
    said = [
        tr(words, loss=points[-1][1], step=points[-1][0])
        for words, points in ((_TRAIN, train), (_VALIDATION, validation))
        if points
    ]
    return tr("Loss over steps: {losses}", losses=", ".join(said))
