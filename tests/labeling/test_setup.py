"""Projects saved as a form: nobody overwrites unseen, labels stay, other numbers of annotators move examples."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from storage.annotations import Act, Rules, append_act
from storage.database import Database, now
from storage.examples import page_examples
from storage.projects import get_project
from storage.records import Project, User
from studio.errors import BadInput, Conflict
from studio.labeling.labels import add_labels
from studio.labeling.setup import ProjectForm, archive, differences, make_project, save_project

ME = User("lead", "admin")


@pytest.fixture
def project(db: Database) -> Project:
    """A classification with two labels."""
    return make_project(db, ME, "classification", ProjectForm("P", "S", "G"), ["a", "", "b", "a"])


def form(project: Project, **changes: object) -> ProjectForm:
    return replace(ProjectForm.of(project), **changes)  # type: ignore[arg-type]


def audit(db: Database) -> list[tuple[str, str, dict[str, object]]]:
    return [(row[0], row[1], json.loads(row[2])) for row in db.query("SELECT user_name, action, details FROM audit")]


def test_a_project_is_made_with_its_labels_and_a_line_in_the_audit_log(db: Database, project: Project) -> None:
    assert [label.name for label in project.settings.labels] == ["a", "b"]
    assert audit(db) == [("lead", "project create", {"task": "classification"})]


def test_a_save_keeps_labels_and_says_what_changed(db: Database, project: Project) -> None:
    add_labels(db, ME, project.id, ["c"])
    saved = save_project(db, ME, project.id, form(project, name=" New ", overlap=3), ProjectForm.of(project).version)
    assert saved.changed == ("name", "overlap") and saved.project.settings.overlap == 3
    assert [label.name for label in saved.project.settings.labels] == ["a", "b", "c"]
    assert audit(db)[-1] == ("lead", "project save", {"changed_name": ["P", "New"], "changed_overlap": [1, 3]})


def test_a_save_that_changes_nothing_leaves_no_line(db: Database, project: Project) -> None:
    version = db.version(project.id)
    assert save_project(db, ME, project.id, form(project), ProjectForm.of(project).version).changed == ()
    assert len(audit(db)) == 1 and db.version(project.id) == version


def test_the_second_of_two_is_told_and_can_still_save(db: Database, project: Project) -> None:
    base = ProjectForm.of(project).version
    save_project(db, ME, project.id, form(project, guidelines="theirs", order="random"), base)
    mine = form(project, guidelines="mine")
    with pytest.raises(Conflict, match="differs from yours in: guidelines, order") as told:
        save_project(db, ME, project.id, mine, base)
    newest = told.value.newest
    assert isinstance(newest, ProjectForm) and newest.guidelines == "theirs"
    assert save_project(db, ME, project.id, mine, newest.version).project.guidelines == "mine"
    save_project(db, ME, project.id, mine, base)  # the same content again is no conflict


@pytest.mark.parametrize(
    "changes", [{"name": ""}, {"overlap": 0}, {"gold_rate": 0.9}, {"order": "up"}, {"rating_max": 1}]
)
def test_what_is_out_of_limits_is_refused_whole(db: Database, project: Project, changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        save_project(db, ME, project.id, form(project, guidelines="new", **changes), ProjectForm.of(project).version)
    assert get_project(db, project.id).guidelines == "G"


def fill(db: Database, project: Project, examples: dict[str, str]) -> None:
    """Examples by id, each with annotators of answer 'a' as letters; 'i' imports."""
    for name, annotators in examples.items():
        db.cursor().execute(
            "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
            "VALUES (?, ?, '[]', '', ?, 's', 'todo', ?)",
            [name, project.id, name, now()],
        )
        for who in annotators:
            act = Act(name, who, "submit", "a", source="import" if who == "i" else "label")
            with db.write() as cursor:
                append_act(cursor, act, Rules(project.settings.overlap))


def states(db: Database, project: Project) -> list[tuple[str, int]]:
    return [(example.status, example.answers) for example, _ in page_examples(db, project.id)]


def test_more_annotators_an_example_ask_for_more_and_fewer_are_done(db: Database, project: Project) -> None:
    fill(db, project, {"one": "x", "two": "xy", "imported": "i", "open": ""})
    saved = save_project(db, ME, project.id, form(project, overlap=2), ProjectForm.of(project).version)
    assert saved.moved == 1
    assert states(db, project) == [("todo", 1), ("labeled", 2), ("labeled", 1), ("todo", 0)]
    again = save_project(db, ME, project.id, form(saved.project, overlap=1), ProjectForm.of(saved.project).version)
    assert again.moved == 1
    assert states(db, project) == [("labeled", 1), ("labeled", 2), ("labeled", 1), ("todo", 0)]


def test_asking_for_review_makes_answers_wait(db: Database, project: Project) -> None:
    fill(db, project, {"one": "x"})
    saved = save_project(db, ME, project.id, form(project, review=True), ProjectForm.of(project).version)
    assert [example.review for example, _ in page_examples(db, project.id)] == ["pending"]
    save_project(db, ME, project.id, form(saved.project, review=False), ProjectForm.of(saved.project).version)
    assert [example.review for example, _ in page_examples(db, project.id)] == [""]


def test_putting_away_is_in_the_audit_log(db: Database, project: Project) -> None:
    assert archive(db, ME, project.id, True).archived_at is not None
    assert archive(db, ME, project.id, False).archived_at is None
    assert [line[1] for line in audit(db)][1:] == ["project archive", "project bring back"]


def test_two_forms_differ_in_fields() -> None:
    assert differences(ProjectForm("a"), ProjectForm("b", guidelines="x")) == ("name", "guidelines")
    assert ProjectForm("a").version == ProjectForm("a").version != ProjectForm("b").version
