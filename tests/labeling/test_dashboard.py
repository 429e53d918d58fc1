"""The dashboard's figures, counted by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from storage.annotations import undo
from storage.database import Database, now
from storage.records import User
from storage.reviews import Decision
from studio.labeling.agreement import agreement
from studio.labeling.dashboard import dashboard, with_agreement
from studio.labeling.gold import set_gold
from studio.labeling.label_quality import look_again
from studio.labeling.review import Wanted, decide, open_review
from tests.labeling.crew import add_examples, answer, project_of

REVIEWER = User("rita", "reviewer")


def test_an_empty_project_has_an_empty_dashboard(db: Database) -> None:
    found = dashboard(db, project_of(db).id)
    assert (found.people, found.days, found.lines) == ((), (), ())


def test_counts_pace_and_accepted_share(db: Database) -> None:
    project = project_of(db)
    ids = add_examples(db, project, 4)
    for seconds, one in zip((10, 20, 60), ids, strict=False):
        answer(db, project, one, "ann", "text", seconds=seconds)
    answer(db, project, ids[3], "ann", "", "skip")
    for what in ("accept", "edit", "return"):
        item = open_review(db, project.id, Wanted()).item
        assert item is not None
        about = Decision(item.example.id, item.answers[0].act.id, what, item.stamp, "better", "", "why")
        decide(db, REVIEWER, about, Wanted())
    (person,) = dashboard(db, project.id).people
    assert (person.annotator, person.answers, person.median_seconds) == ("ann", 3, 20)
    assert (person.accepted.value, person.accepted.of) == (pytest.approx(1 / 3), 3)
    assert person.agreement is None and person.gold is None and person.suggestions.value is None


def test_looking_again_counts_against_nobody(db: Database) -> None:
    project = project_of(db, "classification", review=False)
    (one,) = add_examples(db, project, 1)
    answer(db, project, one, "ann", "refund")
    assert look_again(db, REVIEWER, project.id, [one]) == 1
    assert dashboard(db, project.id).people[0].accepted.of == 0


def test_suggestions_taken_and_gold(db: Database) -> None:
    project = project_of(db, "classification", review=False)
    ids = add_examples(db, project, 3)
    with db.write() as cursor:
        for number, outcome in enumerate(("accepted", "accepted", "edited", "rejected", None)):
            cursor.execute(
                "INSERT INTO suggestions (id, example_id, project_id, source, response, value, created_at, outcome, "
                "annotator) VALUES (?, ?, ?, 'starter', 'x', '', ?, ?, ?)",
                [f"s{number}", ids[0], project.id, now(), outcome, "ann" if outcome else None],
            )
    set_gold(db, REVIEWER, ids[1], "login")
    answer(db, project, ids[1], "ann", "login", source="gold")
    (person,) = dashboard(db, project.id).people
    assert (person.suggestions.value, person.suggestions.of) == (0.5, 4)
    assert person.gold is not None and (person.gold.accuracy, person.gold.answers) == (1.0, 1)


def test_agreement_with_the_others_is_a_share_of_equal_answers(db: Database) -> None:
    project = project_of(db, "classification", overlap=3, review=False)
    for number, one in enumerate(add_examples(db, project, 20)):
        answer(db, project, one, "ann", "refund")
        answer(db, project, one, "bob", "refund" if number < 15 else "login")
        answer(db, project, one, "cat", "refund" if number < 10 else "delivery")
    found = with_agreement(dashboard(db, project.id), agreement(db, project.id))
    people = {person.annotator: person for person in found.people}
    shown = people["bob"].agreement
    assert shown is not None and shown.examples == 20
    assert shown.value == pytest.approx((15 + 10) / 40)


def test_lines_are_of_the_busiest_and_have_every_day(db: Database) -> None:
    project = project_of(db, review=False)
    today = now()
    for number, one in enumerate(add_examples(db, project, 15)):
        given = answer(db, project, one, f"p{number % 5}")
        if number == 0:
            with db.write() as cursor:
                cursor.execute(
                    "UPDATE annotations SET created_at = ? WHERE number = ?", [today - timedelta(days=2), given.number]
                )
    answer(db, project, one, "p4", "a revision is no new answer")
    found = dashboard(db, project.id)
    assert found.days == tuple(date.fromordinal(today.toordinal() - back) for back in (2, 1, 0))
    assert [line.annotator for line in found.lines] == ["p0", "p1", "p2", "p3"] and found.others == 1
    assert found.lines[0].counts == (1, 0, 2)


def test_answers_from_before_the_last_days_count_but_have_no_day(db: Database) -> None:
    project = project_of(db, review=False)
    first, second, third = add_examples(db, project, 3)
    old = answer(db, project, first, "ann")
    with db.write() as cursor:
        cursor.execute(
            "UPDATE annotations SET created_at = ? WHERE number = ?", [now() - timedelta(days=90), old.number]
        )
    answer(db, project, second, "ann")
    answer(db, project, third, "bob")
    undo(db, project.id, "bob")
    found = dashboard(db, project.id)
    assert [(person.annotator, person.answers) for person in found.people] == [("ann", 2)]
    assert len(found.days) == 1 and found.lines[0].counts == (1,)
