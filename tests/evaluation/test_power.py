"""Sample sizes: with the rows that are named, a simulated test sees the effect about 80 times in a hundred."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from studio.evaluation.power import MOST, interval_rows, paired_rows, sign_test_rows


def test_the_sign_tests_size_is_connors_formula_worked_by_hand() -> None:
    # ψ = 0.3, δ = 0.1: (1.95996·0.547723 + 0.841621·0.538516)² / 0.01 = 233.1
    assert sign_test_rows(20, 10, 100) == 234


def test_the_sign_test_has_the_power_that_was_asked_for() -> None:
    rows, rng = sign_test_rows(60, 30, 300), np.random.default_rng(1)
    assert rows is not None
    counts = rng.multinomial(rows, [0.2, 0.1, 0.7], size=4000)
    wins, differ = counts[:, 0], counts[:, 0] + counts[:, 1]
    p = 2 * stats.norm.sf(np.abs(2 * wins - differ) / np.sqrt(differ))
    assert 0.77 < np.mean(p < 0.05) < 0.83


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 1.0), (0.1, 0.5), (-1.5, 1.5)])
def test_the_paired_test_has_the_power_that_was_asked_for(mean: float, deviation: float) -> None:
    rows = paired_rows(mean, deviation)
    assert rows is not None
    sample = np.random.default_rng(2).normal(mean, deviation, size=(2000, rows))
    assert 0.77 < np.mean(stats.ttest_1samp(sample, 0, axis=1).pvalue < 0.05) < 0.86


def test_an_interval_says_the_same_as_the_deviation_that_it_came_from() -> None:
    half = stats.norm.ppf(0.975) * 0.5 / np.sqrt(100)
    assert interval_rows(0.1, 0.1 - half, 0.1 + half, 100) == paired_rows(0.1, 0.5)


def test_no_number_is_named_where_none_would_do() -> None:
    assert sign_test_rows(5, 5, 100) is None
    assert sign_test_rows(0, 0, 0) is None
    assert paired_rows(0.0, 1.0) is None
    assert paired_rows(1.0, 1000.0) is None and MOST == 1_000_000
    assert paired_rows(0.2, 0.0) == 2
