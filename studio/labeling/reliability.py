"""Chance-corrected agreement with its uncertainty: arrays in, one estimate out, and nothing known of the database.

Every interval is a percentile bootstrap over examples (seeded, so the same data shows the same figures). Examples with
the same answers are one pattern with a count, and a resample is one multinomial draw of those counts: a thousand
resamples of a hundred thousand answers take less than a second. What it leaves out: where the answers come from
(studio.labeling.agreement).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from studio.language import tr

FEWEST = 10
"""Examples under which no figure is shown."""

RESAMPLES = 1000
_SEED = 1
_BLOCK = 4_000_000
_LIBRARY_LIMIT = 5_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Distance = Literal["nominal", "ordinal"] | Floats
"""How far two values lie apart: all different ones equally, by rank, or a matrix."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval and the examples it rests on. `value` is None where it is not shown;
    `reason` then says why.
    """

    value: float | None
    low: float | None
    high: float | None
    examples: int
    reason: str = ""


@dataclass(frozen=True)
class Patterns:
    """Examples by what they were answered: `counts` (P, K) says how often each of K values was given in a pattern,
    `examples` (P,) how many examples have that pattern. Each pattern has two answers or more.
    """

    counts: Ints
    examples: Ints


def collapse(units: Sequence[Sequence[int]], values: int) -> Patterns:
    """Patterns of examples given as lists of value indices below `values`; those with one answer are left out."""
    found = Counter(tuple(sorted(unit)) for unit in units if len(unit) > 1)
    counts = np.zeros((len(found), values), dtype=np.int64)
    for row, pattern in enumerate(found):
        np.add.at(counts[row], list(pattern), 1)
    return Patterns(counts, np.array(list(found.values()), dtype=np.int64))


def binary(patterns: Patterns, value: int) -> Patterns:
    """The same examples with two values left: this one (index 1) and all others (index 0)."""
    given = patterns.counts[:, value]
    return merged(np.stack([patterns.counts.sum(axis=1) - given, given], axis=1), patterns.examples)


def merged(counts: Ints, examples: Ints) -> Patterns:
    """Patterns in which each row of counts is there once."""
    rows, place = np.unique(counts, axis=0, return_inverse=True)
    return Patterns(rows, np.bincount(place.ravel(), weights=examples, minlength=len(rows)).astype(np.int64))


def alpha(patterns: Patterns, distance: Distance, examples: int | None = None) -> Estimate:
    """Krippendorff's alpha, 1 - D_o / D_e (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    `examples` is what the figure is said to rest on (default: all patterns' examples). The point is the krippendorff
    library's; where its (examples, K, K) array would not fit it is the same formula computed here.
    """
    total = int(patterns.examples.sum())
    rests_on = total if examples is None else examples
    if rests_on < FEWEST:
        return too_few(rests_on)
    if (patterns.counts.sum(axis=0) > 0).sum() < 2:
        same = tr("Everybody gave one and the same answer: alpha is not defined then.")
        return Estimate(None, None, None, rests_on, same)
    of = _alphas(patterns, distance)
    point = _library_alpha(patterns, distance) if total * patterns.counts.shape[1] ** 2 <= _LIBRARY_LIMIT else None
    point = float(of(patterns.examples[None, :].astype(float))[0]) if point is None else point
    return _with_interval(point, of, patterns.examples, rests_on)


def _alphas(patterns: Patterns, distance: Distance) -> Callable[[Floats], Floats]:
    """Alphas of resamples, given as weights (B, P) of the patterns."""
    counts = patterns.counts.astype(float)
    others = counts.sum(axis=1) - 1  # each answer is compared with the others of its example
    if isinstance(distance, str) and distance == "ordinal":
        size = counts.shape[1]
        pairs = (counts[:, :, None] * counts[:, None, :] / others[:, None, None]).reshape(-1, size * size)

        def ordinal(weights: Floats) -> Floats:
            given = weights @ counts
            far = ordinal_distances(given).reshape(len(weights), -1)
            expected = (given[:, :, None] * given[:, None, :]).reshape(len(weights), -1)
            return _ratio((weights @ pairs * far).sum(axis=1), (expected * far).sum(axis=1), given)

        return ordinal
    far = 1.0 - np.eye(counts.shape[1]) if isinstance(distance, str) else distance
    observed = ((counts @ far) * counts).sum(axis=1) / others

    def fixed(weights: Floats) -> Floats:
        given = weights @ counts
        return _ratio(weights @ observed, ((given @ far) * given).sum(axis=1), given)

    return fixed


def _ratio(observed: Floats, expected: Floats, given: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (given.sum(axis=1) - 1) * observed / expected, np.nan)


def ordinal_distances(given: Floats) -> Floats:
    """Krippendorff's ordinal distances (B, K, K) for the values' frequencies (B, K): the squared number of answers
    between two ranks, half of those at either end counted."""
    upto = np.cumsum(given, axis=1)
    middle = upto - given / 2
    return (middle[:, :, None] - middle[:, None, :]) ** 2


def masi_distances(sets: Sequence[frozenset[str]]) -> Floats:
    """Distances (K, K) between label sets: 1 - Jaccard × monotonicity (MASI; Passonneau 2006, LREC): 0 for equal sets,
    1 for sets without a common label, and a subset lies nearer than an overlap of the same size."""
    names = sorted(set().union(*sets))
    place = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(sets), len(names)))
    for row, labels in enumerate(sets):
        table[row, [place[name] for name in labels]] = 1
    common, sizes = table @ table.T, table.sum(axis=1)
    union = sizes[:, None] + sizes[None, :] - common
    smaller = np.minimum(sizes[:, None], sizes[None, :])
    monotone = np.select([union == common, common == smaller, common > 0], [1, 2 / 3, 1 / 3], 0.0)
    far: Floats = 1 - np.where(union > 0, common / np.maximum(union, 1), 1) * monotone
    return far


def _library_alpha(patterns: Patterns, distance: Distance) -> float:
    import krippendorff

    used = np.flatnonzero(patterns.counts.sum(axis=0))
    counts = np.repeat(patterns.counts[:, used], patterns.examples, axis=0)
    level: Any = distance
    if not isinstance(distance, str):
        far = distance[np.ix_(used, used)]

        def level(v1: Any, v2: Any, i1: Any, i2: Any, n_v: Any, dtype: Any = np.float64) -> Any:
            return far[i1, i2]

    return float(krippendorff.alpha(value_counts=counts, value_domain=np.arange(len(used)), level_of_measurement=level))


def kappa(first: Sequence[int], second: Sequence[int], values: int, by_rank: bool = False) -> Estimate:
    """Cohen's kappa of two annotators' answers to the same examples (scikit-learn); `by_rank` weighs a difference by
    its square, as is usual for ratings."""
    total = len(first)
    if total < FEWEST:
        return too_few(total)
    if len({*first, *second}) < 2:
        return Estimate(None, None, None, total, "Both gave one and the same answer: kappa is not defined then.")
    from sklearn.metrics import cohen_kappa_score

    point = float(cohen_kappa_score(first, second, labels=range(values), weights="quadratic" if by_rank else None))
    cells = Counter(zip(first, second, strict=True))
    rows, columns = np.array(list(cells)).T
    ranks = np.arange(values, dtype=float)
    far = (ranks[:, None] - ranks[None, :]) ** 2 if by_rank else 1.0 - np.eye(values)
    row_of, column_of = np.eye(values)[rows], np.eye(values)[columns]

    def of(weights: Floats) -> Floats:
        expected = ((weights @ row_of @ far) * (weights @ column_of)).sum(axis=1) / weights.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(expected > 0, 1 - weights @ far[rows, columns] / expected, np.nan)

    return _with_interval(point, of, np.array(list(cells.values())), total)


def mean(values: Sequence[float]) -> Estimate:
    """The mean of one figure an example."""
    if len(values) < FEWEST:
        return too_few(len(values))
    found, times = np.unique(np.asarray(values, dtype=float), return_counts=True)
    return _with_interval(
        float(np.mean(values)), lambda weights: weights @ found / len(values), times.astype(np.int64), len(values)
    )


def too_few(examples: int) -> Estimate:
    """Not shown, for it would rest on too little."""
    return Estimate(None, None, None, examples, tr("Not shown for fewer than {count} examples.", count=FEWEST))


def _with_interval(point: float, of: Callable[[Floats], Floats], counts: Ints, rests_on: int) -> Estimate:
    if not np.isfinite(point):
        return Estimate(None, None, None, rests_on, tr("Not defined for these answers."))
    block = max(1, min(RESAMPLES, _BLOCK // int(counts.sum())))
    rng = np.random.default_rng(_SEED)
    drawn = [of(_resampled(rng, counts, min(block, RESAMPLES - start))) for start in range(0, RESAMPLES, block)]
    # A resample in which everybody gave one answer has no value: it is left out.
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return Estimate(point, float(low), float(high), rests_on)


def _resampled(rng: np.random.Generator, counts: Ints, size: int) -> Floats:
    """How often each pattern comes up (size, P) where as many examples are drawn as there are, with replacement."""
    total = int(counts.sum())
    if 8 * len(counts) < total:
        return rng.multinomial(total, counts / total, size=size).astype(float)
    # With nearly as many patterns as examples it is quicker to draw the examples themselves, row by row in 32 bits.
    pattern_of = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    weights = np.empty((size, len(counts)))
    for row in range(size):
        drawn = pattern_of[rng.integers(0, total, total, dtype=np.int32)]
        weights[row] = np.bincount(drawn, minlength=len(counts))
    return weights
