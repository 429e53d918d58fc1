"""The charts of a preference run: reward margin and accuracy over steps, train and validation named at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from studio.language import tr
from studio.ui.components.html import text

Point = tuple[float, float]
_WIDTH, _HEIGHT = 720, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 118, 12, 30


def rewards(margin: Sequence[Sequence[Point]], accuracy: Sequence[Sequence[Point]], steps: int) -> str:
    """HTML of both charts, from the points (step, value) of train and validation; '' where there are none.

    A margin is a difference of rewards (beta times nats), an accuracy a share from 0 to 1.
    """
    shown = [
        (tr("Reward margin"), tr("how much more the model has come to prefer the better answers"), margin, None),
        (
            tr("Reward accuracy"),
            tr("share of pairs whose better answer has the higher reward"),
            *(accuracy, (0.0, 1.0)),
        ),
    ]
    parts = []
    for title, said, (train, validation), span in shown:
        if picture := _chart(title, [("train", train), ("validation", validation)], steps, span):
            parts.append(f"<h3 style='margin-top:18px'>{text(title)}</h3>{picture}<p class='quiet'>{text(said)}</p>")
    return "".join(parts)


def _chart(
    title: str, lines: Sequence[tuple[str, Sequence[Point]]], steps: int, span: tuple[float, float] | None
) -> str:
    lines = [(name, [point for point in points if isfinite(point[1])]) for name, points in lines]
    lines = [(name, points) for name, points in lines if points]
    if not lines:
        return ""
    values = [value for _, points in lines for _, value in points]
    low, high = span or (min(0.0, *values), max(0.0, *values))
    high = high if high > low else low + 1
    last = max([steps, 1, *(step for _, points in lines for step, _ in points)])

    def x(step: float) -> float:
        return _LEFT + step / last * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    far = (high - low) / 8  # marks nearer to each other than that would be printed over each other
    marks = sorted({0.0, *(value for value in (low, (low + high) / 2, high) if abs(value) > far)})
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in marks
    )
    axis = "".join(
        f'<text x="{x(step):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{text(label)}</text>'
        for step, label in ((0, "0"), (last, tr("step {step:g}", step=last)))
    )
    drawn = "".join(_line(name, [(x(step), y(value)) for step, value in points]) for name, points in lines)
    said = ", ".join(
        tr("{line} {value:.3f} at step {step:g}", line=tr(name), value=points[-1][1], step=points[-1][0])
        for name, points in lines
    )
    ends = _ends([(y(points[-1][1]), x(points[-1][0]), _end(name, points[-1][1])) for name, points in lines])
    label = text(tr("{title}: {values}", title=title, values=said))
    return (
        f'<div class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f"{grid}{axis}{drawn}{ends}</svg></div>"
    )


def _line(name: str, places: Sequence[Point]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = f'<polyline class="{name}" points="{path}"/>' if len(places) > 1 else ""
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>' for x, y in places)
    return line + (dots if name == "validation" else "")


def _end(name: str, value: float) -> str:
    return tr("{line} {value:.3f}", line=tr(name), value=value)


def _ends(labels: Sequence[tuple[float, float, str]]) -> str:
    """Name and last value beside each line's end, pushed apart where they would touch."""
    placed, above = [], float("-inf")
    for height, x, words in sorted(labels):
        above = max(height, above + 15)
        placed.append(f'<text x="{x + 8:.1f}" y="{above + 4:.1f}">{text(words)}</text>')
    return "".join(placed)
