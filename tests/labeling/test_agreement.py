"""Agreement: the same figures as the reference implementations, and none where there is too little."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from sacrebleu import sentence_chrf
from sklearn.metrics import cohen_kappa_score

from storage.database import Database
from storage.records import Project
from studio.labeling.agreement import Agreement, agreement
from studio.labeling.reliability import (
    Patterns,
    _alphas,
    alpha,
    collapse,
    kappa,
    masi_distances,
    mean,
    ordinal_distances,
)
from tests.labeling.crew import add_examples, answer, project_of

LABELS = ("refund", "delivery", "login")


def matrix(examples: int, people: int, values: int, missing: float, seed: int = 3) -> np.ndarray:
    """Codes (people, examples) of annotators who are right seven times in ten; NaN where somebody gave none."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, values, examples)
    codes = np.where(rng.random((people, examples)) < 0.7, truth, rng.integers(0, values, (people, examples)))
    return np.where(rng.random((people, examples)) < missing, np.nan, codes.astype(float))


def units_of(codes: np.ndarray) -> list[list[int]]:
    return [[int(code) for code in unit if not np.isnan(code)] for unit in codes.T]


def labeled(db: Database, task: str, codes: np.ndarray, words: tuple[str, ...]) -> Project:
    """A project in which person p gave example e the word of codes[p, e]."""
    project = project_of(db, task, overlap=len(codes), review=False)
    for example, unit in zip(add_examples(db, project, codes.shape[1]), codes.T, strict=True):
        for person, code in enumerate(unit):
            if not np.isnan(code):
                answer(db, project, example, f"p{person}", words[int(code)])
    return project


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_alpha_and_its_resamples_are_the_reference_formula(level: str, missing: float) -> None:
    codes = matrix(80, 4, 5, missing)
    reference = krippendorff.alpha(reliability_data=codes, level_of_measurement=level)
    patterns = collapse(units_of(codes), 5)
    assert alpha(patterns, level).value == pytest.approx(reference, abs=1e-12)
    again = np.random.default_rng(1).multinomial(80, patterns.examples / patterns.examples.sum(), size=1)
    drawn = krippendorff.alpha(
        value_counts=np.repeat(patterns.counts, again[0], axis=0), value_domain=np.arange(5), level_of_measurement=level
    )
    assert _alphas(patterns, level)(again.astype(float))[0] == pytest.approx(drawn, abs=1e-12)


def test_the_library_is_left_aside_only_where_its_array_would_not_fit() -> None:
    codes = matrix(1_000, 3, 77, 0.1)
    patterns = collapse(units_of(codes), 77)
    reference = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
    assert patterns.examples.sum() * 77**2 > 5_000_000
    assert alpha(patterns, "nominal").value == pytest.approx(reference, abs=1e-12)


def test_the_interval_covers_the_true_value_about_as_often_as_it_says() -> None:
    truth = alpha(collapse(units_of(matrix(20_000, 2, 3, 0.0, 99)), 3), "nominal").value
    found = [alpha(collapse(units_of(matrix(100, 2, 3, 0.0, seed)), 3), "nominal") for seed in range(60)]
    covered = sum(one.low <= truth <= one.high for one in found)  # type: ignore[operator]
    assert 51 <= covered <= 60


def test_ordinal_distances_are_those_of_the_library() -> None:
    given = np.array([[4.0, 1.0, 7.0]])
    assert ordinal_distances(given)[0].tolist() == [[0, 6.25, 42.25], [6.25, 0, 16.0], [42.25, 16.0, 0]]


def test_masi_is_the_published_distance() -> None:
    sets = [frozenset("a"), frozenset("ab"), frozenset("bc"), frozenset("d")]
    far = masi_distances(sets)
    assert far[0, 0] == 0
    assert far[0, 1] == pytest.approx(1 - 1 / 2 * 2 / 3)
    assert far[1, 2] == pytest.approx(1 - 1 / 3 * 1 / 3)
    assert far[0, 3] == 1


def test_alpha_of_label_sets_uses_that_distance() -> None:
    sets = [frozenset("a"), frozenset("ab"), frozenset("bc")]
    far = masi_distances(sets)
    patterns = collapse(units_of(matrix(40, 2, 3, 0.0)), 3)
    own = _alphas(patterns, far)(patterns.examples[None, :].astype(float))[0]
    assert alpha(patterns, far).value == pytest.approx(own, abs=1e-12)


@pytest.mark.parametrize("by_rank", [False, True])
def test_kappa_is_scikit_learns(by_rank: bool) -> None:
    first, second = ([int(code) for code in row] for row in matrix(60, 2, 4, 0.0))
    reference = cohen_kappa_score(first, second, weights="quadratic" if by_rank else None)
    found = kappa(first, second, 4, by_rank)
    assert found.value == pytest.approx(reference)
    assert found.low is not None and found.high is not None and found.low < reference < found.high


