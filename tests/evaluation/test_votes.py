"""Votes: strengths that are known come back, intervals hold, stopping early costs nothing, voters are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from studio.errors import BadInput
from studio.evaluation.votes import POINTS, Choice, Vote, confidence_sequence, elo, strengths, voters, win_rate


def cast(rng: Any, log_strengths: dict[str, float], nu: float, votes: int) -> list[Vote]:
    """Votes drawn from Davidson's model."""
    names, found = sorted(log_strengths), []
    for _ in range(votes):
        left, right = (str(name) for name in rng.choice(names, 2, replace=False))
        one, two = np.exp(log_strengths[left]), np.exp(log_strengths[right])
        weights = np.array([one, two, nu * np.sqrt(one * two)])
        choices: tuple[Choice, ...] = ("left", "right", "tie")
        found.append(Vote(left, right, choices[rng.choice(3, p=weights / weights.sum())]))
    return found


def between(wins: int, ties: int, losses: int) -> list[Vote]:
    choices: list[Choice] = ["left"] * wins + ["tie"] * ties + ["right"] * losses
    return [Vote("tuned", "base", choice) for choice in choices]


def test_two_models_have_the_odds_of_their_wins() -> None:
    found = strengths(between(60, 0, 20))
    assert [row.model for row in found.strengths] == ["tuned", "base"]
    assert found.strengths[0].points - found.strengths[1].points == pytest.approx(POINTS * np.log(3))
    # Wald on the log odds: error sqrt(1/60 + 1/20), half of it on each side of the average
    half = POINTS * 1.959964 * np.sqrt(1 / 60 + 1 / 20) / 2
    assert found.strengths[0].high - found.strengths[0].points == pytest.approx(half, rel=1e-4)


def test_ties_follow_davidson() -> None:
    # With wins w, losses l, ties t of two models: π1/π2 = w/l and ν = t / sqrt(w l)
    found = strengths(between(40, 30, 10))
    assert found.tie == pytest.approx(30 / np.sqrt(400))
    assert found.strengths[0].points - found.strengths[1].points == pytest.approx(POINTS * np.log(4))


def test_the_intervals_hold_the_true_strengths_as_often_as_they_say() -> None:
    true, rng, held = {"a": 0.0, "b": 0.6, "c": -0.6}, np.random.default_rng(1), []
    for _ in range(200):
        found = strengths(cast(rng, true, 0.5, 150))
        held += [row.low <= 1000 + POINTS * true[row.model] <= row.high for row in found.strengths]
    assert len(held) == 600
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ([], "no votes"),
        (between(9, 0, 0), "won all"),
        (between(0, 5, 0), "tie"),
        ([*between(3, 0, 2), Vote("x", "y", "left"), Vote("x", "y", "right")], "never compared"),
    ],
)
def test_votes_that_cannot_rank_say_why(votes: list[Vote], reason: str) -> None:
    found = strengths(votes)
    assert found.strengths == () and reason in found.reason


def test_both_bad_counts_as_a_tie_and_sides_do_not_matter() -> None:
    votes = [Vote("a", "b", "left"), Vote("b", "a", "right"), Vote("a", "b", "right"), Vote("a", "b", "tie")]
    turned = [Vote("b", "a", "right"), Vote("a", "b", "left"), Vote("b", "a", "left"), Vote("b", "a", "bad")]
    assert strengths(votes) == strengths(turned)


def test_wrong_votes_are_refused() -> None:
    with pytest.raises(BadInput, match="two different models"):
        strengths([Vote("a", "a", "left")])
    with pytest.raises(BadInput, match="left, right, tie or bad"):
        elo([Vote("a", "b", "up")])  # type: ignore[arg-type]


def test_elo_moves_as_elo_says() -> None:
    assert elo([Vote("a", "b", "left")]) == {"a": 1016.0, "b": 984.0}
    assert elo([Vote("a", "b", "tie")]) == {"a": 1000.0, "b": 1000.0}
    # 400 points ahead: expected 10/11, so a win brings 32/11
    ahead = elo([Vote("a", "b", "left")] * 2)
    assert ahead["a"] == pytest.approx(1016 + 32 * (1 - 1 / (1 + 10 ** (-32 / 400))))
    assert sum(ahead.values()) == pytest.approx(2000)


def test_equal_models_are_told_apart_at_most_five_times_in_a_hundred_though_looked_at_always() -> None:
    rng = np.random.default_rng(2)
    scores = rng.choice([0.0, 0.5, 1.0], p=[0.4, 0.2, 0.4], size=(200, 150))
    wrong = [not low <= 0.5 <= high for low, high in map(confidence_sequence, scores)]
    assert np.mean(wrong) <= 0.05, "the interval only ever shrinks, so the last one has seen every look"


def test_a_clear_preference_is_found_and_said() -> None:
    rng = np.random.default_rng(3)
    votes = [Vote("tuned", "base", "left" if rng.random() < 0.75 else "right") for _ in range(120)]
    found = win_rate(votes, "tuned", "base")
    assert found.enough and found.leader == "tuned" and 0.5 < found.low < 0.75 < found.high
    assert "tuned is preferred to base in" in found.sentence and found.sentence.endswith("enough votes are in.")
    back = win_rate(votes, "base", "tuned")
    assert back.leader == "tuned" and back.rate == pytest.approx(1 - found.rate)
    assert "tuned is preferred to base in" in back.sentence


def test_few_votes_ask_for_more_and_many_even_ones_say_equal() -> None:
    few = win_rate(between(3, 1, 1), "tuned", "base")
    assert not few.enough and few.sentence == "5 votes cannot tell tuned and base apart yet: go on voting."
    even = win_rate([*between(1, 1, 1)] * 300, "tuned", "base")
    assert even.enough and even.leader == "" and "about equal" in even.sentence
    none = win_rate([], "tuned", "base")
    assert (none.low, none.high, none.sentence) == (0.0, 1.0, "No votes between tuned and base yet.")


def test_all_ties_close_in_on_a_half_and_all_wins_are_decided() -> None:
    low, high = confidence_sequence([0.5] * 60)
    assert low < 0.5 < high and high - low < 0.2
    assert confidence_sequence([1.0] * 12)[0] > 0.5
    assert confidence_sequence([1.0] * 3)[0] < 0.5


def test_voters_are_compared_where_they_judged_the_same() -> None:
    votes = []
    for number in range(20):
        item = f"item {number}"
        votes.append(Vote("a", "b", "left", "ann", item))
        votes.append(Vote("b", "a", "right", "ben", item))
        votes.append(Vote("a", "b", "right" if number < 15 else "left", "cyn", item))
    found = {row.voter: row for row in voters([*votes, Vote("a", "b", "left")])}
    assert (found["ann"].agreed, found["ann"].shared) == (25, 40)
    assert (found["cyn"].agreed, found["cyn"].shared) == (10, 40)
    assert found["cyn"].high < found["ann"].agreed / found["ann"].shared
    assert (found["ben"].left, found["ben"].decided) == (0, 20), "always the right pane: worth a look"


def test_of_two_votes_on_an_item_the_last_counts() -> None:
    votes = [Vote("a", "b", "left", "ann", "1"), Vote("a", "b", "tie", "ann", "1"), Vote("a", "b", "tie", "ben", "1")]
    assert [(row.agreed, row.shared, row.votes) for row in voters(votes)] == [(1, 1, 1), (1, 1, 1)]
