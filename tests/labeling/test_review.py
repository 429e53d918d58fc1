"""Reviews: a decision is written with what it found, never over something newer, and can be taken back."""

from __future__ import annotations

import pytest

from storage.annotations import list_revisions
from storage.database import Database
from storage.examples import get_example, return_comment
from storage.projects import get_project
from storage.records import Project, User
from storage.reviews import Decision
from studio.errors import BadInput, Conflict
from studio.labeling.review import (
    Item,
    Wanted,
    accept_all,
    decide,
    open_review,
    overview,
    read_item,
    switch_review,
    undo_decision,
)
from tests.labeling.crew import add_examples, answer, project_of

REVIEWER = User("rita", "reviewer")
ALL = Wanted()


@pytest.fixture
def asked(db: Database) -> Project:
    """A project that asks for a review."""
    return project_of(db)


def decision(item: Item, what: str, **fields: str) -> Decision:
    """A decision about the first answer of an example as it was shown."""
    return Decision(item.example.id, item.answers[0].act.id, what, item.stamp, **fields)


def first(db: Database, project: Project, wanted: Wanted = ALL) -> Item:
    """What is in the reviewer's hand."""
    item = open_review(db, project.id, wanted).item
    assert item is not None
    return item


def test_an_accepted_answer_stands_and_the_next_one_is_in_hand(db: Database, asked: Project) -> None:
    one, two = add_examples(db, asked, 2)
    answer(db, asked, one, "ann")
    answer(db, asked, two, "bob")
    desk = open_review(db, asked.id, ALL)
    assert desk.item is not None and desk.next is not None and desk.next.example.id == two
    after = decide(db, REVIEWER, decision(desk.item, "accept"), ALL)
    assert after.item is not None and after.item.example.id == two and after.next is None
    found = get_example(db, one)
    assert (found.status, found.review) == ("labeled", "accepted")


