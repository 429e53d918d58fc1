"""Parallel coordinates: an axis a setting and one for the loss, a line a trial. Plain SVG in the page's own colours.

Each line can be reached by Tab or by the pointer and then says what it is; the table beside it has the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log10

from studio.language import tr
from studio.ui.components.html import text

_WIDTH, _HEIGHT = 720, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 74, 40, 30
_MOST_STOPS = 40
_LOG_RATIO = 10.0

Value = str | int | float


@dataclass(frozen=True)
class Axis:
    """A setting: `values` to choose from, or None for the numbers from `low` to `high`, by exponents when `log`."""

    name: str
    values: tuple[Value, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def place(self, value: Value) -> float:
        """Where a value stands, 0 (bottom) to 1."""
        if self.values is not None:
            last = max(1, len(self.values) - 1)
            return self.values.index(value) / last if value in self.values else 0.0
        if isinstance(value, str) or self.high <= self.low:
            return 0.5
        if self.log:
            return (log10(max(value, self.low)) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[Value]:
        """What is written beside the axis, from the bottom."""
        if self.values is not None:
            return list(self.values)
        middle = (self.low * self.high) ** 0.5 if self.log else (self.low + self.high) / 2
        return [self.low, middle, self.high] if self.high > self.low else [self.low]


@dataclass(frozen=True)
class Line:
    """A trial: a value for each axis but the last, its loss, and in words what is said of it. `kind`: best, done or
    pruned."""

    name: str
    values: tuple[Value, ...]
    loss: float
    kind: str
    words: str


def parallel(axes: Sequence[Axis], lines: Sequence[Line], loss_name: str) -> str:
    """An SVG of the trials that have a loss; '' without any."""
    lines = [line for line in lines if isfinite(line.loss)]
    if not lines or not axes:
        return ""
    every = [*axes, _loss_axis(loss_name, [line.loss for line in lines])]
    ranked = sorted(lines, key=lambda line: (line.kind == "best", -line.loss))  # the best on top of all
    places = {id(line): rank for rank, line in enumerate(reversed(ranked))}
    drawn = "".join(_line(every, line, places[id(line)], len(ranked)) for line in ranked)
    names = ", ".join(axis.name for axis in axes)
    said = tr("{count} trials over {settings} and {loss}", count=len(lines), settings=names, loss=loss_name)
    return (
        f'<div class="chart parallel"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" aria-label="{text(said)}">'
        f"{''.join(_bar(every, place) for place in range(len(every)))}{drawn}"
        f"{''.join(_labels(every, place) for place in range(len(every)))}</svg></div>"
    )


def _loss_axis(name: str, losses: Sequence[float]) -> Axis:
    low, high = min(losses), max(losses)
    return Axis(name, None, low, high, log=low > 0 and high / low > _LOG_RATIO)


def _x(axes: Sequence[Axis], place: int) -> float:
    return _LEFT + place / max(1, len(axes) - 1) * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - min(1.0, max(0.0, share)) * (_HEIGHT - _TOP - _BOTTOM)


def _bar(axes: Sequence[Axis], place: int) -> str:
    x = _x(axes, place)
    return f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'


def _labels(axes: Sequence[Axis], place: int) -> str:
    """Name and ticks of an axis, drawn above the lines so that they can be read."""
    axis, x = axes[place], _x(axes, place)
    last = place == len(axes) - 1
    side, anchor = (10, "start") if last else (-8, "end")
    ticks = "".join(
        f'<text class="tick" x="{x + side:.1f}" y="{_y(axis.place(value)) + 4:.1f}" text-anchor="{anchor}">'
        f"{text(_short(value))}</text>"
        for value in axis.ticks
    )
    end = "start" if place == 0 else "end" if last else "middle"
    at = x - _LEFT + 6 if place == 0 else x + _RIGHT - 6 if last else x
    return f'{ticks}<text class="name" x="{at:.1f}" y="{_TOP - 18}" text-anchor="{end}">{text(axis.name)}</text>'


def _line(axes: Sequence[Axis], line: Line, rank: int, count: int) -> str:
    shares = [axis.place(value) for axis, value in zip(axes, (*line.values, line.loss), strict=True)]
    points = " ".join(f"{_x(axes, place):.1f},{_y(share):.1f}" for place, share in enumerate(shares))
    strength = 0.9 - 0.65 * rank / max(1, count - 1)
    stop = ' tabindex="0"' if rank < _MOST_STOPS else ""
    return (
        f'<g class="one {line.kind}" role="img" aria-label="{text(line.words)}"{stop}><title>{text(line.words)}</title>'
        f'<polyline class="reach" points="{points}"/>'
        f'<polyline class="seen" style="opacity:{strength:.2f}" points="{points}"/>'
        f'<text class="said" x="{_LEFT}" y="{_HEIGHT - 6}">{text(line.words)}</text></g>'
    )


def _short(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    shown = str(value)
    return shown if len(shown) <= 12 else shown[:11] + "…"
