"""Most diverse and most uncertain first: on made-up clusters, and through the database."""

from __future__ import annotations

import numpy as np
import pytest

from storage.annotations import Act, Rules, append_act
from storage.database import Database
from storage.embeddings import insert_vectors
from storage.projects import create_project
from storage.records import Label, Project, Settings
from storage.suggestions import NewSuggestion, add_suggestions
from studio.labeling.classifier import train_classifier
from studio.labeling.diversity import diversity_scores, spread
from studio.labeling.ordering import order_by_diversity, order_by_entropy, order_by_uncertainty
from studio.labeling.uncertainty import batch_size, enough_to_begin, entropy_scores, is_due, uncertain_scores
from tests.labeling.samples import clusters, in_order, put_examples

SIZES = (200, 100, 40, 20, 10, 5)


def test_the_first_of_a_diverse_order_cover_every_cluster() -> None:
    vectors, member = clusters(SIZES)
    order = np.argsort(-diversity_scores(vectors))
    assert set(member[order[:16]]) == set(range(6))
    assert sorted(order) == list(range(375))


def test_a_diverse_order_of_few_or_equal_rows() -> None:
    vectors, _ = clusters((3,))
    assert len(set(diversity_scores(vectors))) == 3
    assert len(set(diversity_scores(np.repeat(vectors[:1], 40, axis=0)))) == 40
    assert len(diversity_scores(np.zeros((0, 384)))) == 0


def test_near_duplicates_are_not_asked_in_a_row() -> None:
    vectors, member = clusters((50, 50, 50), noise=0.05)
    scores = np.full(150, 0.4)
    scores[:50] = 0.9  # all of one kind are the most uncertain
    assert np.bincount(member[spread(scores, vectors, 6)], minlength=3).tolist() != [6, 0, 0]
    assert set(member[np.argsort(-scores, kind="stable")[:6]]) == {0}


def test_the_batch_comes_first_and_the_rest_by_margin() -> None:
    vectors, member = clusters((60, 60), noise=1.5)
    classifier = train_classifier(vectors[::10], [str(m) for m in member[::10]], ["0", "1"], False)
    scores = uncertain_scores(classifier, vectors, 10)
    assert (np.sort(scores)[-10:] > 1).all() and (np.sort(scores)[:-10] <= 1).all()
    rest = scores <= 1
    assert np.allclose(scores[rest], classifier.uncertainty(vectors)[rest])


@pytest.mark.parametrize("kinds", [2, 5])
def test_the_classifier_learns(kinds: int) -> None:
    vectors, member = clusters((30,) * kinds)
    classifier = train_classifier(vectors[::3], [f"l{m}" for m in member[::3]], [f"l{m}" for m in range(kinds)], False)
    given = [prediction.response for prediction in classifier.predict(vectors)]
    assert np.mean([a == f"l{m}" for a, m in zip(given, member, strict=True)]) > 0.95
    assert classifier.probabilities(vectors).sum(axis=1) == pytest.approx(1.0)


def test_several_labels_are_learned_one_by_one() -> None:
    vectors, member = clusters((30, 30, 30))
    names = ["even", "zero", "never"]
    said = ["\n".join(n for n, yes in zip(names, (m % 2 == 0, m == 0, False), strict=True) if yes) for m in member]
    rows = [row for row in range(90) if said[row]]
    classifier = train_classifier(vectors[rows], [said[row] for row in rows], names, True)
    assert classifier.classes == ("zero",)  # "even" holds for all that were labeled: nothing to learn
    assert classifier.predict(vectors[:1])[0].response == "zero"


def test_one_kind_of_label_teaches_nothing() -> None:
    vectors, _ = clusters((5,))
    assert train_classifier(vectors, ["a"] * 5, ["a", "b"], False) is None
    assert train_classifier(vectors, ["gone"] * 5, ["a", "b"], False) is None


def test_when_to_train_and_how_many_to_ask() -> None:
    assert [enough_to_begin(n, 77) for n in (153, 154)] == [False, True]
    assert [batch_size(n) for n in (0, 99, 500)] == [10, 10, 50]
    assert [is_due(*pair) for pair in ((9, 0), (10, 0), (549, 500), (550, 500))] == [False, True, False, True]


def test_only_the_upper_half_of_the_entropies_goes_ahead() -> None:
    assert entropy_scores([0.1, 0.4, 0.2]) == [None, 0.4, None]
    assert entropy_scores([]) == []


@pytest.fixture
def project(db: Database) -> tuple[Project, list[str], np.ndarray]:
    """Sixty examples of three labels with vectors."""
    labels = tuple(Label(f"l{n}", "#000000") for n in range(3))
    made = create_project(db, "Topics", "classification", settings=Settings(labels=labels))
    vectors, member = clusters((30, 20, 10))
    ids = put_examples(db, made.id, [f"text {n}" for n in range(60)])
    insert_vectors(db, made.id, ids, vectors)
    return made, ids, member


def label(db: Database, example_id: str, name: str) -> None:
    with db.write() as cursor:
        append_act(cursor, Act(example_id, "ann", "submit", name), Rules())


def test_the_database_is_put_in_diverse_order(db: Database, project: tuple[Project, list[str], np.ndarray]) -> None:
    made, ids, member = project
    before = db.version(made.id)
    assert order_by_diversity(db, made.id) == 60
    first = [ids.index(one) for one in in_order(db, made.id, "diversity", 16)]
    assert set(member[first]) == {0, 1, 2}
    assert db.version(made.id) > before  # the queue reads the order anew


def test_the_database_is_put_in_uncertain_order(db: Database, project: tuple[Project, list[str], np.ndarray]) -> None:
    made, ids, member = project
    assert order_by_uncertainty(db, made) is None
    for n in range(0, 60, 5):
        label(db, ids[n], f"l{member[n]}")
    trained = order_by_uncertainty(db, made)
    assert trained.labels == 12
    assert trained.answers([ids[1], ids[59]]) and trained.answers(["nobody"]) == {}
    assert [trained.answers([ids[n]])[ids[n]].response for n in (1, 59)] == ["l0", "l2"]
    scored = db.query("SELECT status, count(uncertainty), max(uncertainty) FROM examples GROUP BY status ORDER BY 1")
    assert scored == [("labeled", 0, None), ("todo", 48, 2.0)]


def test_entropies_put_the_least_sure_first(db: Database, project: tuple[Project, list[str], np.ndarray]) -> None:
    made, ids, _ = project
    rows = [NewSuggestion(ids[n], "run:a", "l0", "", n / 10) for n in (5, 6, 7)]
    add_suggestions(db, made.id, rows)
    assert order_by_entropy(db, made.id, "run:a") == 3
    assert in_order(db, made.id, "uncertainty", 2) == [ids[7], ids[0]]
