"""The sentence on top: what it says of wins, losses, chance, and of data that cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from studio.evaluation.scoring import MEASURES, scored
from studio.evaluation.verdict import number, outcomes, percent, verdict, wilson
from tests.evaluation.samples import CorpusF1, Means, Whole, answered


def judged(wins: int, ties: int, losses: int) -> tuple[Means, Means]:
    base = np.repeat([0.0, 1.0, 1.0], [wins, ties, losses])
    return Means(base), Means(np.repeat([1.0, 1.0, 0.0], [wins, ties, losses]))


def test_a_better_model_is_said_in_shares_of_answers() -> None:
    found = verdict(*judged(146, 65, 29), name="exact match")
    assert found.sentence == "Better on 61 % of 240 held-out answers (55–67 %), worse on 12 %."
    assert (found.kind, found.wins, found.ties, found.losses, found.needed) == ("better", 146, 65, 29, None)


def test_a_worse_model_is_said_the_other_way_round() -> None:
    found = verdict(*judged(6, 54, 40))
    assert found.kind == "worse"
    assert found.sentence == "Worse on 40 % of 100 held-out answers (31–50 %), better on 6 %."


def test_where_lower_is_better_a_fall_is_a_win() -> None:
    rng = np.random.default_rng(1)
    base = Means(rng.normal(2.0, 0.3, 80))
    tuned = Means(base.rows - rng.normal(0.2, 0.1, 80))
    assert verdict(base, tuned, "loss", higher_better=False).kind == "better"
    assert verdict(base, tuned, "loss", higher_better=True).kind == "worse"


def test_chance_is_named_with_the_examples_that_would_be_needed() -> None:
    found = verdict(*judged(20, 70, 10))
    assert found.kind == "unshown" and found.needed == 134  # Connor's 234 for this effect, 100 are there
    assert found.sentence == "No difference can be shown; 134 more held-out examples would be needed."


def test_no_number_is_named_where_wins_and_losses_are_even() -> None:
    found = verdict(*judged(7, 30, 7))
    assert found.needed is None
    assert found.sentence == "No difference can be shown, and no number of held-out examples is likely to show one."


def test_the_same_answers_are_called_the_same() -> None:
    found = verdict(*judged(0, 50, 0))
    assert found.kind == "same" and found.needed is None
    assert found.sentence == "No difference: base and tuned model did equally well on each of 50 held-out answers."


def test_one_answer_is_not_judged() -> None:
    found = verdict(*judged(1, 0, 0))
    assert found.kind == "unknown"
    assert found.sentence == "One held-out answer says nothing about others: at least two are needed."


def test_an_average_that_goes_against_most_rows_is_said_with_both() -> None:
    base, tuned = np.full(100, 0.5), np.full(100, 0.5)
    tuned[:30], tuned[30:80] = 1.0, 0.49
    found = verdict(Means(base), Means(tuned), "ROUGE-L")
    assert found.kind == "better"
    assert found.sentence.startswith("Better by 0.145 (")
    assert found.sentence.endswith("in ROUGE-L, yet worse on 50 % of 100 held-out answers and better on only 30 %.")


def test_a_metric_of_the_whole_set_is_said_in_its_unit() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(400) < 0.4
    base, tuned = (answered(truth, truth ^ (rng.random(400) < error)) for error in (0.25, 0.05))
    found = verdict(base, tuned, "F1")
    assert found.kind == "better" and found.wins is None
    assert found.sentence.startswith("Better by 0.2") and found.sentence.endswith("in F1 on 400 held-out answers.")


def test_a_metric_of_the_whole_set_says_how_many_more_too() -> None:
    rng = np.random.default_rng(4)
    base = rng.normal(0, 1, 50)
    found = verdict(Whole(base), Whole(base + rng.normal(0.1, 1, 50)), "BLEU")
    assert found.kind == "unshown" and found.needed is not None and found.needed > 50


@pytest.mark.parametrize(("metric", "higher"), [("bleu", True), ("accuracy", True), ("macro_f1", True)])
def test_a_real_metric_is_judged(metric: str, higher: bool) -> None:
    words = ["the cat sat on the mat", "a dog ran over the hill", "birds sing in the early morning"]
    references = [words[row % 3] for row in range(60)]
    base = [words[(row + row % 2) % 3] for row in range(60)]
    labels = words if MEASURES[metric].labels else ()
    worse, better = (scored(metric, answers, references, labels) for answers in (base, references))
    found = verdict(worse, better, MEASURES[metric].title, higher)
    assert found.sentence == "Better on 50 % of 60 held-out answers (38–62 %), worse on 0 %."
    assert verdict(better, worse, MEASURES[metric].title, higher).kind == "worse"


def test_a_metric_of_the_whole_set_that_never_moves_is_the_same() -> None:
    parts = np.tile([1.0, 1.0], (30, 1))
    assert verdict(CorpusF1(parts), CorpusF1(parts)).kind == "same"


def test_tiny_differences_of_arithmetic_are_ties() -> None:
    assert outcomes(np.array([0.3, 0.3, 0.3]), np.array([0.1 + 0.2, 0.4, 0.2])) == ("tie", "win", "loss")
    assert outcomes(np.array([0.3]), np.array([0.2]), higher_better=False) == ("win",)


def test_shares_and_figures_are_written_as_they_are() -> None:
    assert wilson(146, 240)[1:] == (pytest.approx(0.5454, abs=1e-3), pytest.approx(0.6679, abs=1e-3))
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
    assert [percent(share) for share in (0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "0 %",
        "under 1 %",
        "50 %",
        "over 99 %",
        "100 %",
    ]
    assert [number(value) for value in (0.1234, 12.34, 1234.5)] == ["0.123", "12.3", "1,234"]
