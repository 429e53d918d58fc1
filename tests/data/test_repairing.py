"""Repairs of examples: drop, redact, edit, back, copies; undo; nothing of what was redacted is left in a snapshot."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.accepted import Held, data_stamp, iter_accepted, read_held
from storage.annotations import annotate, list_revisions
from storage.audit import search_audit
from storage.database import Database
from storage.embeddings import count_vectors, insert_vectors
from storage.examples import count_examples, get_example, list_pairs
from storage.projects import create_project, update_settings
from storage.records import Label, Project, Settings, User
from storage.search import Filter, matching_ids
from studio.data.columns import Columns
from studio.data.fields import checked_fields, fingerprint, read_fields
from studio.data.finding import put_back
from studio.data.importing import import_file
from studio.data.repairing import Proposal, back, drop, edit_field, list_repairs, rewrite, undo
from studio.data.snapshots import freeze
from studio.errors import BadInput, Conflict, NotAllowed
from studio.settings import Workspace

ADMIN = User("ada", "admin")
HOSTILE = 'ring "O\'Hara" \\ bob@x.org \u2028 \t end 😀 <b>'


def load(db: Database, project: Project, tmp_path: Path, *rows: tuple[str, str]) -> list[str]:
    """Import labeled rows; their ids in order."""
    import json

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": a, "answer": b}) + "\n" for a, b in rows), encoding="utf-8")
    import_file(db, project.id, path, Columns("prompt", "answer"))
    return [held.example_id for batch in iter_accepted(db, project.id) for held in batch]


def held_of(db: Database, project: Project, example_id: str) -> Held:
    return read_held(db, project.id, [example_id])[0]


def redaction(db: Database, project: Project, example_id: str, old: str, new: str) -> list[Proposal]:
    """Proposals that write `new` for `old` wherever it stands."""
    fields = checked_fields(project.task, held_of(db, project, example_id))
    return [
        Proposal(example_id, 0, name, fingerprint(text), text.replace(old, new))
        for name, text in fields.items()
        if old in text
    ]


@pytest.fixture
def rows(db: Database, project: Project, tmp_path: Path) -> list[str]:
    return load(db, project, tmp_path, ("Mail bob@x.org?", HOSTILE), ("Second", "two"), ("Third", "three"))


def test_a_dropped_example_leaves_pairs_and_queue_and_comes_back(
    db: Database, project: Project, rows: list[str]
) -> None:
    before = held_of(db, project, rows[1])
    done = drop(db, ADMIN, project.id, rows[1:], "Exact duplicates")
    assert (done.repair.rows, done.passed, count_examples(db, project.id).dropped) == (2, 0, 2)
    assert [pair.example_id for pair in list_pairs(db, project.id)] == rows[:1]
    assert matching_ids(db, project.id, Filter(statuses=("dropped",))) == rows[1:]
    assert undo(db, ADMIN, project.id, done.repair.number).left == ()
    assert held_of(db, project, rows[1]) == before
    assert [line.action for line in search_audit(db)][:2] == ["repair undo", "repair drop"]


def test_a_dropped_example_stays_dropped_whatever_acts_come(db: Database, project: Project, rows: list[str]) -> None:
    done = drop(db, ADMIN, project.id, rows, "x")
    annotate(db, rows[0], "ana", "submit", "another answer")
    annotate(db, rows[1], "ana", "flag")
    assert count_examples(db, project.id).dropped == 3
    undone = undo(db, ADMIN, project.id, done.repair.number)
    assert (undone.restored, undone.left) == (1, tuple(rows[:2]))
    assert get_example(db, rows[0]).status == "dropped"


def test_redaction_changes_prompt_and_answer_and_its_undo_restores_both(
    db: Database, project: Project, rows: list[str]
) -> None:
    before = held_of(db, project, rows[0])
    done = rewrite(db, ADMIN, project.id, "redact", redaction(db, project, rows[0], "bob@x.org", "[EMAIL_1]"), "PII")
    after = held_of(db, project, rows[0])
    assert after.turns[-1].content == "Mail [EMAIL_1]?" and after.response == HOSTILE.replace("bob@x.org", "[EMAIL_1]")
    assert after.content_key != before.content_key and after.status == "labeled"
    newest = list_revisions(db, rows[0])[-1]
    assert (newest.source, newest.annotator, newest.base) == ("repair", "ada", before.annotation_id)
    undo(db, ADMIN, project.id, done.repair.number)
    assert held_of(db, project, rows[0]) == before
    with pytest.raises(BadInput, match="undone already"):
        undo(db, ADMIN, project.id, done.repair.number)


def test_nothing_of_what_was_redacted_is_in_a_snapshot_made_after(
    db: Database, project: Project, rows: list[str], workspace: Workspace
) -> None:
    annotate(db, rows[0], "ana", "submit", "Write to bob@x.org.")
    rewrite(db, ADMIN, project.id, "redact", redaction(db, project, rows[0], "bob@x.org", "[EMAIL_1]"), "PII")
    frozen = freeze(db, workspace, project.id, 0.0, 0.0, 0).snapshot
    told = ""
    for path in (workspace.snapshots / frozen.id).glob("*"):
        told += str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text("utf-8")
    assert "[EMAIL_1]" in told and "bob@x.org" not in told


def test_a_redacted_text_is_not_found_by_search_and_its_vector_is_gone(
    db: Database, project: Project, rows: list[str]
) -> None:
    insert_vectors(db, project.id, rows, [[1.0] + [0.0] * 383] * 3)
    assert matching_ids(db, project.id, Filter(text="bob@x.org")) == rows[:1]
    done = rewrite(db, ADMIN, project.id, "redact", redaction(db, project, rows[0], "bob@x.org", "[EMAIL_1]"), "PII")
    assert matching_ids(db, project.id, Filter(text="bob@x.org")) == []
    assert matching_ids(db, project.id, Filter(text="[email_1]")) == rows[:1]
    assert count_vectors(db, project.id) == 2
    undo(db, ADMIN, project.id, done.repair.number)
    assert matching_ids(db, project.id, Filter(text="bob@x.org")) == rows[:1]


def test_a_row_that_changed_since_the_check_is_passed_over(db: Database, project: Project, rows: list[str]) -> None:
    proposals = [Proposal(key, 0, "turn:0", fingerprint("Second"), "2nd") for key in rows[1:]]
    done = rewrite(db, ADMIN, project.id, "edit", proposals, "Broken encoding")
    assert (done.repair.rows, done.passed) == (1, 1)
    with pytest.raises(BadInput, match="Check again"):
        rewrite(db, ADMIN, project.id, "edit", proposals, "Broken encoding")


def test_undo_leaves_what_somebody_changed_since(db: Database, project: Project, rows: list[str]) -> None:
    first = edit_field(db, ADMIN, project.id, rows[1], "answer", fingerprint("two"), "2", "x").repair.number
    drop(db, ADMIN, project.id, rows[1:], "y")
    with pytest.raises(Conflict, match="came later first"):
        undo(db, ADMIN, project.id, first)
    assert [(step.kind, step.undone_at) for step in list_repairs(db, project.id)] == [("drop", None), ("edit", None)]


def test_an_edit_by_hand_names_the_text_it_saw(db: Database, project: Project, rows: list[str]) -> None:
    edit_field(db, ADMIN, project.id, rows[1], "turn:0", fingerprint("Second"), "Second, better", "x")
    assert held_of(db, project, rows[1]).turns[-1].content == "Second, better"
    with pytest.raises(BadInput, match="meanwhile"):
        edit_field(db, ADMIN, project.id, rows[1], "turn:0", fingerprint("Second"), "Lost", "x")
    with pytest.raises(BadInput, match="empty"):
        edit_field(db, ADMIN, project.id, rows[1], "answer", fingerprint("two"), "  ", "x")


def test_rows_go_back_into_the_queue_and_are_labeled_again_by_undo(
    db: Database, project: Project, rows: list[str]
) -> None:
    before = held_of(db, project, rows[2])
    number = back(db, ADMIN, project.id, rows[2:], "One input, different answers").repair.number
    example = get_example(db, rows[2])
    assert (example.status, example.review, example.annotation_id) == ("todo", "returned", None)
    undo(db, ADMIN, project.id, number)
    assert held_of(db, project, rows[2]) == before and get_example(db, rows[2]).review == ""


def test_copies_are_labeled_examples_in_one_group_with_their_origin(
    db: Database, project: Project, rows: list[str]
) -> None:
    proposals = [
        Proposal(rows[1], number, "turn:0", fingerprint("Second"), text) for number, text in ((1, "a"), (2, "b"))
    ]
    done = rewrite(db, ADMIN, project.id, "augment", proposals, "Identity terms")
    made = [pair for pair in list_pairs(db, project.id) if pair.example_id not in rows]
    assert [(pair.prompt[-1].content, pair.response) for pair in made] == [("a", "two"), ("b", "two")]
    groups = db.query("SELECT DISTINCT group_name FROM examples WHERE group_name <> ''")
    assert (done.repair.rows, groups) == (2, [(rows[1],)])
    with pytest.raises(BadInput, match="has them all"):
        rewrite(db, ADMIN, project.id, "augment", proposals, "Identity terms")
    assert undo(db, ADMIN, project.id, done.repair.number).left == ()
    assert [pair.example_id for pair in list_pairs(db, project.id)] == rows
    assert db.query("SELECT count(*) FROM examples WHERE group_name <> '' AND status <> 'dropped'") == [(0,)]


def test_a_repaired_answer_stands_and_is_nobodys_own(db: Database, tmp_path: Path) -> None:
    project = create_project(db, "Two", settings=Settings(overlap=2))
    rows = load(db, project, tmp_path, ("one", "1"))
    for who in ("ana", "ben"):
        annotate(db, rows[0], who, "submit", f"{who} wrote secret")
    before = get_example(db, rows[0])
    rewrite(db, ADMIN, project.id, "redact", redaction(db, project, rows[0], "secret", "[KEY]"), "Secrets")
    after = get_example(db, rows[0])
    assert (after.status, after.answers, after.review) == (before.status, before.answers, before.review)
    annotate(db, rows[0], "cy", "submit", "newest")
    assert held_of(db, project, rows[0]).response == "newest"


def test_labels_are_edited_only_to_labels(db: Database, tmp_path: Path) -> None:
    project = create_project(db, "Class", "classification")
    rows = load(db, project, tmp_path, ("one", "good"), ("two", "bad"))
    assert checked_fields(project.task, held_of(db, project, rows[0])) == {"turn:0": "one"}
    assert read_fields(project.task, held_of(db, project, rows[0]))["answer"] == "good"
    edit_field(db, ADMIN, project.id, rows[0], "answer", fingerprint("good"), "bad", "Labels likely wrong")
    assert held_of(db, project, rows[0]).response == "bad"
    with pytest.raises(BadInput, match="no answer 'evil'"):
        edit_field(db, ADMIN, project.id, rows[0], "answer", fingerprint("bad"), "evil", "x")


def test_a_turn_of_prompt_and_chat_answer_changes_in_both(db: Database, tmp_path: Path) -> None:
    import json

    project = create_project(db, "Chat", "chat")
    turns = [("user", "I am Bob"), ("assistant", "Hi Bob"), ("user", "bye"), ("assistant", "bye Bob")]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]}), encoding="utf-8")
    import_file(db, project.id, path, Columns("messages"))
    key = next(iter_accepted(db, project.id))[0].example_id
    assert sorted(checked_fields("chat", held_of(db, project, key))) == ["said:3", "turn:0", "turn:1", "turn:2"]
    rewrite(db, ADMIN, project.id, "redact", redaction(db, project, key, "Bob", "[NAME]"), "x")
    held = held_of(db, project, key)
    assert "Bob" not in held.prompt + held.value + held.response and held.response == "bye [NAME]"


def test_only_reviewers_and_admins_repair(db: Database, project: Project, rows: list[str]) -> None:
    for act in (drop, back):
        with pytest.raises(NotAllowed):
            act(db, User("ana", "annotator"), project.id, rows, "x")
    with pytest.raises(NotAllowed):
        undo(db, User("ana", "annotator"), project.id, 1)


def test_a_dropped_example_can_be_put_back_from_the_data_tab(db: Database, project: Project, rows: list[str]) -> None:
    drop(db, ADMIN, project.id, rows[:1], "x")
    assert put_back(db, ADMIN, project.id, rows[:1]) == 1
    assert get_example(db, rows[0]).status == "todo"


def test_the_stamp_of_the_data_changes_with_every_repair(db: Database, project: Project, rows: list[str]) -> None:
    first = data_stamp(db, project.id)
    number = drop(db, ADMIN, project.id, rows[:1], "x").repair.number
    second = data_stamp(db, project.id)
    undo(db, ADMIN, project.id, number)
    assert len({first, second, data_stamp(db, project.id)}) == 3


def test_settings_keep_terms_and_allowed_texts(db: Database, project: Project) -> None:
    settings = Settings(labels=(Label("a", "#000000"),), identity_terms="x: y", allowed_texts=("a@firm.org",))
    assert update_settings(db, project.id, settings).settings == settings
