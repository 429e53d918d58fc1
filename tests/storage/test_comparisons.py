"""Comparisons in the database: the migration onto an older file, votes that are appended, two people at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import comparisons
from storage.database import Database, check_integrity, connect, schema_version
from storage.projects import create_project, find_project, update_settings
from storage.records import Comparison, Project, Settings, Side, Turn
from studio.errors import BadInput, NotFound
from studio.settings import Workspace
from tests.storage.older import make_older

SIDES = (Side("", "Base", "base", "a"), Side("r1", "Run 1", "run", "b"), Side("r2", "Run 2", "run", "c"))


def add(db: Database, project: Project, text: str = "Why?") -> Comparison:
    with db.write() as cursor:
        return comparisons.add_comparison(
            cursor, "ann", project.id, [Turn("user", text)], SIDES, {"seed": 1}, None, ["k"]
        )


def cast(db: Database, of: Comparison, user: str, left: int, right: int, choice: str) -> None:
    with db.write() as cursor:
        comparisons.add_vote(cursor, user, of, left, right, choice, True)


def test_a_workspace_of_the_version_before_is_brought_up(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(workspace, tmp_path, 3, monkeypatch)
    db = connect(workspace.database, workspace.backups)
    assert schema_version(db) >= 4 and find_project(db, "Kept").settings.votes_to == "review"
    made = add(db, find_project(db, "Kept"))
    assert comparisons.get_comparison(db, made.id) == made and check_integrity(db)["comparisons"] == 1
    db.close()


def test_votes_of_different_pairs_and_people_stand_beside_each_other(db: Database, project: Project) -> None:
    of = add(db, project)
    for who, left, right, choice in (
        ("ann", 0, 1, "left"), ("bob", 0, 1, "tie"), ("ann", 0, 2, "bad"), ("ann", 1, 0, "tie")
    ):  # fmt: skip
        cast(db, of, who, left, right, choice)
    found = [(one.user, one.pair, one.choice) for one in comparisons.votes_on(db.cursor(), of.id)]
    assert found == [("bob", (0, 1), "tie"), ("ann", (0, 2), "bad"), ("ann", (0, 1), "tie")]
    assert comparisons.standing_votes(db, project.id) == comparisons.votes_on(db.cursor(), of.id)


def test_a_comparison_is_found_by_the_beginning_of_its_id_within_its_project(db: Database, project: Project) -> None:
    made = add(db, project)
    assert comparisons.find_comparison(db, project.id, made.id[:6]) == made
    other = create_project(db, "Other")
    for project_id, beginning in ((project.id, made.id[:5]), (other.id, made.id), (project.id, "")):
        with pytest.raises(NotFound):
            comparisons.find_comparison(db, project_id, beginning)
    with pytest.raises(NotFound):
        comparisons.get_comparison(db, "nothing")


def test_votes_go_to_one_of_three_places(db: Database, project: Project) -> None:
    for place in ("queue", "nowhere", "review"):
        assert update_settings(db, project.id, Settings(votes_to=place)).settings.votes_to == place
    with pytest.raises(BadInput, match="nowhere"):
        update_settings(db, project.id, Settings(votes_to="somewhere"))
