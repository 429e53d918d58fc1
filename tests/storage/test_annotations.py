"""Acts on examples: appended, taken back, counted once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from storage.annotations import (
    UNDO_LIMIT,
    annotate,
    get_draft,
    list_history,
    list_revisions,
    save_draft,
    seconds_since,
    undo,
)
from storage.database import Database, now
from storage.examples import count_examples, encode_turns, get_example, list_pairs
from storage.records import Counts, Draft, Project, Turn
from studio.errors import BadInput, NotFound


def add_examples(db: Database, project: Project, count: int) -> list[str]:
    ids = [f"e{number}" for number in range(count)]
    with db.write() as cursor:
        for name in ids:
            cursor.execute(
                "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
                "VALUES (?, ?, ?, '', ?, 'test', 'todo', ?)",
                [name, project.id, encode_turns((Turn("user", name),)), name, now()],
            )
    return ids


def test_acts_set_the_status_and_drop_the_draft(db: Database, project: Project) -> None:
    submitted, skipped, flagged, _ = add_examples(db, project, 4)
    save_draft(db, submitted, "me", "hal")
    annotate(db, submitted, "me", "submit", "half")
    annotate(db, skipped, "me", "skip")
    annotate(db, flagged, "me", "flag", "why")
    assert count_examples(db, project.id) == Counts(1, 1, 1, 1)
    assert get_draft(db, submitted, "me") is None


def test_a_revision_is_appended_and_undo_brings_back_the_one_before(db: Database, project: Project) -> None:
    (example,) = add_examples(db, project, 1)
    annotate(db, example, "me", "submit", "first")
    annotate(db, example, "me", "submit", "second")
    assert [pair.response for pair in list_pairs(db, project.id)] == ["second"]
    taken_back = undo(db, project.id, "me")
    assert taken_back is not None and taken_back.response == "second"
    assert [pair.response for pair in list_pairs(db, project.id)] == ["first"]
    assert get_draft(db, example, "me") == Draft("second", "")
    undo(db, project.id, "me")
    assert get_example(db, example).status == "todo"
    assert undo(db, project.id, "me") is None
    assert [act.action for act in list_revisions(db, example)] == ["submit", "submit", "undo", "undo"]


def test_undo_keeps_a_draft_that_was_typed_later(db: Database, project: Project) -> None:
    (example,) = add_examples(db, project, 1)
    annotate(db, example, "me", "submit", "A")
    save_draft(db, example, "me", "B")
    assert undo(db, project.id, "me") is not None
    assert get_draft(db, example, "me") == Draft("B", "")
    assert get_example(db, example).status == "todo"


def test_undo_takes_back_only_ones_own_newest_act_of_this_project(db: Database, project: Project) -> None:
    first, second = add_examples(db, project, 2)
    annotate(db, first, "me", "submit", "mine")
    annotate(db, first, "you", "submit", "yours")  # late: what came first stands until it is taken back
    annotate(db, second, "you", "skip")
    assert undo(db, "another", "me") is None
    undo(db, project.id, "me")
    assert [pair.response for pair in list_pairs(db, project.id)] == ["yours"]
    assert get_example(db, second).status == "skipped"
    undo(db, project.id, "you")
    undo(db, project.id, "you")
    assert count_examples(db, project.id) == Counts(todo=2)


def test_undo_and_redo_walk_backwards_through_what_stands(db: Database, project: Project) -> None:
    a, b, c = add_examples(db, project, 3)
    for example in (a, b):
        annotate(db, example, "me", "submit", "x")
    undo(db, project.id, "me")
    annotate(db, c, "me", "submit", "y")
    assert [undo(db, project.id, "me") for _ in range(3)][2] is None
    assert count_examples(db, project.id) == Counts(todo=3)


def test_at_most_fifty_acts_can_be_taken_back(db: Database, project: Project) -> None:
    for example in add_examples(db, project, UNDO_LIMIT + 3):
        annotate(db, example, "me", "submit", "x")
    while undo(db, project.id, "me"):
        pass
    assert count_examples(db, project.id) == Counts(todo=UNDO_LIMIT, labeled=3)


def test_imported_answers_are_not_undone(db: Database, project: Project) -> None:
    (example,) = add_examples(db, project, 1)
    annotate(db, example, "me", "submit", "x", source="import")
    assert undo(db, project.id, "me") is None
    assert list_history(db, project.id, "me") == []


def test_bad_acts_are_refused(db: Database, project: Project) -> None:
    (example,) = add_examples(db, project, 1)
    for action, response in (("submit", " \n"), ("delete", "x")):
        with pytest.raises(BadInput):
            annotate(db, example, "me", action, response)
    with pytest.raises(NotFound):
        annotate(db, "none", "me", "skip")
    assert list_revisions(db, example) == []


def test_history_shows_what_stands_newest_first(db: Database, project: Project) -> None:
    a, b, _ = add_examples(db, project, 3)
    annotate(db, a, "me", "submit", "1")
    annotate(db, b, "me", "flag")
    annotate(db, a, "me", "submit", "2")
    done = list_history(db, project.id, "me")
    assert [(item.example.id, item.annotation.action, item.annotation.response) for item in done] == [
        (a, "submit", "2"),
        (b, "flag", ""),
    ]


def test_seconds_are_those_of_standing_answers_since_a_time_in_any_zone(db: Database, project: Project) -> None:
    for example, seconds in zip(add_examples(db, project, 4), (1.0, 3.0, 50.0, 9.0), strict=True):
        annotate(db, example, "me", "submit", "x", seconds)
    undo(db, project.id, "me")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert seconds_since(db, project.id, "me", hour_ago) == [1.0, 3.0, 50.0]
    assert seconds_since(db, project.id, "me", hour_ago.astimezone(timezone(timedelta(hours=9)))) == [1.0, 3.0, 50.0]
    assert seconds_since(db, project.id, "me", datetime.now(UTC) + timedelta(hours=1)) == []


def test_drafts_are_per_person_and_dropped_when_empty(db: Database, project: Project) -> None:
    (example,) = add_examples(db, project, 1)
    for text in ("a", "ab", "ab'; DROP TABLE drafts; --"):
        save_draft(db, example, "me", text)
    assert get_draft(db, example, "me") == Draft("ab'; DROP TABLE drafts; --", "")
    assert get_draft(db, example, "you") is None
    save_draft(db, example, "me", "")
    assert db.one("SELECT count(*) FROM drafts") == (0,)


def test_eight_threads_submit_and_nothing_is_lost(db: Database, project: Project) -> None:
    ids = add_examples(db, project, 80)

    def work(share: list[str]) -> None:
        for example in share:
            save_draft(db, example, "me", "draft")
            annotate(db, example, "me", "submit", f"answer to {example}")

    threads = [threading.Thread(target=work, args=(ids[k::8],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {pair.response for pair in list_pairs(db, project.id)} == {f"answer to {example}" for example in ids}
    numbers = [row[0] for row in db.query("SELECT number FROM annotations")]
    assert len(set(numbers)) == 80
