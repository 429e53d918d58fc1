"""The queue: no example to more people than it asks for, none forgotten, nobody left without work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.annotations import list_revisions
from storage.examples import count_examples, get_example
from storage.gold import put_gold
from studio.labeling import desk, queue
from tests.labeling.conftest import Room, add_examples, in_hand, name


def held(room: Room, *people: str) -> list[str | None]:
    return [name(room.open(who)) for who in people]


def test_two_people_never_hold_one_example(room: Room) -> None:
    assert held(room, "a", "b", "c") == ["q0", "q2", None]
    assert held(room, "a", "b", "c") == ["q0", "q2", None]


def test_leases_outlive_a_restart(room: Room) -> None:
    held(room, "a", "b")
    room.restart()
    assert held(room, "b", "c", "a") == ["q2", None, "q0"]


def test_a_lease_that_ran_out_is_free_and_its_draft_stays(room: Room) -> None:
    desk.keep_draft(room.queues, in_hand(room.open("a")), "a", "half")
    room.clock.forward(11)
    assert held(room, "b") == ["q0"]
    again = room.open("a", "e0").card
    assert again is not None and again.draft is not None and again.draft.response == "half"
    room.act("a", response="whole", example="e0")
    assert get_example(room.db, "e0").status == "labeled"


def test_a_renewed_lease_holds(room: Room) -> None:
    room.open("a")
    room.clock.forward(9)
    desk.renew(room.queues, room.project.id, "a")
    room.clock.forward(9)
    room.restart()
    assert held(room, "b", "a") == ["q2", "q0"]


def test_leaving_frees_what_was_held(room: Room) -> None:
    room.open("a")
    desk.leave(room.queues, room.project.id, "a")
    assert held(room, "b") == ["q0"]
    assert room.db.one("SELECT count(*) FROM leases WHERE annotator = 'a'") == (0,)


@pytest.mark.parametrize("overlap", [2, 3])
def test_an_example_goes_to_as_many_people_as_the_overlap_says(make_room: Callable[..., Room], overlap: int) -> None:
    room = make_room(2, overlap=overlap)
    people = [f"p{number}" for number in range(4)]
    assert held(room, *people) == ["q0"] * overlap + [None] * (4 - overlap)
    for who in people[: overlap - 1]:
        room.act(who)
    assert get_example(room.db, "e0").status == "todo"
    room.act(people[overlap - 1])
    assert get_example(room.db, "e0").status == "labeled"


def test_a_person_never_gets_the_same_example_twice(make_room: Callable[..., Room]) -> None:
    room = make_room(3, overlap=2)
    for _ in range(3):
        seen = room.act("a")
    assert (seen.card, seen.left, seen.counts.todo) == (None, 0, 3)
    room.restart()
    assert (room.open("a").card, room.open("a").left, room.open("b").left) == (None, 0, 3)


def test_a_fast_annotator_reads_on_behind_what_others_hold(
    make_room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "CHUNK", 3)
    room = make_room(12, overlap=2)
    room.open("slow")
    seen = room.open("fast")
    done = []
    while seen.card:
        done.append(seen.card.example.text)
        seen = room.act("fast")
    assert done == [f"q{number}" for number in range(12)]


def test_everything_is_handed_out_once_however_it_is_read(
    make_room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "CHUNK", 4)
    room = make_room(15, order="random")
    done = set()
    for turn in range(15):
        who = f"p{turn % 3}"
        if (seen := room.open(who)).card:
            done.add(name(seen))
            room.act(who)
        if turn == 7:
            room.undo(who)
            desk.leave(room.queues, room.project.id, who)
    for who in ("p0", "p1", "p2"):
        while (seen := room.open(who)).card:
            done.add(name(seen))
            room.act(who)
    assert count_examples(room.db, room.project.id).todo == 0
    assert len(done) == 15


def test_what_is_taken_back_is_free_for_others_when_its_person_leaves(room: Room) -> None:
    room.act("a")
    room.undo("a")
    assert held(room, "b") == ["q3"]
    desk.leave(room.queues, room.project.id, "a")
    desk.leave(room.queues, room.project.id, "b")
    assert held(room, "b") == ["q0"]


def test_what_is_taken_back_under_an_overlap_comes_back_to_its_person(make_room: Callable[..., Room]) -> None:
    room = make_room(3, overlap=2)
    room.act("a")
    room.act("a")
    room.undo("a")
    desk.leave(room.queues, room.project.id, "a")
    assert held(room, "a") == ["q1"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("imported", "q0"), ("priority", "q2"), ("uncertain", "q1"), ("diverse", "q3")],
)
def test_orders(make_room: Callable[..., Room], order: str, expected: str) -> None:
    room = make_room(order=order)
    with room.db.write() as cursor:
        cursor.execute("UPDATE examples SET priority = 5 WHERE id = 'e2'")
        cursor.execute("UPDATE examples SET uncertainty = 0.1 WHERE id IN ('e0', 'e2')")
        cursor.execute("UPDATE examples SET uncertainty = 0.9, diversity = 1 WHERE id = 'e1'")
        cursor.execute("UPDATE examples SET diversity = 2 WHERE id = 'e3'")
        room.db.touch(room.project.id)
    assert held(room, "a") == [expected]


def test_what_is_imported_while_people_label_joins_the_queue(room: Room) -> None:
    for _ in range(4):
        room.act()
    assert room.open().card is None
    add_examples(room.db, room.project, 2, start=4)
    assert held(room, "me") == ["q4"]
    assert room.open().counts == count_examples(room.db, room.project.id)


def test_a_change_of_settings_counts_from_the_next_card_on(room: Room) -> None:
    assert held(room, "a", "b", "c") == ["q0", "q2", None]
    room.set(overlap=2)
    assert held(room, "c", "a") == ["q0", "q0"]


def test_gold_is_handed_out_hidden_and_changes_nothing_but_the_record(
    make_room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    room = make_room(5, gold_rate=0.5)
    room.act("lead", example="e0", response="known")
    room.act("lead", example="e0", response="known", source="review")
    desk.leave(room.queues, room.project.id, "lead")
    put_gold(room.db, "lead", "e0", "known", "")
    room.queues.reload(room.project.id)
    card = room.open("a").card
    assert card is not None and card.example.id == "e0"
    assert (card.example.status, card.example.review, card.revision, card.answer) == ("todo", "", None, None)
    before = get_example(room.db, "e0")
    room.restart()
    seen = room.act("a", response="guess", example="e0", base=card.revision, checked=True)
    assert get_example(room.db, "e0") == before
    assert [act.source for act in list_revisions(room.db, "e0")] == ["label", "review", "gold"]
    assert (name(seen), seen.next and seen.next.example.text) == ("q1", "q2")
