"""The charts of a preference run."""

from __future__ import annotations

from studio.ui.components.rewards import rewards


def test_both_charts_are_drawn_and_say_their_last_values():
    html = rewards([[(1, 0.0), (8, 0.4)], [(0, 0.0), (8, -0.1)]], [[(1, 0.5)], [(8, 1.0)]], 8)
    assert html.count("<svg") == 2 and "train 0.400" in html and "validation -0.100" in html
    assert "Reward margin: train 0.400 at step 8" in html and "Reward accuracy" in html


def test_a_run_without_rewards_has_no_such_charts():
    assert rewards([[], []], [[], []], 10) == ""
    assert rewards([[(1, float("nan"))], []], [[], []], 10) == ""


def test_a_margin_that_stands_still_is_drawn_too():
    assert "polyline" in rewards([[(1, 0.0), (2, 0.0)], []], [[], []], 0)
