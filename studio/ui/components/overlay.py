"""The loss curves of several runs in one plot, each run labelled at its end. Plain SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from studio.language import tr
from studio.ui.components.curve import Point, smoothed, ticks
from studio.ui.components.html import text

MOST_RUNS = 4
_LOSS = "{loss:.3f}"
_WIDTH, _HEIGHT = 720, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 120, 14, 34


@dataclass(frozen=True)
class Losses:
    """The losses of a run in nats a target token, (step, loss) each in order of steps."""

    name: str
    train: Sequence[Point]
    validation: Sequence[Point]

    def finite(self) -> Losses:
        """Without what cannot be drawn, and not more points than a picture needs."""
        train = smoothed([point for point in self.train if isfinite(point[1])])
        return Losses(self.name, train, [point for point in self.validation if isfinite(point[1])])

    @property
    def end(self) -> Point | None:
        """Where the label stands: the end of the validation losses, or of the training losses where there are none."""
        points = self.validation or self.train
        return points[-1] if points else None


def overlay(runs: Sequence[Losses]) -> str:
    """An SVG of at most four runs: validation thick with dots, training thin; '' where there is nothing to draw."""
    drawn = [run for run in (run.finite() for run in runs[:MOST_RUNS]) if run.end]
    if not drawn:
        return ""
    points = [point for run in drawn for point in (*run.train, *run.validation)]
    top, last = max(loss for _, loss in points) * 1.05 or 1.0, max(1.0, *(step for step, _ in points))

    def x(step: float) -> float:
        return _LEFT + step / last * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _HEIGHT - _BOTTOM - max(0.0, loss) / top * (_HEIGHT - _TOP - _BOTTOM)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(t) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in ticks(top)
    )
    axis = "".join(
        f'<text x="{x(s):.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{text(label)}</text>'
        for s, label in ((0, "0"), (last / 2, f"{last / 2:g}"), (last, tr("step {step:g}", step=last)))
    )
    paths = "".join(_paths(number, run, x, y) for number, run in enumerate(drawn))
    ends = "; ".join(tr("{run} ends at {loss:.3f}", run=run.name, loss=run.end[1]) for run in drawn if run.end)
    label = text(tr("Losses over steps. {losses}", losses=ends))
    return (
        f'<div class="chart lines overlay"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}">{grid}{axis}{paths}{_labels(drawn, x, y)}</svg></div>'
    )


def _paths(number: int, run: Losses, x, y) -> str:  # type: ignore[no-untyped-def]
    train, validation = (
        " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in points) for points in (run.train, run.validation)
    )
    dots = "".join(f'<circle class="dot{number}" cx="{x(s):.1f}" cy="{y(v):.1f}" r="3.2"/>' for s, v in run.validation)
    thin = f'<polyline class="thin line{number}" points="{train}"/>' if len(run.train) > 1 else ""
    thick = f'<polyline class="line{number}" points="{validation}"/>' if len(run.validation) > 1 else ""
    return thin + thick + dots


def _labels(runs: Sequence[Losses], x, y) -> str:  # type: ignore[no-untyped-def]
    """Name and last loss beside each run's end, pushed apart where they would touch, and back up from the bottom."""
    ends = sorted((y(run.end[1]), number, run.name, run.end) for number, run in enumerate(runs) if run.end)
    heights: list[float] = []
    for height, *_ in ends:
        heights.append(max(height, heights[-1] + 16) if heights else height)
    over = max(0.0, heights[-1] - (_HEIGHT - _BOTTOM))
    return "".join(
        f'<text class="end{number}" x="{x(step) + 8:.1f}" y="{height - over + 4:.1f}">{text(name)} '
        f"{tr(_LOSS, loss=loss)}</text>"
        for height, (_, number, name, (step, loss)) in zip(heights, ends, strict=True)
    )
