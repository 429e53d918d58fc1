"""Label sets: renaming, merging and deleting over every answer, with nothing lost and the counts told before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from storage.annotations import Act, Rules, append_act, list_revisions, list_undoable, save_draft, take_back
from storage.database import Database, now
from storage.examples import get_example, list_pairs, page_examples
from storage.labels import PALETTE
from storage.projects import create_project, get_project, update_settings
from storage.records import Label, Project, Settings, User
from studio.errors import BadInput, Conflict
from studio.labeling.labels import Change, add_labels, apply_change, arrange_labels, key_of, preview_change

ME = User("lead", "admin")


@pytest.fixture
def project(db: Database) -> Project:
    """A classification with labels a, b and c and four examples."""
    return make(db, "classification")


def make(db: Database, task: str, **settings: Any) -> Project:
    labels = tuple(Label(name, "#000000") for name in "abc")
    made = create_project(db, task, task, settings=replace(Settings(labels=labels), **settings))
    for n in range(4):
        db.cursor().execute(
            "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
            "VALUES (?, ?, ?, '', ?, 's', 'todo', ?)",
            [f"e{n}", made.id, json.dumps([["user", f"q{n}"]]), f"k{n}", now()],
        )
    return made


def act(db: Database, example: str, who: str, response: str, source: str = "label", **rules: Any) -> str:
    with db.write() as cursor:
        return append_act(cursor, Act(example, who, "submit", response, source=source), Rules(**rules)).annotation.id


def change(db: Database, project: Project, kind: str, label: str, to: str = "") -> str:
    asked = Change(kind, label, to)
    return apply_change(db, ME, project.id, asked, preview_change(db, project.id, asked).affected).sentence


def names(db: Database, project: Project) -> list[str]:
    return [label.name for label in get_project(db, project.id).settings.labels]


def standing(db: Database, project: Project) -> dict[str, tuple[str, str]]:
    return {example.id: (example.status, answer) for example, answer in page_examples(db, project.id)}


def test_renaming_appends_a_revision_of_the_same_annotator(db: Database, project: Project) -> None:
    first = act(db, "e0", "ann", "a")
    act(db, "e1", "bob", "b")
    said = change(db, project, "rename", "a", " alpha  one ")
    assert "“a” to “alpha one” changes 1 annotation of 1 example." in said and names(db, project)[0] == "alpha one"
    old, new = list_revisions(db, "e0")
    assert (old.id, old.response, new.response) == (first, "a", "alpha one")
    assert (new.annotator, new.source, new.base) == ("ann", "relabel", first)
    assert standing(db, project)["e0"] == ("labeled", "alpha one") and get_example(db, "e0").annotation_id == new.id
    assert standing(db, project)["e1"] == ("labeled", "b") and len(list_revisions(db, "e1")) == 1


def test_the_audit_log_has_the_counts_and_who(db: Database, project: Project) -> None:
    act(db, "e0", "ann", "a")
    change(db, project, "merge", "a", "b")
    row = db.query("SELECT user_name, action, project_id, subject, details FROM audit")[-1]
    details = json.loads(row[4])
    assert row[:4] == ("lead", "label merge", project.id, "a")
    assert (details["to"], details["annotations"], details["examples"]) == ("b", 1, 1)


def test_a_change_of_an_older_preview_is_refused_and_shows_the_new_one(db: Database, project: Project) -> None:
    asked = Change("delete", "a")
    seen = preview_change(db, project.id, asked)
    act(db, "e0", "ann", "a")
    with pytest.raises(Conflict, match="1 annotation of 1 example; 1 example then waits") as refused:
        apply_change(db, ME, project.id, asked, seen.affected)
    assert names(db, project) == ["a", "b", "c"] and db.query("SELECT count(*) FROM audit") == [(0,)]
    version = db.version(project.id)
    apply_change(db, ME, project.id, asked, refused.value.newest.affected)  # type: ignore[attr-defined]
    assert db.version(project.id) == version + 1


def test_deleting_puts_back_what_has_no_label_left_and_keeps_every_revision(db: Database, project: Project) -> None:
    act(db, "e0", "ann", "b")
    act(db, "e0", "ann", "a")
    act(db, "e1", "ann", "b")
    change(db, project, "delete", "a")
    assert standing(db, project) == {"e0": ("todo", ""), "e1": ("labeled", "b"), "e2": ("todo", ""), "e3": ("todo", "")}
    found = get_example(db, "e0")
    assert (found.answers, found.annotation_id) == (0, None)
    assert [act.response for act in list_revisions(db, "e0") if act.action == "submit"] == ["b", "a"]
    assert act(db, "e0", "ann", "c") and standing(db, project)["e0"] == ("labeled", "c")


def test_several_labels_lose_or_change_one_and_keep_the_order_of_the_set(db: Database) -> None:
    project = make(db, "multi-label")
    act(db, "e0", "ann", "a\nb\nc")
    act(db, "e1", "ann", "a")
    act(db, "e2", "ann", "a\nc")
    change(db, project, "merge", "a", "c")
    assert [standing(db, project)[e][1] for e in ("e0", "e1", "e2")] == ["b\nc", "c", "c"]
    said = change(db, project, "delete", "c")
    assert "3 annotations of 3 examples; 2 examples then wait" in said
    assert standing(db, project)["e0"] == ("labeled", "b") and standing(db, project)["e1"] == ("todo", "")


def test_merging_counts_the_votes_again(db: Database) -> None:
    project = make(db, "classification", overlap=3)
    for who, label in (("ann", "c"), ("bob", "a"), ("cyd", "b")):
        act(db, "e0", who, label, overlap=3)
    assert standing(db, project)["e0"] == ("labeled", "c")
    change(db, project, "merge", "a", "b")
    assert standing(db, project)["e0"] == ("labeled", "b") and get_example(db, "e0").answers == 3


def test_of_an_overlap_only_the_answers_with_the_label_are_asked_for_again(db: Database) -> None:
    project = make(db, "classification", overlap=2)
    act(db, "e0", "ann", "a", overlap=2)
    act(db, "e0", "bob", "b", overlap=2)
    act(db, "e1", "ann", "a", source="import", overlap=2)
    act(db, "e1", "bob", "b", source="import", overlap=2)
    assert "2 annotations of 2 examples; 1 example then waits" in change(db, project, "delete", "a")
    found = get_example(db, "e0")
    assert (found.status, found.answers, found.annotation_id) == ("todo", 1, None)
    assert standing(db, project)["e1"] == ("labeled", "b")


def test_imported_accepted_and_returned_examples_stay_what_they_are(db: Database) -> None:
    project = make(db, "classification", overlap=2, review=True)
    act(db, "e0", "ann", "a", source="import", overlap=2, asks_review=True)
    act(db, "e1", "ann", "a", source="review", overlap=2, asks_review=True)
    act(db, "e2", "ann", "a")
    db.cursor().execute("UPDATE examples SET status = 'todo', review = 'returned', returned_to = 'ann' WHERE id = 'e2'")
    change(db, project, "rename", "a", "z")
    states = {e.id: (e.status, e.review, e.returned_to) for e, _ in page_examples(db, project.id)}
    assert states["e0"] == ("labeled", "pending", None)
    assert states["e1"] == ("labeled", "accepted", None)
    assert states["e2"] == ("todo", "returned", "ann")
    assert [pair.response for pair in list_pairs(db, project.id)] == ["z"]
    act(db, "e0", "bob", "z", overlap=2, asks_review=True)
    assert get_example(db, "e0").answers == 2


def test_gold_drafts_and_open_suggestions_follow(db: Database) -> None:
    project = make(db, "multi-label")
    save_draft(db, "e0", "ann", "a\nb")
    save_draft(db, "e1", "ann", "a")
    act(db, "e3", "ann", "a", source="gold")
    cursor = db.cursor()
    cursor.execute("INSERT INTO gold VALUES ('e3', ?, 'a', '', 'lead', ?)", [project.id, now()])
    for name, outcome in (("s0", None), ("s1", "accepted")):
        cursor.execute(
            "INSERT INTO suggestions VALUES (?, 'e0', ?, 'encoder', 'a', '', NULL, ?, ?, NULL, NULL, NULL)",
            [name, project.id, now(), outcome],
        )
    assert "1 gold answer, 2 drafts, 1 open suggestion follow" in change(db, project, "rename", "a", "z")
    assert db.query("SELECT response FROM drafts ORDER BY example_id") == [("z\nb",), ("z",)]
    assert db.query("SELECT response FROM gold") == [("z",)]
    assert db.query("SELECT id, response FROM suggestions ORDER BY id") == [("s0", "z"), ("s1", "a")]
    gold = [(a.action, a.response, a.source) for a in list_revisions(db, "e3")]
    assert gold == [("submit", "a", "gold"), ("submit", "z", "gold"), ("undo", "", "gold")]
    assert standing(db, project)["e3"] == ("todo", "")
    change(db, project, "delete", "z")
    assert db.query("SELECT response FROM drafts") == [("b",)] and db.query("SELECT count(*) FROM gold") == [(0,)]


def test_an_answer_taken_back_is_not_relabeled_and_a_relabeled_one_can_be_taken_back(
    db: Database, project: Project
) -> None:
    act(db, "e0", "ann", "a")
    with db.write() as cursor:
        take_back(cursor, list_undoable(db, project.id, "ann")[-1], Rules())
    act(db, "e1", "ann", "a")
    assert "changes 1 annotation of 1 example" in change(db, project, "rename", "a", "z")
    change(db, project, "merge", "z", "b")
    with db.write() as cursor:
        take_back(cursor, list_undoable(db, project.id, "ann")[-1], Rules())
    assert standing(db, project)["e1"] == ("todo", "") and standing(db, project)["e0"] == ("todo", "")


@pytest.mark.parametrize(
    ("kind", "label", "to", "said"),
    [
        ("rename", "a", "b", "merge the two"),
        ("rename", "a", " ", "needs a name"),
        ("rename", "a", "a", "the name it has"),
        ("rename", "x", "y", "Choose a label"),
        ("rename", "a", "x" * 201, "at most 200"),
        ("merge", "a", "x", "Choose the label to merge"),
        ("split", "a", "b", "no change 'split'"),
    ],
)
def test_changes_that_cannot_be_made_are_refused(
    db: Database, project: Project, kind: str, label: str, to: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        preview_change(db, project.id, Change(kind, label, to))


def test_labels_belong_to_classifications(db: Database) -> None:
    with pytest.raises(BadInput, match="Only classifications"):
        preview_change(db, create_project(db, "P").id, Change("delete", "a"))


def test_labels_are_added_arranged_and_coloured(db: Database, project: Project) -> None:
    assert add_labels(db, ME, project.id, ["d", "", "a", "e  e", "d"]) == 2
    assert names(db, project) == ["a", "b", "c", "d", "e e"]
    labels = get_project(db, project.id).settings.labels
    assert [label.colour for label in labels[3:]] == list(PALETTE[3:5])
    arrange_labels(db, ME, project.id, [replace(label, colour="#123456") for label in reversed(labels)])
    assert names(db, project) == ["e e", "d", "c", "b", "a"]
    assert {label.colour for label in get_project(db, project.id).settings.labels} == {"#123456"}
    with pytest.raises(Conflict, match="changed meanwhile"):
        arrange_labels(db, ME, project.id, labels[:3])
    with pytest.raises(BadInput, match="#rrggbb"):
        arrange_labels(db, ME, project.id, [replace(label, colour="red;") for label in labels])
    assert [row[0] for row in db.query("SELECT action FROM audit")] == ["label add", "label arrange"]


def test_a_label_set_has_an_end(db: Database, project: Project) -> None:
    with pytest.raises(BadInput, match="at most 1,000 labels"):
        add_labels(db, ME, project.id, [f"l{n}" for n in range(998)])
    update_settings(db, project.id, Settings())
    assert add_labels(db, ME, project.id, [f"l{n}" for n in range(1000)]) == 1000


def test_the_first_ten_labels_have_keys() -> None:
    assert [key_of(n) for n in (0, 8, 9, 10, -1)] == ["1", "9", "0", "", ""]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_palette_can_be_read_in_light_and_in_dark() -> None:
    for colour in PALETTE:
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5
        assert (luminance(colour) + 0.05) / (luminance("#151c23") + 0.05) >= 3
    assert len(set(PALETTE)) == 12
