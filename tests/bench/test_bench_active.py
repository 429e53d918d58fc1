"""The benchmark's own arithmetic, and its short form."""

from __future__ import annotations

import itertools

import pytest

from tests.bench.bench_active import checkpoints, labels_needed, made_up, our_curve, random_curve


def test_labels_needed_lies_between_two_measurements() -> None:
    curve = [(20, 0.2), (40, 0.6), (60, 0.5), (80, 0.8)]
    assert labels_needed(curve, 0.4) == pytest.approx(30)
    assert labels_needed(curve, 0.7) == pytest.approx(70)
    assert labels_needed(curve, 0.9) is None


def test_it_is_measured_often_enough() -> None:
    found = checkpoints(300)
    assert (found[0], found[-1]) == (20, 300)
    assert all(b - a <= max(10, a / 10) for a, b in itertools.pairwise(found))


def test_made_up_clusters_are_learned_with_fewer_labels() -> None:
    task = made_up(rows=500)
    ours, other = our_curve(task, 80, 0), random_curve(task, 80, 0)
    assert labels_needed(ours, 0.6) < labels_needed(other, 0.6)
