"""Losses that end a run, and losses that do not."""

from __future__ import annotations

import math

import pytest

from studio.contract.spec import TrainSpec
from studio.errors import JobFailed
from studio.training.guards import LossGuard, check_validation, guard_of


def feed(losses, guard=None, norm=1.0):
    guard = guard or LossGuard()
    for step, loss in enumerate(losses, start=1):
        guard.check(step, loss, norm, 5e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_run_at_once(bad):
    with pytest.raises(JobFailed, match=r"loss is no longer a number at step 3.*now 0\.0005"):
        feed([2.0, 1.9, bad])
    with pytest.raises(JobFailed, match="gradients are no longer a number at step 1"):
        feed([2.0], norm=bad)
    with pytest.raises(JobFailed, match="validation loss is no longer a number at step 7"):
        check_validation(bad, 7)


def test_a_loss_far_above_where_it_began_ends_the_run():
    with pytest.raises(JobFailed, match=r"above 4\.00 for 10 steps \(it began at 2\.00\).*step 12"):
        feed([2.0, 2.5, *[5.0] * 10])
    feed([2.0, 2.5, *[5.0] * 9, 3.0, *[5.0] * 9])


def test_a_jump_that_stays_ends_the_run_though_it_is_below_where_it_began():
    fine = [4.0 * 0.9**step + 0.2 for step in range(60)]
    with pytest.raises(JobFailed, match=r"jumped from about 0\.\d\d to 3\.00.*step 70"):
        feed([*fine, *[3.0] * 10])


def test_a_spike_that_comes_back_does_not_end_the_run():
    feed([4.0 * 0.9**step + 0.2 for step in range(60)] + [3.0] * 9 + [0.3] * 30 + [3.0] * 9 + [0.2])


def test_a_small_noisy_loss_and_one_that_falls_fast_are_fine():
    feed([0.05 * (1 + step % 7) for step in range(200)])
    feed([10.0, 5.0, 1.0, *[0.01] * 50, 0.5, 0.9])


def test_ipo_s_own_size_of_loss_is_not_a_jump():
    spec = TrainSpec(snapshot="/s", models="/m", objective="ipo", beta=0.1)
    noisy = [25.0, *[1.0] * 20, *[20.0] * 12]
    feed(noisy, guard_of(spec))
    with pytest.raises(JobFailed, match="jumped"):
        feed(noisy, guard_of(spec.model_copy(update={"objective": "dpo"})))
