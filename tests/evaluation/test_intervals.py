"""Paired intervals and p-values: right on known worlds, honest on degenerate ones, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from studio.errors import BadInput
from studio.evaluation.intervals import Difference, paired, swapped
from tests.bench.bench_intervals import KINDS, covered
from tests.evaluation.samples import CorpusF1, Means, Whole, answered


def graded(rows: int, shift: float, seed: int = 0) -> tuple[Means, Means]:
    rng = np.random.default_rng(seed)
    hard = rng.random(rows)
    base, tuned = (np.clip(hard + rng.normal(move, 0.1, rows), 0, 1) for move in (0, shift))
    return Means(base), Means(tuned)


def test_a_graded_difference_has_the_t_intervals_width() -> None:
    base, tuned = graded(40, 0.05)
    found = paired(base, tuned)
    expected = stats.ttest_1samp(tuned.rows - base.rows, 0).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, abs=0.006)
    assert found.high == pytest.approx(expected.high, abs=0.006)


def test_the_p_of_right_and_wrong_is_the_exact_mcnemar_test() -> None:
    base = Means(np.repeat([1.0, 0.0, 1.0, 0.0], [50, 30, 4, 16]))
    tuned = Means(np.repeat([1.0, 0.0, 0.0, 1.0], [50, 30, 4, 16]))
    found = paired(base, tuned)
    assert found.p == pytest.approx(stats.binomtest(16, 20).pvalue)
    assert found.difference == pytest.approx(0.12)
    assert found.shown


def test_few_rows_are_swapped_in_every_way() -> None:
    gaps = np.array([0.1, 0.2, 0.4, 0.8])
    assert swapped(gaps) == pytest.approx(2 / 16)
    assert swapped(np.array([0.1, 0.2, -0.4, 0.8])) == pytest.approx(10 / 16)


def test_a_corpus_metric_is_swapped_row_by_row() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(300) < 0.4
    same = [answered(truth, truth ^ (rng.random(300) < 0.2)) for _ in range(2)]
    better = answered(truth, truth ^ (rng.random(300) < 0.05))
    alike, apart = paired(*same), paired(same[0], better)
    assert alike.p is not None and alike.p > 0.05 and not alike.shown
    assert apart.p is not None and apart.p < 0.005 and apart.shown


def test_a_corpus_metric_of_means_agrees_with_the_rows() -> None:
    base, tuned = graded(60, 0.03)
    rows, whole = paired(base, tuned), paired(Whole(base.rows), Whole(tuned.rows))
    assert (whole.low, whole.high) == pytest.approx((rows.low, rows.high))
    assert whole.p == pytest.approx(rows.p, abs=0.05)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_say_nothing(rows: int) -> None:
    found = paired(Means(np.zeros(rows)), Means(np.ones(rows))) if rows else paired(NoRows(), NoRows())
    assert (found.low, found.high, found.p) == (None, None, None)
    assert "at least two" in found.reason and not found.shown


class NoRows(Means):
    """A sample of no rows."""

    def __init__(self) -> None:
        object.__setattr__(self, "rows", np.zeros(0))

    value = 0.0  # type: ignore[assignment]


def test_rows_that_all_agree_leave_room_for_what_was_not_seen() -> None:
    same = paired(Means(np.ones(100)), Means(np.ones(100)))
    assert same.p == 1.0 and not same.shown
    assert (same.low, same.high) == (pytest.approx(-0.0362, abs=1e-4), pytest.approx(0.0362, abs=1e-4))
    won = paired(Means(np.zeros(20)), Means(np.ones(20)))
    assert won.high == 1.0 and won.low is not None and 0.6 < won.low < 0.7
    assert won.p == pytest.approx(stats.binomtest(20, 20).pvalue) and won.shown


def test_equal_differences_without_known_limits_have_no_interval() -> None:
    found = paired(Means(np.full(9, 3.0)), Means(np.full(9, 2.5)))
    assert (found.low, found.high) == (None, None)
    assert "cannot say" in found.reason and not found.shown


def test_a_corpus_metric_that_never_moves_has_no_interval() -> None:
    parts = np.tile([1.0, 1.0], (30, 1))
    found = paired(CorpusF1(parts), CorpusF1(parts))
    assert (found.low, found.high, found.p) == (None, None, 1.0)


def test_a_few_rows_that_differ_get_a_word_of_care() -> None:
    base, tuned = np.ones(200), np.ones(200)
    base[:3] = 0
    found = paired(Means(base), Means(tuned))
    assert "3 rows" in found.reason
    assert found.low is not None and found.low < 0, "three wins of three are no proof"


def test_a_metric_of_few_whole_answers_gets_a_word_of_care_too() -> None:
    rng = np.random.default_rng(5)
    base, tuned = rng.normal(0, 1, 60), rng.normal(1, 1, 60)
    assert "only 30 held-out answers" in paired(Whole(base[:30]), Whole(tuned[:30])).reason
    assert paired(Whole(base), Whole(tuned)).reason == ""


def test_the_same_seed_gives_the_same_figures_and_models_are_told_apart() -> None:
    base, tuned = graded(80, 0.04)
    assert paired(base, tuned, 5) == paired(base, tuned, 5) != paired(base, tuned, 6)
    there, back = paired(base, tuned), paired(tuned, base)
    assert there.difference == -back.difference
    with pytest.raises(BadInput, match="80 answers and tuned 3"):
        paired(base, Means(np.ones(3)))


def test_what_has_no_value_is_not_compared() -> None:
    found = paired(Means(np.array([1.0, np.nan])), Means(np.ones(2)))
    assert isinstance(found, Difference) and found.low is None and "no value" in found.reason


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_covers_a_known_difference_as_often_as_it_says(kind: str) -> None:
    assert 0.92 <= covered(kind, rows=240, evaluations=200, seed=1) <= 0.98
