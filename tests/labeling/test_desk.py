"""The desk: what is in hand after each act, and what is never lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.annotations import Act, list_revisions
from storage.examples import count_examples, get_example
from storage.records import Counts, Draft
from studio.errors import BadInput, Conflict, NotFound
from studio.labeling import desk
from tests.labeling.conftest import Room, in_hand, name


def test_each_act_moves_on_to_the_card_that_was_next(room: Room) -> None:
    seen = room.open()
    assert (name(seen), seen.next and seen.next.example.text) == ("q0", "q1")
    seen = room.act(response="a0", seconds=2.0)
    assert (name(seen), seen.next and seen.next.example.text, seen.today) == ("q1", "q2", 1)
    assert seen.median_seconds == 2.0
    room.act(action="skip")
    seen = room.act(action="flag", response="unsure")
    assert (name(seen), seen.next) == ("q3", None)
    seen = room.act(response="a3")
    assert (name(seen), seen.counts, seen.left) == (None, Counts(0, 2, 1, 1), 0)
    assert [past.text for past in seen.history] == ["q3", "q2", "q1", "q0"]
    assert seen.counts == count_examples(room.db, room.project.id)


def test_undo_brings_example_and_text_back(room: Room) -> None:
    room.act(response="a0")
    seen = room.undo()
    assert seen.card is not None and seen.taken_back and seen.card.example.status == "todo"
    assert (name(seen), seen.card.draft, seen.card.revision, seen.today) == ("q0", Draft("a0", ""), None, 0)
    assert seen.next is not None and seen.next.example.text == "q1"
    again = room.undo()
    assert not again.taken_back and name(again) == "q0"


def test_undo_survives_a_restart_and_walks_backwards(room: Room) -> None:
    for answer in ("a0", "a1", "a2"):
        room.act(response=answer)
    room.restart()
    assert [name(room.undo()) for _ in range(3)] == ["q2", "q1", "q0"]
    assert room.open().counts == Counts(todo=4)


def test_a_labeled_example_can_be_taken_up_again(room: Room) -> None:
    room.act(response="a0")
    again = room.open(example="e0")
    assert again.card is not None and again.card.answer == Draft("a0", "")
    room.act(example="e0", response="better", base=again.card.revision, checked=True)
    undone = room.undo()
    assert undone.card is not None
    assert (undone.card.draft, undone.card.answer) == (Draft("better", ""), Draft("a0", ""))
    assert undone.counts == count_examples(room.db, room.project.id)


@pytest.mark.parametrize("action", ["skip", "flag"])
def test_what_was_typed_before_a_skip_or_flag_is_there_when_it_is_taken_up_again(room: Room, action: str) -> None:
    room.act(action=action, response="half an ans")
    card = room.open(example="e0").card
    assert card is not None and (card.draft, card.answer) == (None, Draft("half an ans", ""))


def test_a_draft_waits_on_its_card_for_its_writer(room: Room) -> None:
    desk.keep_draft(room.queues, in_hand(room.open()), "me", "half an ans")
    card, other = room.open().card, room.open("you", "e0").card
    assert card is not None and card.draft == Draft("half an ans", "")
    assert other is not None and other.draft is None
    desk.keep_draft(room.queues, "e0", "me", "")
    assert room.open().card == card.__class__(**{**card.__dict__, "draft": None})


def test_bad_acts_change_nothing(room: Room) -> None:
    before = room.open()
    with pytest.raises(BadInput):
        room.act(response="  ")
    with pytest.raises(NotFound):
        room.act(example="none", action="skip")
    with pytest.raises(NotFound):
        room.open(example="none")
    assert room.open() == before


def test_a_save_that_began_from_an_old_revision_is_a_conflict_with_both(room: Room) -> None:
    card = room.open().card
    assert card is not None
    room.act(response="from the laptop", base=card.revision, checked=True)
    with pytest.raises(Conflict) as raised:
        room.act(example="e0", response="from the phone", base=card.revision, checked=True)
    newest = raised.value.newest
    assert newest.response == "from the laptop"  # type: ignore[attr-defined]
    room.act(example="e0", response="from the phone", base=newest.id, checked=True)  # type: ignore[attr-defined]
    assert [act.response for act in list_revisions(room.db, "e0")] == ["from the laptop", "from the phone"]


def test_a_late_answer_is_kept_as_that_persons_and_the_first_one_stands(room: Room) -> None:
    assert name(room.open("slow")) == "q0"
    room.clock.forward(11)
    room.act("quick", example="e0", response="first")
    room.act("slow", example="e0", response="late", base=None, checked=True)
    assert {act.annotator: act.response for act in list_revisions(room.db, "e0")} == {"quick": "first", "slow": "late"}
    standing = get_example(room.db, "e0").annotation_id
    assert next(act.response for act in list_revisions(room.db, "e0") if act.id == standing) == "first"


def test_many_acts_are_done_or_told_of_one_by_one(room: Room) -> None:
    acts = [Act(example, "me", "submit", text) for example, text in (("e0", "a"), ("e1", " "), ("e2", "c"))]
    result = desk.act_on_many(room.queues, room.project.id, "me", acts)
    assert result.done == ("e0", "e2") and [example for example, _ in result.failed] == ["e1"]
    assert result.desk.counts == Counts(todo=2, labeled=2)
    assert name(room.undo()) == "q2"


def test_a_returned_example_comes_first_to_its_annotator_only(make_room: Callable[..., Room]) -> None:
    room = make_room(review=True)
    room.act(response="sloppy")
    with room.db.write() as cursor:
        cursor.execute("UPDATE examples SET status = 'todo', review = 'returned', returned_to = 'me' WHERE id = 'e0'")
        cursor.execute(
            "INSERT INTO reviews (example_id, project_id, annotation_id, annotator, reviewer, decision, comment, "
            "created_at) VALUES ('e0', ?, 'x', 'me', 'rita', 'return', 'Be polite.', now()::TIMESTAMP)",
            [room.project.id],
        )
        room.db.touch(room.project.id)
    desk.leave(room.queues, room.project.id, "me")
    assert name(room.open("you")) != "q0"
    card = room.open().card
    assert card is not None and (card.example.text, card.comment) == ("q0", ("rita", "Be polite."))
    room.act(response="Kind words.")
    assert (get_example(room.db, "e0").review, get_example(room.db, "e0").returned_to) == ("pending", None)
