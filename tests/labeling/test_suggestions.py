"""What becomes of suggestions: outcomes, edit distance, undo, several annotators, rates."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date

import pytest

from storage.annotations import Act, Rules, append_act
from storage.database import Database
from storage.examples import next_examples
from storage.projects import create_project, update_settings
from storage.records import Annotation, Project, Settings, Suggestion
from storage.suggestions import NewSuggestion, add_suggestions
from studio.contract.answers import encode_conversation
from studio.contract.chat import Message
from studio.labeling.suggestions import decide, edit_distance, judge, offer_for, rates, suggestion_for, undecide
from tests.labeling.samples import put_examples


@pytest.fixture
def project(db: Database) -> Project:
    """Four texts to answer, with suggestions of a run."""
    made = create_project(db, "Help", "instruction", settings=Settings(suggest="run:a"))
    put_examples(db, made.id, [f"Question {n}?" for n in range(4)])
    rows = [NewSuggestion(one.id, "run:a", f"Answer {n}.", "", 0.5) for n, one in enumerate(first(db, made))]
    add_suggestions(db, made.id, rows)
    return made


def first(db: Database, project: Project) -> list:
    return next_examples(db, project.id, 10)


def act(db: Database, example_id: str, response: str, annotator: str = "ann", action: str = "submit") -> str | None:
    """An act with the suggestion that was on the screen; its outcome."""
    offered = suggestion_for(db, example_id)
    assert offered is not None
    wanted = Act(example_id, annotator, action, response, suggestion_id=offered.id)
    with db.write() as cursor:
        return decide(cursor, offered.id, append_act(cursor, wanted, Rules(overlap=3)).annotation)


def test_a_card_offers_the_newest_of_the_chosen_source(db: Database, project: Project) -> None:
    one = first(db, project)[0]
    add_suggestions(db, project.id, [NewSuggestion(one.id, "starter", "Other", "", None)])
    assert offer_for(db, one).response == "Answer 0."
    add_suggestions(db, project.id, [NewSuggestion(one.id, "run:a", "Newer", "", 0.25)])
    offer = offer_for(db, one)
    assert (offer.response, offer.source, offer.uncertainty, offer.rate) == ("Newer", "run:a", 0.25, None)
    update_settings(db, project.id, Settings(suggest=""))
    assert offer_for(db, one) is None


def test_accepted_edited_rejected(db: Database, project: Project) -> None:
    ids = [one.id for one in first(db, project)]
    assert act(db, ids[0], "Answer 0.") == "accepted"
    assert act(db, ids[1], "Answer 1!") == "edited"
    assert act(db, ids[2], "Something else entirely was written here.") == "rejected"
    assert act(db, ids[3], "", action="skip") == "rejected"
    day = rates(db, project.id)[0]
    assert (day.source, day.accepted, day.edited, day.rejected, day.mean_distance) == ("run:a", 1, 1, 2, 1.0)
    assert (day.rate, isinstance(day.day, date)) == (0.25, True)


def test_a_flag_decides_nothing(db: Database, project: Project) -> None:
    one = first(db, project)[0]
    assert act(db, one.id, "", action="flag") is None
    assert rates(db, project.id) == []


def test_undo_takes_the_outcome_back(db: Database, project: Project) -> None:
    one = first(db, project)[0]
    act(db, one.id, "Answer 0.")
    with db.write() as cursor:
        undecide(cursor, suggestion_for(db, one.id).id, "ann")
    assert rates(db, project.id) == []
    assert suggestion_for(db, one.id).outcome is None


def test_each_of_several_annotators_counts(db: Database, project: Project) -> None:
    one = first(db, project)[0]
    shown = suggestion_for(db, one.id).id
    act(db, one.id, "Answer 0.", "ann")
    act(db, one.id, "Answer 0!", "ben")
    act(db, one.id, "Answer 0.", "eve")
    assert [(day.accepted, day.edited) for day in rates(db, project.id)] == [(2, 1)]
    with db.write() as cursor:
        undecide(cursor, shown, "ben")
    assert [(day.accepted, day.edited) for day in rates(db, project.id)] == [(2, 0)]


def test_a_suggestion_of_another_example_is_passed_over(db: Database, project: Project) -> None:
    one, other = first(db, project)[:2]
    with db.write() as cursor:
        acted = append_act(cursor, Act(one.id, "ann", "submit", "x"), Rules())
        assert decide(cursor, suggestion_for(db, other.id).id, acted.annotation) is None
        assert decide(cursor, "no such id", acted.annotation) is None
    assert rates(db, project.id) == []


def made(response: str, value: str = "") -> Suggestion:
    return Suggestion("s", "e", "p", "starter", response, value, None, None)  # type: ignore[arg-type]


def given(response: str, value: str = "", action: str = "submit") -> Annotation:
    blank = Annotation("a", 1, "e", "p", "ann", action, response, value, "label", None, None, None, None, None)  # type: ignore[arg-type]
    return replace(blank)


def test_another_choice_is_no_edit() -> None:
    assert judge("classification", made("card_arrival"), given("card_arrivals")) == ("rejected", None)
    assert judge("rating", made("4"), given("4")) == ("accepted", 0)
    assert judge("multi-label", made("a\nb"), given("b\nc")) == ("edited", 2)
    assert judge("multi-label", made("a"), given("b")) == ("rejected", 2)


def test_a_conversation_is_compared_turn_by_turn() -> None:
    def talk(question: str) -> str:
        return encode_conversation([Message("user", question, False), Message("assistant", "Yes.")])

    assert judge("chat", made("Yes.", talk("Is it?")), given("Yes.", talk("Is it?"))) == ("accepted", 0)
    assert judge("chat", made("Yes.", talk("Is it?")), given("Yes.", talk("Is it so?"))) == ("edited", 3)


def test_the_distance_is_levenshteins() -> None:
    def slow(a: str, b: str) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            above, row = row, [i]
            for j, y in enumerate(b, 1):
                row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        return row[-1]

    letters = random.Random(1)
    for _ in range(300):
        a, b = ("".join(letters.choices("abä", k=letters.randrange(9))) for _ in range(2))
        assert edit_distance(a, b) == slow(a, b), (a, b)


def test_very_long_texts_cost_little() -> None:
    assert edit_distance("x" * 200_000, "y" * 150_000) == 200_000
    long = "word " * 40_000
    assert edit_distance(long + "end", long + "and") == 1
