"""How many more labels it takes: a power law through the scores of runs on nested parts of a snapshot, with intervals.

score(n) = a - b n^-c, the form that learning curves were found to follow (Hestness et al. 2017, "Deep learning scaling
is predictable, empirically", arXiv:1712.00409; Viering and Loog 2023, "The shape of learning curves: a review", IEEE
TPAMI 45, 7799-7819). Four points fix three numbers badly, so no one curve is chosen: all that fit about as well as the
noise allows are drawn, each with its weight, and the interval is of their predictions. A parametric bootstrap of a
least-squares fit held the truth as often, with intervals a fifth wider and in a hundred times the time (bench_curves).
Intervals are for a score on these same held-out rows.

A score moves for two reasons other than the number of labels: chance in training, and which labels happened to be
taken. The second is the larger with few labels; it falls as 1/√n and, the parts being nested, is carried from one
point to the next. What it leaves out: making the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.errors import BadInput

LEVEL = 0.95
SLOWEST, FASTEST = 0.07, 2.0
"""Exponents that are thought of, each factor equally likely beforehand; 0.07 is the least in Hestness 2017."""
_EXPONENTS, _DRAWS, _SEED = 40, 400, 1
_LEAST_NOISE = 1e-4
"""As a share of the scores' range: below it rounding, not noise, would decide."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """The held-out score of a run on so many labels; `rows` (m,) are the scores of the held-out rows, if it is their
    mean, in the same order in every point.
    """

    labels: int
    score: float
    rows: Any = None


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a score round its curve: `training` of every run, `labels` / √n for which n labels were
    taken, in the score's unit.
    """

    training: float
    labels: float

    def at(self, labels: float) -> float:
        """The standard deviation of a score with so many labels."""
        return sqrt(self.training**2 + self.labels**2 / labels)


@dataclass(frozen=True)
class Prediction:
    """The score expected of a run on so many labels, with the 95 % interval of what such a run would measure."""

    labels: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class More:
    """Labels still missing for a gain over the last point's fitted score: the middle one and 95 % bounds (None: not
    with any number of labels), the `chance` that some number reaches it, and the sentence that says so.
    """

    gain: float
    labels: int | None
    low: int | None
    high: int | None
    chance: float
    sentence: str


@dataclass(frozen=True)
class Curve:
    """Every curve a - b n^-c that the points allow, (draws,) each, and their weights, which sum to 1.

    `labels` are the last point's. Scores of which lower is better are kept negative, so that every curve rises.
    """

    ceiling: Floats
    scale: Floats
    exponent: Floats
    weights: Floats
    noise: Noise
    labels: int
    higher_better: bool = True

    def values(self, labels: float) -> Floats:
        """What each curve says at so many labels."""
        return self.ceiling - self.scale * float(labels) ** -self.exponent


def fitted(
    points: Sequence[Point],
    top: float | None = 1.0,
    higher_better: bool = True,
    noise: Noise | None = None,
) -> Curve:
    """The curves through the points, three or more of different numbers of labels.

    `top` is the best score there can be (1 for a share, 100 for BLEU, 0 for a loss; None: no limit). `noise` is
    estimated by `noise_of` where it is not known.
    Raises BadInput for fewer points, no labels, or scores that are no numbers.
    """
    sign = 1.0 if higher_better else -1.0
    ordered = sorted(points, key=lambda point: point.labels)
    labels = np.array([point.labels for point in ordered], dtype=np.float64)
    scores = sign * np.array([point.score for point in ordered], dtype=np.float64)
    if len(set(labels)) < 3:
        raise BadInput("A learning curve needs runs on at least three different numbers of labels: make more runs.")
    if labels[0] < 1 or not np.isfinite(scores).all():
        raise BadInput("A learning curve needs a score, and labels of which there is at least one, at every point.")
    known = noise if noise is not None else noise_of(ordered, top)
    known = Noise(max(known.training, _LEAST_NOISE * float(np.ptp(scores)), 1e-9), known.labels)
    return _weighted(labels, scores, known, None if top is None else sign * top, higher_better)


def noise_of(points: Sequence[Point], top: float | None = 1.0) -> Noise:
    """What is to be expected of scores on fixed held-out rows.

    With rows, `training` is what is left of them after each row's and each point's mean (two-way analysis of variance)
    over the square root of their number: rows that one run gets right and another wrong for no reason weigh in here.
    `labels` is the rows' own standard deviation, which supposes that a run on n labels is as far off its curve as a
    score of n rows is; measured on banking77 with two classifiers and 250 to 4,000 labels it was 0.4 to 1 times that.
    Without rows: half a per cent of the highest score, and a standard deviation of √(p (1 - p)) for scores between 0
    and `top`, else the mean score itself.
    """
    if any(point.rows is None for point in points) or len({len(point.rows) for point in points}) != 1:
        return _noise_without_rows(np.array([point.score for point in points], dtype=np.float64), top)
    table = np.array([point.rows for point in points], dtype=np.float64)
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    free = (table.shape[0] - 1) * (table.shape[1] - 1)
    training = sqrt(float(np.square(rest).sum()) / max(free, 1) / table.shape[1])
    return Noise(training, float(table.std(axis=1).mean()))


def _noise_without_rows(scores: Floats, top: float | None) -> Noise:
    training = 0.005 * float(np.abs(scores).max())
    if top is None or top <= 0 or scores.min() < 0 or scores.max() > top:
        return Noise(training, float(np.abs(scores).mean()))
    shares = scores / top
    return Noise(training, top * float(np.sqrt(shares * (1 - shares)).mean()))


