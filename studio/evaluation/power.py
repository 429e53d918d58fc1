"""How many held-out examples it would take to show a difference: sample sizes in closed form, numbers in, rows out.

Each function answers for the effect that was observed, with two-sided tests. That is a guide for planning, not a
second test: an observed effect is noisy, and so is what follows from it. What it leaves out: how many labels would
make the model better (studio.evaluation.curves).
"""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist

POWER = 0.8
ALPHA = 0.05
MOST = 1_000_000
"""Rows above which no number is named: nobody labels that many."""


def sign_test_rows(wins: int, losses: int, rows: int, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """Rows in all with which a paired sign (McNemar) test at `alpha` sees this balance of wins and losses with `power`.

    With ψ the share of rows that differ and δ the difference of the two shares, n = (z_{1-α/2} √ψ + z_power
    √(ψ - δ²))² / δ² (Connor 1987, "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43, 207-211). None where wins equal losses or more than MOST would be needed.
    """
    if rows <= 0 or wins == losses:
        return None
    differ, gap = (wins + losses) / rows, abs(wins - losses) / rows
    root = _z(1 - alpha / 2) * sqrt(differ) + _z(power) * sqrt(max(differ - gap**2, 0.0))
    return _whole((root / gap) ** 2)


def paired_rows(mean: float, deviation: float, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """Rows in all with which a paired test of the mean sees `mean`, the rows' differences having `deviation`.

    n = ((z_{1-α/2} + z_power) σ / δ)² + z²_{1-α/2} / 2; the last term stands for Student's t in place of the normal
    (Guenther 1981, "Sample size formulas for normal theory t tests", The American Statistician 35, 243-244).
    None where the mean is 0 or more than MOST would be needed.
    """
    if mean == 0:
        return None
    if deviation == 0:
        return 2
    return _whole(((_z(1 - alpha / 2) + _z(power)) * deviation / mean) ** 2 + _z(1 - alpha / 2) ** 2 / 2)


def interval_rows(difference: float, low: float, high: float, rows: int, power: float = POWER) -> int | None:
    """The same for a metric of the whole set (BLEU, F1), from the 95 % interval that `rows` rows gave.

    The interval's width over 2 · 1.96 is the standard error s, which falls as 1/√n; so s √n takes the place of σ in
    `paired_rows`. None where the difference is 0 or more than MOST would be needed.
    """
    error = (high - low) / (2 * _z(1 - ALPHA / 2))
    return paired_rows(difference, error * sqrt(rows), power, ALPHA)


def _z(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _whole(rows: float) -> int | None:
    return ceil(rows) if rows <= MOST else None
