"""Learning curves: known ones come back, the interval holds what a run then measures, and flat ones promise nothing."""

from __future__ import annotations

import numpy as np
import pytest

from studio.errors import BadInput
from studio.evaluation.curves import Curve, Noise, Point, fitted, more_labels, noise_of, predicted
from tests.bench.bench_curves import covered

EXACT = Noise(1e-4, 0.0)


def along(labels: list[int], ceiling: float = 0.95, scale: float = 4.0, exponent: float = 0.5) -> list[Point]:
    return [Point(n, ceiling - scale * n**-exponent) for n in labels]


def test_a_curve_without_noise_is_carried_on() -> None:
    found = predicted(fitted(along([250, 500, 750, 1000]), noise=EXACT), 4000)
    assert found.score == pytest.approx(0.95 - 4 / np.sqrt(4000), abs=0.003)
    assert found.low < found.score < found.high and found.high - found.low < 0.02


def test_the_labels_still_missing_are_named() -> None:
    found = more_labels(fitted(along([250, 500, 750, 1000]), noise=EXACT), 0.02)
    true = (4 / (4 * 1000**-0.5 - 0.02)) ** 2 - 1000  # 411
    assert found.labels == pytest.approx(true, rel=0.03) and found.chance == pytest.approx(1.0)
    assert found.sentence.startswith("About 4") and "more labels for +2 points (4" in found.sentence


def test_the_interval_holds_what_is_then_measured_as_often_as_it_says() -> None:
    assert 0.92 <= covered(200, seed=1) <= 0.98


def test_a_flat_curve_promises_nothing() -> None:
    flat = [Point(n, 0.9) for n in (1000, 2000, 3000, 4000)]
    assert more_labels(fitted(flat, noise=Noise(0.001, 0.0)), 0.02).sentence == (
        "More labels are not likely to bring +2 points: the curve has flattened."
    )


def test_scores_that_fall_give_a_level_line() -> None:
    falling = [Point(n, score) for n, score in ((1000, 0.9), (2000, 0.8), (3000, 0.7))]
    found = predicted(fitted(falling, noise=EXACT), 6000)
    assert found.score == pytest.approx(0.8, abs=0.02)
    assert more_labels(fitted(falling, noise=EXACT)).chance == 0.0


def test_a_loss_falls_and_its_interval_is_the_right_way_round() -> None:
    points = [Point(n, 0.5 + 4 * n**-0.5) for n in (250, 500, 750, 1000)]
    curve = fitted(points, top=0.0, higher_better=False, noise=EXACT)
    found = predicted(curve, 4000)
    assert found.score == pytest.approx(0.5 + 4 / np.sqrt(4000), abs=0.003)
    assert found.low < found.score < found.high
    assert "for -0.02 nats" in more_labels(curve, 0.02, unit="nats", per_unit=1).sentence


def test_no_score_above_the_best_is_thought_possible() -> None:
    points = [Point(n, score) for n, score in ((100, 0.90), (200, 0.95), (300, 0.97))]
    curve = fitted(points, top=1.0)
    assert (curve.ceiling <= 1.0).all() and (curve.scale >= 0).all()
    assert curve.weights.sum() == pytest.approx(1.0)


def test_the_noise_is_read_from_the_rows() -> None:
    rng = np.random.default_rng(1)
    hard = rng.random(2000)
    runs = [(hard < 0.8) ^ (rng.random(2000) < 0.05) for _ in range(4)]
    found = noise_of([Point(n, run.mean(), run * 1.0) for n, run in zip((1, 2, 3, 4), runs, strict=True)])
    assert found.training == pytest.approx(np.sqrt(0.05 * 0.95 / 2000), rel=0.1), "rows hard for all are no noise"
    assert found.labels == pytest.approx(np.sqrt(0.77 * 0.23), rel=0.05)
    without = noise_of([Point(n, 80.0) for n in (1, 2, 3)], top=100.0)
    assert (without.training, without.labels) == (pytest.approx(0.4), pytest.approx(40.0))


def test_fewer_labels_make_a_wider_interval() -> None:
    few, many = (fitted(along([n, 2 * n, 3 * n, 4 * n], scale=0.4 * n**0.5)) for n in (50, 5000))
    widths = [(lambda at: at.high - at.low)(predicted(curve, curve.labels * 2)) for curve in (few, many)]
    assert widths[0] > 2 * widths[1]


def test_what_makes_no_curve_is_refused() -> None:
    with pytest.raises(BadInput, match="at least three"):
        fitted(along([100, 100, 200]))
    with pytest.raises(BadInput, match="needs a score"):
        fitted([*along([100, 200]), Point(300, float("nan"))])
    with pytest.raises(BadInput, match="above 0"):
        more_labels(fitted(along([100, 200, 300])), 0.0)


def test_the_same_points_give_the_same_curve_in_any_order() -> None:
    points = along([250, 500, 750, 1000])
    one, two = (predicted(fitted(given), 2000) for given in (points, points[::-1]))
    assert one == two and isinstance(fitted(points), Curve)
