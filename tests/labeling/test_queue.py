"""The desk: what is in hand after each act."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.annotations import save_draft
from storage.database import Database
from storage.records import Counts, Project
from studio.data.importing import import_file
from studio.errors import BadInput, NotFound
from studio.labeling.queue import Desk, flag, open_desk, skip, submit, undo


@pytest.fixture
def desk(db: Database, project: Project, tmp_path: Path) -> Desk:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"input": f"q{n}"}) + "\n" for n in range(4)))
    import_file(db, project.id, path)
    return open_desk(db, project.id, "me")


def name(desk: Desk) -> str | None:
    return desk.card.example.text if desk.card else None


def in_hand(desk: Desk) -> str:
    assert desk.card is not None
    return desk.card.example.id


def test_each_act_moves_on_to_the_next(db: Database, desk: Desk) -> None:
    assert name(desk) == "q0"
    desk = submit(db, in_hand(desk), "me", "a0", 2.0)
    assert (name(desk), desk.today, desk.median_seconds) == ("q1", 1, 2.0)
    desk = skip(db, in_hand(desk), "me")
    desk = flag(db, in_hand(desk), "me", "unsure", 1.0)
    assert name(desk) == "q3"
    desk = submit(db, in_hand(desk), "me", "a3")
    assert name(desk) is None
    assert desk.counts == Counts(0, 2, 1, 1)
    assert [done.example.text for done in desk.history] == ["q3", "q2", "q1", "q0"]


def test_undo_brings_example_and_text_back(db: Database, project: Project, desk: Desk) -> None:
    desk = submit(db, in_hand(desk), "me", "a0")
    desk = undo(db, project.id, "me")
    assert desk.card is not None
    assert (name(desk), desk.card.draft, desk.card.revision, desk.today) == ("q0", "a0", None, 0)
    assert name(undo(db, project.id, "me")) == "q0"


def test_a_labeled_example_can_be_taken_up_again(db: Database, project: Project, desk: Desk) -> None:
    first = in_hand(desk)
    submit(db, first, "me", "a0")
    again = open_desk(db, project.id, "me", first)
    assert again.card is not None
    assert (name(again), again.card.revision) == ("q0", "a0")
    submit(db, first, "me", "better")
    undone = undo(db, project.id, "me")
    assert undone.card is not None
    assert (undone.card.draft, undone.card.revision) == ("better", "a0")


@pytest.mark.parametrize("act", [skip, flag])
def test_what_was_typed_before_a_skip_or_flag_is_there_when_it_is_taken_up_again(
    db: Database, project: Project, desk: Desk, act: Callable[..., Desk]
) -> None:
    first = in_hand(desk)
    act(db, first, "me", "half an ans")
    card = open_desk(db, project.id, "me", first).card
    assert card is not None and (card.draft, card.revision) == ("", "half an ans")


def test_a_draft_waits_on_its_card(db: Database, project: Project, desk: Desk) -> None:
    save_draft(db, in_hand(desk), "me", "half an ans")
    card = open_desk(db, project.id, "me").card
    assert card is not None and card.draft == "half an ans"
    other = open_desk(db, project.id, "you").card
    assert other is not None and other.draft == ""


def test_bad_acts_change_nothing(db: Database, project: Project, desk: Desk) -> None:
    with pytest.raises(BadInput):
        submit(db, in_hand(desk), "me", "  ")
    with pytest.raises(NotFound):
        skip(db, "none", "me")
    with pytest.raises(NotFound):
        open_desk(db, project.id, "me", "none")
    assert open_desk(db, project.id, "me") == desk
