"""Gold examples: hidden from nobody's count, picked once for everybody, and never from one's own."""

from __future__ import annotations

import pytest

from storage.database import Database
from storage.gold import get_gold
from storage.records import User
from studio.errors import BadInput, NotFound
from studio.labeling.gold import gold_accuracy, pick_gold, remove_gold, set_gold
from tests.labeling.crew import add_examples, answer, project_of

ADMIN = User("root", "admin")


def test_gold_is_set_anew_and_removed_and_logged(db: Database) -> None:
    project = project_of(db, "classification")
    (one,) = add_examples(db, project, 1)
    set_gold(db, ADMIN, one, "refund")
    set_gold(db, ADMIN, one, "login")
    gold = get_gold(db, one)
    assert gold is not None and (gold.response, gold.created_by) == ("login", "root")
    remove_gold(db, ADMIN, one)
    assert get_gold(db, one) is None
    actions = [row[0] for row in db.query("SELECT action FROM audit ORDER BY number")]
    assert actions == ["gold set", "gold set", "gold remove"]
    with pytest.raises(NotFound):
        remove_gold(db, ADMIN, one)


def test_a_known_answer_has_to_fit_the_task(db: Database) -> None:
    project = project_of(db, "classification")
    (one,) = add_examples(db, project, 1)
    with pytest.raises(BadInput, match="no label 'parcels'"):
        set_gold(db, ADMIN, one, "parcels")
    assert get_gold(db, one) is None


def test_each_gold_example_is_picked_once_for_each_annotator(db: Database) -> None:
    project = project_of(db, "classification", review=False)
    ids = add_examples(db, project, 4)
    for one in ids[:3]:
        set_gold(db, ADMIN, one, "refund")
    answer(db, project, ids[0], "ann", "refund")  # she has seen this one as an ordinary example
    picked = set()
    while example := pick_gold(db, project.id, "ann"):
        assert pick_gold(db, project.id, "ann") == example
        picked.add(example)
        answer(db, project, example, "ann", "refund", source="gold")
    assert picked == {ids[1], ids[2]}
    assert pick_gold(db, project.id, "root") is None  # who set them knows the answers
    assert pick_gold(db, project.id, "bob") in ids[:3]


def test_accuracy_is_by_the_newest_answer_and_by_task(db: Database) -> None:
    project = project_of(db, "classification", review=False)
    one, two = add_examples(db, project, 2)
    set_gold(db, ADMIN, one, "refund")
    set_gold(db, ADMIN, two, "login")
    answer(db, project, one, "ann", "delivery", source="gold")
    answer(db, project, one, "ann", "refund", source="gold")
    answer(db, project, two, "ann", "refund", source="gold")
    found = gold_accuracy(db, project)["ann"]
    assert (found.answers, found.accuracy) == (2, 0.5)


def test_text_is_scored_by_chrf(db: Database) -> None:
    project = project_of(db, review=False)
    one, two = add_examples(db, project, 2)
    for example in (one, two):
        set_gold(db, ADMIN, example, "Your parcel comes tomorrow.")
    answer(db, project, one, "ann", " Your parcel comes tomorrow.", source="gold")
    answer(db, project, two, "ann", "xyz", source="gold")
    assert gold_accuracy(db, project)["ann"].accuracy == pytest.approx(0.5, abs=0.02)