def test_one_answer_for_all_has_no_alpha_and_no_kappa() -> None:
    same = alpha(Patterns(np.array([[2, 0]]), np.array([30])), "nominal")
    assert (same.value, same.examples) == (None, 30) and "not defined" in same.reason
    assert "not defined" in kappa([1] * 20, [1] * 20, 3).reason


def test_nothing_is_shown_for_fewer_than_ten_examples(db: Database) -> None:
    codes = matrix(9, 2, 3, 0.0)
    found = agreement(db, labeled(db, "classification", codes, LABELS).id)
    shown = [found.overall, *(label.alpha for label in found.labels), *(pair.agreement for pair in found.pairs)]
    assert {one.value for one in shown} == {None}
    assert found.overall.examples == 9 and "fewer than 10" in found.overall.reason
    assert mean([1.0] * 9).value is None and mean([1.0] * 10).value == 1.0


def test_project_labels_and_pairs_of_annotators(db: Database) -> None:
    codes = matrix(60, 3, 3, 0.2)
    found = agreement(db, labeled(db, "classification", codes, LABELS).id)
    reference = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
    assert found.overall.value == pytest.approx(reference)
    assert found.overall.examples == sum(len(unit) > 1 for unit in units_of(codes))
    binary = np.where(np.isnan(codes), np.nan, (codes == 0).astype(float))
    refund = next(label.alpha for label in found.labels if label.label == "refund")
    assert refund.value == pytest.approx(krippendorff.alpha(reliability_data=binary, level_of_measurement="nominal"))
    both = ~np.isnan(codes[0]) & ~np.isnan(codes[1])
    pair = next(pair.agreement for pair in found.pairs if (pair.first, pair.second) == ("p0", "p1"))
    assert pair.value == pytest.approx(cohen_kappa_score(codes[0][both], codes[1][both]))
    assert pair.examples == both.sum()


def test_ratings_are_compared_by_rank_and_the_same_data_gives_the_same_interval(db: Database) -> None:
    codes = matrix(40, 2, 5, 0.0)
    project = labeled(db, "rating", codes, ("1", "2", "3", "4", "5"))
    reference = krippendorff.alpha(reliability_data=codes, level_of_measurement="ordinal")
    assert agreement(db, project.id).overall.value == pytest.approx(reference)
    assert agreement(db, project.id) == agreement(db, project.id)


def test_label_sets_and_preferences(db: Database) -> None:
    codes = matrix(30, 2, 3, 0.0)
    sets = agreement(db, labeled(db, "multi-label", codes, ("refund", "refund\ndelivery", "login")).id)
    assert sets.distance == "MASI" and sets.overall.value is not None
    assert [label.label for label in sets.labels] == ["delivery", "login", "refund"]
    choices = agreement(db, labeled(db, "preference", codes, ("A", "B", "tie")).id)
    assert choices.overall.value == pytest.approx(
        krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
    )


def test_only_what_annotators_gave_independently_counts(db: Database) -> None:
    project = labeled(db, "classification", matrix(20, 2, 3, 0.0), LABELS)
    before = agreement(db, project.id)
    example = add_examples(db, project, 1, start=500)[0]
    for who, source in (("imp", "import"), ("rev", "review"), ("gol", "gold"), ("p0", "label")):
        answer(db, project, example, who, "login", source=source)
    assert agreement(db, project.id) == before


def test_a_revised_answer_counts_once_as_it_is_now(db: Database) -> None:
    project = project_of(db, "classification", overlap=2, review=False)
    for number, example in enumerate(add_examples(db, project, 12)):
        label = LABELS[number % 3]
        answer(db, project, example, "ann", label)
        answer(db, project, example, "bob", "login")
        answer(db, project, example, "bob", label)
    assert agreement(db, project.id).overall.value == pytest.approx(1.0)


def texts(db: Database, count: int) -> Agreement:
    project = project_of(db, "instruction", overlap=2, review=False)
    for number, example in enumerate(add_examples(db, project, count)):
        answer(db, project, example, "ann", f"The parcel {number} comes tomorrow.")
        answer(db, project, example, "bob", f"Parcel {number} arrives tomorrow, we hope.")
    return agreement(db, project.id)


def test_free_text_is_compared_by_chrf_both_ways(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    found = texts(db, 12)
    one, two = "The parcel 0 comes tomorrow.", "Parcel 0 arrives tomorrow, we hope."
    reference = (sentence_chrf(one, [two]).score + sentence_chrf(two, [one]).score) / 2
    assert found.measure == "chrf" and found.overall.value == pytest.approx(reference, abs=2)
    assert found.overall.examples == 12 and found.notes == ()


def test_many_texts_are_sampled_and_it_is_said(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.labeling.agreement.TEXT_PAIRS", 15)
    found = texts(db, 40)
    assert found.overall.examples == 15
    assert "15 pairs of answers to 15 of the 40 examples" in found.notes[0]