def test_an_edit_is_appended_by_the_reviewer_and_stands(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    given = answer(db, asked, one, "ann", "Wrnog.")
    decide(db, REVIEWER, decision(first(db, asked), "edit", response="Right."), ALL)
    edit = list_revisions(db, one)[-1]
    assert (edit.annotator, edit.source, edit.base, edit.response) == ("rita", "review", given.id, "Right.")
    found = get_example(db, one)
    assert (found.annotation_id, found.review, found.status) == (edit.id, "accepted", "labeled")


def test_an_edit_has_to_fit_the_task(db: Database) -> None:
    project = project_of(db, "classification")
    (one,) = add_examples(db, project, 1)
    answer(db, project, one, "ann", "refund")
    with pytest.raises(BadInput, match="no label 'nonsense'"):
        decide(db, REVIEWER, decision(first(db, project), "edit", response="nonsense"), ALL)
    assert get_example(db, one).review == "pending"


def test_what_is_sent_back_waits_for_its_annotator_with_the_comment(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann")
    decide(db, REVIEWER, decision(first(db, asked), "return", comment="Too short."), ALL)
    found = get_example(db, one)
    assert (found.status, found.review, found.returned_to) == ("todo", "returned", "ann")
    assert return_comment(db, one) == ("rita", "Too short.")
    assert open_review(db, asked.id, ALL).item is None
    answer(db, asked, one, "ann", "Longer by far.")
    assert get_example(db, one).review == "pending"


def test_a_return_needs_a_comment(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann")
    with pytest.raises(BadInput, match="Write what should be different"):
        decide(db, REVIEWER, decision(first(db, asked), "return", comment=" "), ALL)


def test_a_newer_answer_is_never_decided_unseen(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann", "old")
    seen = first(db, asked)
    answer(db, asked, one, "ann", "new")
    for what in ("accept", "edit", "return"):
        with pytest.raises(Conflict, match="ann changed the answer") as caught:
            decide(db, REVIEWER, decision(seen, what, response="mine", comment="why"), ALL)
    assert isinstance(caught.value.newest, Item) and caught.value.newest.answers[0].act.response == "new"
    assert get_example(db, one).review == "pending"
    assert read_item(db, asked, one).decisions == ()


def test_two_reviewers_do_not_decide_the_same_one_silently(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann")
    seen = first(db, asked)
    decide(db, REVIEWER, decision(seen, "accept"), ALL)
    with pytest.raises(Conflict, match="rita decided"):
        decide(db, User("otto", "reviewer"), decision(seen, "return", comment="no"), ALL)
    assert get_example(db, one).review == "accepted"


@pytest.mark.parametrize("what", ["accept", "edit", "return"])
def test_every_decision_can_be_taken_back(db: Database, asked: Project, what: str) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann")
    before = get_example(db, one)
    decide(db, REVIEWER, decision(first(db, asked), what, response="edited", comment="why"), ALL)
    desk = undo_decision(db, REVIEWER, asked.id, ALL)
    assert desk.taken_back == 1 and desk.item is not None and desk.item.example.id == one
    assert get_example(db, one) == before
    assert [row.undone for row in desk.item.decisions] == [True]
    assert undo_decision(db, REVIEWER, asked.id, ALL).taken_back == 0


def test_an_undo_never_goes_over_a_newer_answer(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann")
    decide(db, REVIEWER, decision(first(db, asked), "return", comment="why"), ALL)
    answer(db, asked, one, "ann", "again")
    with pytest.raises(Conflict, match="acted on after your decision"):
        undo_decision(db, REVIEWER, asked.id, ALL)
    assert get_example(db, one).review == "pending"


def test_only_answers_that_differ_are_adjudicated_and_the_chosen_one_stands(db: Database) -> None:
    project = project_of(db, "classification", overlap=2, review=False)
    same, different = add_examples(db, project, 2)
    for who in ("ann", "bob"):
        answer(db, project, same, who, "refund")
        answer(db, project, different, who, "refund" if who == "ann" else "delivery")
    item = first(db, project)
    assert item.example.id == different and item.differs and len(item.answers) == 2
    bob = next(given.act for given in item.answers if given.act.annotator == "bob")
    decide(db, REVIEWER, Decision(different, bob.id, "accept", item.stamp), ALL)
    assert get_example(db, different).annotation_id == bob.id
    assert open_review(db, project.id, ALL).item is None


def test_a_flag_is_put_aside_or_answered(db: Database) -> None:
    project = project_of(db, review=False)
    aside, answered = add_examples(db, project, 2)
    answer(db, project, aside, "ann", "unsure", "flag")
    answer(db, project, answered, "ann", "", "flag")
    wanted = Wanted("flagged")
    assert overview(db, project.id).waiting.flagged == 2
    decide(db, REVIEWER, decision(first(db, project, wanted), "accept"), wanted)
    decide(db, REVIEWER, decision(first(db, project, wanted), "edit", response="The answer."), wanted)
    assert get_example(db, aside).status == "skipped"
    assert get_example(db, answered).status == "labeled"
    assert overview(db, project.id).waiting.flagged == 0


def test_all_of_one_annotator_are_accepted_and_taken_back_at_once(db: Database) -> None:
    project = project_of(db, "classification", overlap=1)
    ids = add_examples(db, project, 5)
    for one in ids[:3]:
        answer(db, project, one, "ann", "refund")
    answer(db, project, ids[3], "bob", "refund")
    answer(db, project, ids[4], "me", "login", source="import")
    assert [(bulk.annotator, bulk.source, bulk.count) for bulk in overview(db, project.id).bulk] == [
        ("ann", "", 3),
        ("", "import", 1),
        ("bob", "", 1),
    ]
    with pytest.raises(Conflict, match="There are 3 by now"):
        accept_all(db, REVIEWER, project.id, "ann", "", 2)
    assert accept_all(db, REVIEWER, project.id, "ann", "", 3) == 3
    assert accept_all(db, REVIEWER, project.id, "", "import", 1) == 1
    assert [get_example(db, one).review for one in ids] == ["accepted"] * 3 + ["pending", "accepted"]
    assert undo_decision(db, REVIEWER, project.id, ALL).taken_back == 1
    assert undo_decision(db, REVIEWER, project.id, ALL).taken_back == 3
    assert overview(db, project.id).waiting.pending == 5


def test_accepting_all_leaves_out_what_differs(db: Database) -> None:
    project = project_of(db, "classification", overlap=2)
    same, different = add_examples(db, project, 2)
    for who in ("ann", "bob"):
        answer(db, project, same, who, "refund")
        answer(db, project, different, who, "refund" if who == "ann" else "delivery")
    assert overview(db, project.id).waiting.differing == 1
    assert accept_all(db, REVIEWER, project.id, "ann", "", 1) == 1
    assert get_example(db, different).review == "pending"


def test_switching_review_on_and_off_keeps_decisions(db: Database) -> None:
    project = project_of(db, review=False)
    one, two = add_examples(db, project, 2)
    answer(db, project, one, "ann")
    answer(db, project, two, "ann")
    assert switch_review(db, REVIEWER, project.id, True) == 2
    project = get_project(db, project.id)
    decide(db, REVIEWER, decision(first(db, project), "accept"), ALL)
    assert switch_review(db, REVIEWER, project.id, False) == 1
    assert open_review(db, project.id, ALL).item is None
    assert switch_review(db, REVIEWER, project.id, True) == 1
    assert [get_example(db, name).review for name in (one, two)] == ["accepted", "pending"]


def test_every_decision_is_in_the_audit_log(db: Database, asked: Project) -> None:
    (one,) = add_examples(db, asked, 1)
    answer(db, asked, one, "ann")
    decide(db, REVIEWER, decision(first(db, asked), "accept"), ALL)
    undo_decision(db, REVIEWER, asked.id, ALL)
    rows = db.query("SELECT user_name, action, subject FROM audit ORDER BY number")
    assert rows == [("rita", "review accept", one), ("rita", "review undo", one)]


def test_the_queue_goes_on_behind_the_example_in_hand_and_begins_again(db: Database, asked: Project) -> None:
    ids = add_examples(db, asked, 3)
    for one in ids:
        answer(db, asked, one, "ann" if one != ids[1] else "bob")
    positions = [get_example(db, one).position for one in ids]
    behind = open_review(db, asked.id, ALL, after=positions[1])
    assert [item.example.id for item in (behind.item, behind.next) if item] == [ids[2], ids[0]]
    of_bob = open_review(db, asked.id, Wanted("all", "bob"))
    assert of_bob.item is not None and of_bob.item.example.id == ids[1] and of_bob.next is None
