"""Lineage both ways, and the versions of guidelines that answers were given under."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage.annotations import annotate, list_revisions
from storage.database import Database
from storage.examples import list_pairs
from storage.guidelines import guidelines_at, list_guidelines
from storage.projects import create_project, update_project
from storage.records import Project, User
from storage.runs import create_run
from studio.data.lineage import Lineage, lineage
from studio.data.snapshots import freeze
from studio.errors import NotFound
from studio.labeling.setup import ProjectForm, make_project, save_project
from studio.settings import Workspace
from tests.data.test_splits import fill


def words(found: Lineage) -> set[tuple[str, str]]:
    text = {node.id: f"{node.kind}: {node.text}" for node in found.nodes}
    return {(text[start], text[end]) for start, end in found.edges}


@pytest.fixture
def story(db: Database, workspace: Workspace, project: Project, tmp_path) -> tuple[str, str, str]:  # type: ignore[no-untyped-def]
    """Two answers to one example under two versions of the guidelines, each frozen, a run on the second."""
    fill(db, project, tmp_path, [{"input": "Q", "output": "first"}, {"input": "R", "output": "other"}])
    freeze(db, workspace, project.id, 0, 0)
    update_project(db, project.id, "Support", "You help.", "Be kind.")
    example = list_pairs(db, project.id)[0].example_id
    annotate(db, example, "ann", "submit", "second")
    second = freeze(db, workspace, project.id, 0, 0).snapshot
    run = create_run(db, "run-123456", project.id, second.id, "starter", "{}", 1)
    return example, second.id, run.id


def test_an_example_is_followed_to_the_run_of_each_answer(db: Database, story: tuple[str, str, str]) -> None:
    found = lineage(db, story[0])
    assert (found.kind, found.id) == ("example", story[0])
    assert words(found) == {
        ("example: Q", "annotation: first"),
        ("example: Q", "annotation: second"),
        ("annotator: me", "annotation: first"),
        ("annotator: ann", "annotation: second"),
        ("guidelines: Guidelines v1", "annotation: first"),
        ("guidelines: Guidelines v2", "annotation: second"),
        ("annotation: first", "snapshot: Snapshot v1"),
        ("annotation: second", "snapshot: Snapshot v2"),
        ("snapshot: Snapshot v2", "run: Run 1"),
    }


def test_an_annotation_goes_its_own_way(db: Database, story: tuple[str, str, str]) -> None:
    first, second = list_revisions(db, story[0])
    assert {node.text for node in lineage(db, first.id).nodes} == {"Q", "me", "Guidelines v1", "first", "Snapshot v1"}
    assert "Run 1" in {node.text for node in lineage(db, second.id).nodes}


def test_a_snapshot_and_a_run_come_from_annotators_and_guidelines(db: Database, story: tuple[str, str, str]) -> None:
    found = lineage(db, story[1])
    assert ("annotator: ann", "annotation: 1 answer") in words(found)
    assert ("guidelines: Guidelines v1", "annotation: 1 answer") in words(found)
    assert ("annotation: 1 answer", "snapshot: Snapshot v2") in words(found)
    assert words(lineage(db, story[2])) == words(found) and lineage(db, story[2]).kind == "run"


def test_a_snapshot_of_before_answers_were_noted_goes_by_its_time(db: Database, story: tuple[str, str, str]) -> None:
    with db.write() as cursor:
        cursor.execute("UPDATE snapshot_examples SET annotation_id = ''")
    assert ("annotation: first", "snapshot: Snapshot v1") in words(lineage(db, story[0]))
    assert ("annotation: second", "snapshot: Snapshot v2") in words(lineage(db, story[0]))
    assert ("annotator: me", "annotation: 1 answer") in words(lineage(db, story[1]))


@pytest.mark.parametrize("beginning", ["", "abc", "zzzzzzzz", "%"])
def test_what_names_nothing_is_not_found(db: Database, story: tuple[str, str, str], beginning: str) -> None:
    with pytest.raises(NotFound, match="more of the id"):
        lineage(db, beginning)


def test_an_ambiguous_beginning_names_what_it_may_be(db: Database, project: Project) -> None:
    with db.write() as cursor:
        for end in "ab":
            cursor.execute(
                "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
                "VALUES (?, ?, '[]', '', '', '', 'todo', now()::TIMESTAMP)",
                ["123456" + end, project.id],
            )
    with pytest.raises(NotFound, match="example 123456a, example 123456b"):
        lineage(db, "123456")
    assert lineage(db, "123456a").id == "123456a"


def test_guidelines_get_a_version_only_when_they_change(db: Database) -> None:
    user = User("lead", "admin")
    made = make_project(db, user, "instruction", ProjectForm(name="P", guidelines="one"))
    form = ProjectForm.of(made)
    save_project(db, user, made.id, ProjectForm(name="Q", guidelines="one"), form.version)
    update_project(db, made.id, "Q", "", "two")
    found = list_guidelines(db, made.id)
    assert [(one.version, one.text, one.user_name) for one in found] == [(1, "one", "lead"), (2, "two", "")]
    assert guidelines_at(db, made.id, datetime(2000, 1, 1, tzinfo=UTC)) == found[0]
    assert guidelines_at(db, made.id, found[1].created_at) == found[1]
    assert guidelines_at(db, create_project(db, "Other").id, datetime.now(UTC)) is not None
    assert guidelines_at(db, "none", datetime.now(UTC)) is None
