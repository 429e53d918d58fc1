"""Label quality: planted errors are found, looked at again, and nothing is decided without vectors."""

from __future__ import annotations

import numpy as np
import pytest

from storage.database import Database
from storage.embeddings import insert_vectors
from storage.examples import get_example, return_comment
from storage.records import Project, User
from studio.errors import BadInput, Cancelled
from studio.labeling.label_quality import AGAIN, embedded, find_suspects, look_again
from studio.labeling.review import Wanted, undo_decision
from tests.labeling.crew import add_examples, answer, project_of

LABELS = ("refund", "delivery", "login")
ADMIN = User("root", "admin")


def go_on(fraction: float, words: str) -> bool:
    return True


@pytest.fixture
def planted(db: Database) -> tuple[Project, list[str]]:
    """Ninety examples in three clusters; the first of each has another cluster's label."""
    project = project_of(db, "classification", review=False)
    ids = add_examples(db, project, 90)
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(3, 384))
    vectors = centres[np.arange(90) % 3] + 0.4 * rng.normal(size=(90, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    insert_vectors(db, project.id, ids, np.ascontiguousarray(vectors, dtype=np.float32))
    for number, one in enumerate(ids):
        answer(db, project, one, "ann", LABELS[(number % 3 + (number < 3)) % 3])
    return project, ids


def test_planted_errors_are_found_with_what_they_should_be(db: Database, planted: tuple[Project, list[str]]) -> None:
    project, ids = planted
    told: list[float] = []
    report = find_suspects(db, project.id, lambda fraction, words: not told.append(fraction))
    assert {suspect.example_id for suspect in report.suspects} == set(ids[:3])
    first = next(suspect for suspect in report.suspects if suspect.example_id == ids[0])
    assert (first.given, first.likely, first.annotator) == ("delivery", "refund", "ann")
    assert first.score < 0.5 and first.text == f"Question {ids[0]}?"
    assert (report.looked_at, report.found) == (90, 3) and report.accuracy > 0.9
    assert told == sorted(told) and told[-1] == 1.0


def test_what_is_looked_at_again_is_in_the_queue_and_its_answer_stays(
    db: Database, planted: tuple[Project, list[str]]
) -> None:
    project, ids = planted
    version = db.version(project.id)
    assert look_again(db, ADMIN, project.id, ids[:2]) == 2
    assert look_again(db, ADMIN, project.id, ids[:2]) == 0
    found = get_example(db, ids[0])
    assert (found.status, found.review, found.returned_to) == ("todo", "returned", None)
    assert return_comment(db, ids[0]) == ("root", AGAIN)
    assert db.version(project.id) > version
    assert db.query("SELECT user_name, action, subject FROM audit WHERE action = 'look again' ORDER BY subject") == [
        ("root", "look again", ids[0]),
        ("root", "look again", ids[1]),
    ]
    answer(db, project, ids[0], "ann", "refund")
    assert get_example(db, ids[0]).status == "labeled"


def test_looking_again_can_be_taken_back_where_nobody_answered(
    db: Database, planted: tuple[Project, list[str]]
) -> None:
    project, ids = planted
    before = get_example(db, ids[1])
    look_again(db, ADMIN, project.id, ids[:2])
    answer(db, project, ids[0], "ann", "login")
    assert undo_decision(db, ADMIN, project.id, Wanted()).taken_back == 1
    assert get_example(db, ids[1]) == before


def test_it_can_be_cancelled(db: Database, planted: tuple[Project, list[str]]) -> None:
    with pytest.raises(Cancelled):
        find_suspects(db, planted[0].id, lambda fraction, words: fraction < 0.3)


def test_without_vectors_it_says_what_is_missing(db: Database) -> None:
    project = project_of(db, "classification", review=False)
    for one in add_examples(db, project, 12):
        answer(db, project, one, "ann", "refund")
    assert embedded(db, project.id) == (12, 0)
    with pytest.raises(BadInput, match="embed the examples"):
        find_suspects(db, project.id, go_on)
    with pytest.raises(BadInput, match="classification projects"):
        find_suspects(db, project_of(db, "instruction").id, go_on)


def test_rare_labels_are_left_out_and_named(db: Database, planted: tuple[Project, list[str]]) -> None:
    project, ids = planted
    answer(db, project, ids[50], "ann", "rare")
    report = find_suspects(db, project.id, go_on)
    assert report.left_out == ("rare",) and report.looked_at == 89
