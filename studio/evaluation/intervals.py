"""How sure a difference between two models is: paired bootstrap interval and paired permutation p-value of a metric.

Both models answered the same rows, so rows are drawn and swapped in pairs and what makes a row hard cancels. Drawing
and swapping are SciPy's, on row numbers, so a metric that is a mean over rows and one that exists only for a whole set
(BLEU, F1) go the same way; exact enumeration stands in for random swaps where there are few rows. What it leaves out:
the noise of training (a second run with another seed), and what follows from the figures (studio.evaluation.verdict).

Why these intervals (coverage of 95 % intervals, measured by tests/bench/bench_intervals.py): the percentile bootstrap
is too short at few rows, and BCa did not mend that here; widening the percentiles to Student's t as Hesterberg (2015,
"What teachers should know about the bootstrap", The American Statistician 69, 371-386) proposes did. Where most rows
are ties, as with right/wrong metrics, every bootstrap collapses: two rows are added, as Agresti and Min do for matched
proportions (2005, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine
24, 729-740).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from studio.errors import BadInput

LEVEL = 0.95
RESAMPLES = 1999
SWAPS = 4999
_BLOCK = 2_000_000
"""Row numbers in one call of a metric's `resampled`: bounds memory, not the result."""
_EQUAL = 1e-9

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Draw = Callable[[Ints], Floats]
"""Row numbers (B, m) to a figure each (B,)."""


class Sample(Protocol):
    """A metric of one model's answers to n held-out rows, with the means to compute it for other choices of rows."""

    @property
    def value(self) -> float:
        """The metric over all rows."""

    @property
    def rows(self) -> Floats | None:
        """A number per row (n,) where the value is their mean, else None."""

    def __len__(self) -> int:
        """The held-out rows, n."""

    def resampled(self, indices: Any) -> Any:
        """The metric over the rows `indices` (B, m), any m, repeats allowed: (B,)."""

    def joined(self, other: Any) -> Any:
        """A sample of 2n rows: these, then the other's."""


@dataclass(frozen=True)
class Difference:
    """A metric of two models on the same rows, in the metric's unit; `difference` is tuned less base.

    `low` and `high` bound the difference with 95 % confidence, `p` is two-sided. They are None where the data cannot
    say; `reason` then tells why in a sentence, and also where a figure needs a word of care.
    """

    base: float
    tuned: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    rows: int
    reason: str = ""

    @property
    def shown(self) -> bool:
        """Whether interval and p-value both say that there is a difference."""
        if self.low is None or self.high is None or self.p is None:
            return False
        return self.p < 1 - LEVEL and (self.low > 0 or self.high < 0)


def paired(base: Sample, tuned: Sample, seed: int = 0, swaps: int = SWAPS) -> Difference:
    """The difference of a metric between two models that answered the same rows in the same order.

    The same seed gives the same figures; `swaps` is how many random swaps the p-value rests on. Raises BadInput where
    the two have different numbers of rows.
    """
    if len(base) != len(tuned):
        raise BadInput(f"Base has {len(base)} answers and tuned {len(tuned)}: compare answers to the same rows.")
    given = (float(base.value), float(tuned.value), float(tuned.value) - float(base.value))
    if len(base) < 2 or not np.isfinite(given).all():
        return Difference(*given, None, None, None, len(base), _too_little(len(base)))
    if base.rows is None or tuned.rows is None:
        return _of_sets(base, tuned, given, seed, swaps)
    return _of_rows(np.asarray(base.rows, np.float64), np.asarray(tuned.rows, np.float64), given, seed, swaps)


def spread_of(sample: Sample, seed: int = 0) -> tuple[float, float] | tuple[None, None]:
    """Low and high of one model's metric with 95 % confidence; (None, None) where the rows cannot say."""
    if len(sample) < 2 or not np.isfinite(sample.value):
        return None, None
    rows = None if sample.rows is None else np.asarray(sample.rows, np.float64)
    if rows is not None and np.isin(rows, (0.0, 1.0)).all():
        from scipy.stats import binomtest

        found = binomtest(int(rows.sum()), len(rows)).proportion_ci(LEVEL, method="wilson")
        return float(found.low), float(found.high)
    draw = sample.resampled if rows is None else (lambda chosen: rows[chosen].mean(axis=-1))
    low, high = _drawn(len(sample), draw, seed)
    return (low, high) if high - low > _EQUAL else (None, None)


def _too_little(rows: int) -> str:
    if rows < 2:
        return "One held-out answer says nothing about others: at least two are needed."
    return "The metric has no value on these answers, so nothing can be compared."


def _of_rows(base: Floats, tuned: Floats, given: tuple[float, float, float], seed: int, swaps: int) -> Difference:
    """The difference of a mean over rows."""
    gaps = tuned - base
    gaps[np.abs(gaps) < _EQUAL] = 0.0
    ties = int((gaps == 0).sum())
    if np.ptp(gaps) < _EQUAL:
        return _all_equal(base, tuned, given)
    if 2 * ties >= len(gaps) or _binary(base, tuned):
        low, high = _smoothed(gaps, seed)
    else:
        low, high = _drawn(len(gaps), lambda chosen: gaps[chosen].mean(axis=-1), seed)
    return Difference(*given, low, high, swapped(gaps, seed, swaps), len(gaps), _few(len(gaps) - ties))