def _weighted(labels: Floats, scores: Floats, noise: Noise, top: float | None, higher_better: bool) -> Curve:
    """For each exponent the curve is linear in its heights at the first and last point: draw these from their normal
    posterior under a flat prior, weigh by how well the exponent fits, and drop what falls or rises above `top`.
    """
    normals = np.random.default_rng(_SEED).normal(size=(_DRAWS, 2))
    whiten = np.linalg.inv(np.linalg.cholesky(_covariance(labels, noise)))
    exponents = np.geomspace(SLOWEST, FASTEST, _EXPONENTS)
    parts = [_at_exponent(float(c), labels, scores, whiten, top, normals) for c in exponents]
    ceiling, scale, exponent, logs = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not np.isfinite(logs).any():
        return _flat(labels, scores, noise, higher_better)
    weights = np.exp(logs - logs.max())
    kept = weights > 0
    weights = weights[kept] / weights.sum()
    return Curve(ceiling[kept], scale[kept], exponent[kept], weights, noise, int(labels[-1]), higher_better)


def _covariance(labels: Floats, noise: Noise) -> Floats:
    """Of the points' scores: the mean of n labels' influences has covariance 1 / max(n, m) with that of m of them."""
    return noise.training**2 * np.eye(len(labels)) + noise.labels**2 / np.maximum.outer(labels, labels)


def _at_exponent(
    c: float, labels: Floats, scores: Floats, whiten: Floats, top: float | None, normals: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Ceilings, scales, exponents and log weights of the draws at one exponent."""
    powers = labels**-c
    span = powers[0] - powers[-1]
    share = (powers[0] - powers) / span
    design = whiten @ np.stack([1 - share, share], axis=1)
    covariance = np.linalg.inv(design.T @ design)
    heights = covariance @ design.T @ whiten @ scores
    misfit = float(np.square(whiten @ scores - design @ heights).sum())
    first, last = (heights + normals @ np.linalg.cholesky(covariance).T).T
    scale = (last - first) / span
    ceiling = first + scale * powers[0]
    allowed = (scale >= 0) & (ceiling <= (np.inf if top is None else top))
    log = 0.5 * np.linalg.slogdet(covariance)[1] - misfit / 2
    return ceiling, scale, np.full(len(scale), c), np.where(allowed, log, -np.inf)


def _flat(labels: Floats, scores: Floats, noise: Noise, higher_better: bool) -> Curve:
    """Scores that fall as labels grow leave no rising curve: one that stays where it is."""
    error = noise.at(float(labels[-1]))
    draws = scores.mean() + error * np.random.default_rng(_SEED).normal(size=_DRAWS)
    ones = np.ones(_DRAWS)
    return Curve(draws, 0 * ones, ones, ones / _DRAWS, noise, int(labels[-1]), higher_better)


def predicted(curve: Curve, labels: int) -> Prediction:
    """The score to expect with so many labels. Far beyond the points it rests on the power law alone."""
    values = curve.values(labels)
    measured = values + curve.noise.at(labels) * np.random.default_rng(_SEED).normal(size=len(values))
    low, high = _quantiles(measured, curve.weights, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    middle = float(_quantiles(values, curve.weights, (0.5,))[0])
    if curve.higher_better:
        return Prediction(labels, middle, float(low), float(high))
    return Prediction(labels, -middle, -float(high), -float(low))


def more_labels(curve: Curve, gain: float = 0.02, unit: str = "points", per_unit: float = 100.0) -> More:
    """Labels to add for a score better by `gain` (in the score's unit; always positive, also for a loss).

    The sentence names the gain as `gain` times `per_unit` and `unit`: 0.02 is "+2 points". Raises BadInput for a gain
    that is not above 0.
    """
    if not gain > 0:
        raise BadInput("Ask for a gain above 0.")
    room = curve.ceiling - curve.values(curve.labels) - gain
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        needed = (curve.scale / np.where(room > 0, room, np.nan)) ** (1 / curve.exponent)
    added = np.where(room > 0, np.maximum(needed - curve.labels, 1.0), np.inf)
    tails = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
    low, middle, high = (_count(value) for value in _quantiles(added, curve.weights, tails))
    chance = float(curve.weights[np.isfinite(added)].sum())
    named = f"{'+' if curve.higher_better else '-'}{gain * per_unit:.3g} {unit}".rstrip()
    return More(gain, middle, low, high, chance, _said(named, low, middle, high, curve))


def _said(named: str, low: int | None, middle: int | None, high: int | None, curve: Curve) -> str:
    """One sentence for what more labels would bring."""
    if low is None or low > MANY * curve.labels:
        return f"More labels are not likely to bring {named}: the curve has flattened."
    if middle is None or middle > MANY * curve.labels:
        return f"{named} may be out of reach with more labels; if not, {about(low)} or more would be needed."
    upper = "many more" if high is None or high > MANY * curve.labels else about(high)
    return f"About {about(middle)} more labels for {named} ({about(low)} to {upper})."


MANY = 100
"""Times the labels that are there, beyond which no number is named: the law was not seen to hold so far out."""


def about(count: int) -> str:
    """A count with two digits that matter."""
    return f"{int(float(f'{count:.2g}')):,}"


def _count(value: float) -> int | None:
    return int(np.ceil(value)) if np.isfinite(value) and value < 1e12 else None


def _quantiles(values: Floats, weights: Floats, shares: Sequence[float]) -> Floats:
    """Weighted quantiles: the least value that has at least that share of the weight at or below it."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    places = np.minimum(np.searchsorted(below, np.array(shares) * below[-1]), len(values) - 1)
    return values[order][places]
