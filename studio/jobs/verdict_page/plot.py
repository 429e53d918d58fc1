"""Differences with their intervals as inline SVG: metrics of one unit share one scale, each bar has its own words.

What it leaves out: metrics without a difference, and colours (page.css).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from studio.contract.evaluation import MetricReport
from studio.evaluation.scoring import MEASURES
from studio.jobs.evaluation_said import between, signed
from studio.jobs.verdict_page.pieces import Html, text
from studio.language import mark, tr

_WIDTH, _HEIGHT, _EDGE = 400, 26, 8
_ABOUT_TICKS = 4
_UNITS = {"loss": mark("nats a token"), "perplexity": mark("perplexity")}


@dataclass(frozen=True)
class _Scale:
    """From `least` to `most`, which always hold zero, over the width of the picture."""

    least: float
    most: float

    def x(self, value: float) -> float:
        share = (value - self.least) / (self.most - self.least)
        return _EDGE + min(max(share, 0.0), 1.0) * (_WIDTH - 2 * _EDGE)


def unit_of(name: str) -> str:
    """What a metric is counted in, in English; of a metric of one's own nobody knows it."""
    if name in _UNITS:
        return _UNITS[name]
    measure = MEASURES.get(name)
    if measure is None:
        return ""
    return mark("points of 100") if measure.best == 100 else mark("on a scale from 0 to 1")


def differences(metrics: Mapping[str, MetricReport]) -> Html:
    """A picture for each unit; a metric whose unit nobody knows stands on a scale of its own."""
    groups: dict[str, list[MetricReport]] = {}
    for name, one in metrics.items():
        if isfinite(one.difference):
            groups.setdefault(unit_of(name) or f"= {name}", []).append(one)
    return Html("".join(_group("" if unit.startswith("= ") else unit, found) for unit, found in groups.items()))


def spark(low: float | None, value: float, high: float | None, reach: float) -> Html:
    """One interval without words, zero in its middle, for a cell beside its figures."""

    def x(number: float) -> float:
        return 60 + 54 * min(max(number / (reach or 1.0), -1.0), 1.0)

    bar = ""
    if low is not None and high is not None:
        bar = f'<line class="bar" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="10" y2="10"/>'
    return Html(
        '<svg class="spark" viewBox="0 0 120 20" aria-hidden="true"><line class="zero" x1="60" x2="60" y1="0" y2="20"/>'
        f'{bar}<circle cx="{x(value):.1f}" cy="10" r="3.5"/></svg>'
    )


def _group(unit: str, found: Sequence[MetricReport]) -> str:
    scale, ticks = _scale(found)
    rows = "".join(_line(one, scale, ticks, unit) for one in found)
    marks = "".join(
        f'<text x="{scale.x(tick):.1f}" y="12" text-anchor="{_anchor(scale.x(tick))}">{text(_tick(tick))}</text>'
        for tick in ticks
    )
    what = tr("difference, {unit}", unit=tr(unit)) if unit else tr("difference")
    axis = f'<svg viewBox="0 0 {_WIDTH} 16" aria-hidden="true">{marks}</svg>'
    return (
        f'<figure class="differences">{rows}<div class="line axis"><span></span><span>{axis}</span><span></span></div>'
        f"<figcaption>{text(what)}</figcaption></figure>"
    )


def _line(one: MetricReport, scale: _Scale, ticks: Sequence[float], unit: str) -> str:
    known = between(one.low, one.high)
    said = tr("{metric}: {difference}", metric=tr(one.title), difference=signed(one.difference))
    label = f"{said}{f' ({known})' if known else ''}{f' {tr(unit)}' if unit else ''}"
    shown = _picture(scale, ticks, one.low, one.difference, one.high, _kind(one), label)
    less = "" if one.higher else f" <small>{text(tr('less is better'))}</small>"
    ends = f"<small>{text(known or tr('interval not known'))}</small>"
    return (
        f'<div class="line"><span class="name">{text(tr(one.title))}{less}</span><span>{shown}</span>'
        f'<span class="said"><b>{text(signed(one.difference))}</b> {ends}</span></div>'
    )


def _kind(one: MetricReport) -> str:
    """Good or bad only where the interval leaves zero out."""
    if one.low is None or one.high is None or one.low <= 0 <= one.high:
        return ""
    return "good" if (one.difference > 0) == one.higher else "bad"


def _picture(
    scale: _Scale,
    ticks: Sequence[float],
    low: float | None,
    value: float,
    high: float | None,
    kind: str,
    label: str,
) -> str:
    middle = _HEIGHT / 2
    grid = "".join(
        f'<line class="grid" x1="{scale.x(tick):.1f}" x2="{scale.x(tick):.1f}" y1="0" y2="{_HEIGHT}"/>'
        for tick in ticks
    )
    bar = ""
    if low is not None and high is not None:
        left, right = scale.x(low), scale.x(high)
        bar = f'<line class="bar" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>' + "".join(
            f'<line class="end" x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 5}" y2="{middle + 5}"/>' for x in (left, right)
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="{kind}" role="img" aria-label="{text(label)}">{grid}'
        f'<line class="zero" x1="{scale.x(0):.1f}" x2="{scale.x(0):.1f}" y1="0" y2="{_HEIGHT}"/>{bar}'
        f'<circle cx="{scale.x(value):.1f}" cy="{middle}" r="4.5"/></svg>'
    )


def _scale(found: Sequence[MetricReport]) -> tuple[_Scale, list[float]]:
    values = [value for one in found for value in (one.low, one.difference, one.high) if value is not None]
    least, most = min(0.0, *values), max(0.0, *values)
    step = _step(most - least)
    first, last = floor(least / step + 1e-9), max(ceil(most / step - 1e-9), 1)
    return _Scale(first * step, last * step), [at * step for at in range(first, last + 1)]


def _step(span: float) -> float:
    """A round distance of ticks: 1, 2 or 5 times a power of ten."""
    if span <= 0 or not isfinite(span):
        return 1.0
    rough = span / _ABOUT_TICKS
    power = 10.0 ** floor(log10(rough))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= rough * (1 - 1e-9))


def _tick(value: float) -> str:
    return "0" if abs(value) < 1e-12 else signed(value)


def _anchor(x: float) -> str:
    return "start" if x <= _EDGE + 1 else "end" if x >= _WIDTH - _EDGE - 1 else "middle"