def _of_sets(base: Sample, tuned: Sample, given: tuple[float, float, float], seed: int, swaps: int) -> Difference:
    """The difference of a metric of the whole set."""
    rows = len(base)
    low, high = _drawn(rows, lambda chosen: tuned.resampled(chosen) - base.resampled(chosen), seed)
    if high - low < _EQUAL:
        reason = "Every choice of rows gives the same difference: these answers say nothing about how sure it is."
        return Difference(*given, None, None, 1.0 if abs(given[2]) < _EQUAL else None, rows, reason)
    both = base.joined(tuned)
    p = _swapped_sets(both, rows, seed, min(swaps, RESAMPLES))
    return Difference(*given, low, high, p, rows, _short(rows))


def _binary(base: Floats, tuned: Floats) -> bool:
    return bool(np.isin(base, (0.0, 1.0)).all() and np.isin(tuned, (0.0, 1.0)).all())


def _few(differing: int) -> str:
    return f"Only {differing} rows differ, so take the interval as rough." if differing < 5 else ""


def _short(rows: int) -> str:
    """A word of care for metrics of the whole set, whose intervals held less than 92 % at 20 rows (bench_intervals)."""
    return f"With only {rows} held-out answers the interval may be too short." if rows < 50 else ""


def _all_equal(base: Floats, tuned: Floats, given: tuple[float, float, float]) -> Difference:
    """Every row has the same difference: nothing varies, so nothing can be resampled.

    For scores between 0 and 1 a bound still follows: rows of another kind that n rows never showed make up at most
    1 - 0.025^(1/n) of all (Clopper-Pearson at 0 of n; Hanley and Lippman-Hand 1983, JAMA 249, 1743-1745), and such a
    row can differ by -1 at worst and +1 at best.
    """
    rows, gap = len(base), given[2]
    same = abs(gap) < _EQUAL
    what = "No row differs between the two" if same else "Every row differs by the same amount"
    p = 1.0 if same else max(2.0 ** (1 - rows), float(np.finfo(np.float64).tiny))
    if min(base.min(), tuned.min()) < 0 or max(base.max(), tuned.max()) > 1:
        return Difference(*given, None, None, p, rows, f"{what}, so these answers cannot say how sure that is.")
    unseen = 1 - ((1 - LEVEL) / 2) ** (1 / rows)
    low, high = gap - unseen * (1 + gap), gap + unseen * (1 - gap)
    return Difference(*given, low, high, p, rows, f"{what}; the interval allows for kinds of rows not seen here.")


def _confidence(rows: int) -> float:
    """The level to ask of percentiles so that they are as wide as Student's t is (Hesterberg 2015)."""
    from scipy.stats import norm, t

    return 1 - 2 * float(norm.cdf(-sqrt(rows / (rows - 1)) * t.ppf((1 + LEVEL) / 2, rows - 1)))


def _drawn(rows: int, figure: Draw, seed: int) -> tuple[float, float]:
    """Low and high of `figure` over rows drawn with replacement."""
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.arange(rows),),
        lambda chosen, axis: figure(np.atleast_2d(chosen)).reshape(chosen.shape[:-1]),
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        confidence_level=_confidence(rows),
        batch=max(1, _BLOCK // rows),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _smoothed(gaps: Floats, seed: int) -> tuple[float, float]:
    """Low and high of the mean over n + 2 rows drawn from these and four half rows more: a win, a loss, two ties.

    A right/wrong metric's win is 1; elsewhere it is the root mean square of the differences that are there.
    """
    typical = float(np.sqrt(np.mean(np.square(gaps[gaps != 0]))))
    values, place = np.unique(np.concatenate([gaps, [typical, -typical, 0.0, 0.0]]), return_inverse=True)
    weights = np.concatenate([np.ones(len(gaps)), np.full(4, 0.5)])
    rows = len(gaps) + 2
    shares = np.bincount(place.ravel(), weights=weights) / rows
    draws = _means(values, shares, rows, np.random.default_rng(seed))
    tail = (1 - _confidence(rows)) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _means(values: Floats, shares: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Means of `rows` draws of the values with those shares, RESAMPLES times, in blocks of bounded memory."""
    block = max(1, _BLOCK // len(values))
    sizes = [min(block, RESAMPLES - start) for start in range(0, RESAMPLES, block)]
    return np.concatenate([rng.multinomial(rows, shares, size=size) @ values for size in sizes]) / rows


def swapped(gaps: Floats, seed: int = 0, swaps: int = SWAPS) -> float:
    """Two-sided p of the paired permutation test of mean(gaps) = 0: each row's two models swapped at random.

    Exact where 2^n is at most `swaps`, and for differences of one size only, where it is the sign test.
    """
    from scipy.stats import binomtest, permutation_test

    differing = gaps[gaps != 0]
    if len(differing) == 0:
        return 1.0
    if np.ptp(np.abs(differing)) < _EQUAL:
        return float(binomtest(int((differing > 0).sum()), len(differing)).pvalue)
    found = permutation_test(
        (differing,),
        lambda flipped, axis: flipped.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=swaps,
        batch=max(1, _BLOCK // len(differing)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _swapped_sets(both: Sample, rows: int, seed: int, swaps: int) -> float:
    """The same for a metric of the whole set: rows i and i + n of the joined sample change places at random."""
    from scipy.stats import permutation_test

    def gap(left: Ints, right: Ints, axis: int) -> Floats:
        tuned, base = np.atleast_2d(right), np.atleast_2d(left)
        return (both.resampled(tuned) - both.resampled(base)).reshape(right.shape[:-1])

    found = permutation_test(
        (np.arange(rows), np.arange(rows) + rows),
        gap,
        permutation_type="samples",
        vectorized=True,
        n_resamples=swaps,
        batch=max(1, _BLOCK // rows),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
