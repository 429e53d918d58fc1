"""`vote` without a browser: a comparison shown blind, a vote, its undo, and the standings, each as one object."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from storage.database import connect
from storage.projects import create_project
from studio.commands.voting import vote
from studio.errors import BadInput, NotFound
from studio.settings import Workspace
from tests.labeling.compared import BASE, TUNED, compare


@pytest.fixture
def ids(workspace: Workspace) -> list[str]:
    """Three stored comparisons of a project; its database is closed."""
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Support")
    found = [compare(db, project, f"q{number}").id for number in range(3)]
    db.close()
    return found


def run(workspace: Workspace, **given: object) -> dict[str, Any]:
    """What one call prints."""
    flags = {"name": "Support", "by": "ann", "comparison": None, "choice": None, "undo": False, "standings": False}
    return dict(vote(workspace, Namespace(**{**flags, **given})).data)


def test_a_comparison_is_shown_blind_and_voted_on(workspace: Workspace, ids: list[str]) -> None:
    shown = run(workspace)
    assert (shown["comparison"], shown["to_vote"]) == (ids[0], 3) and shown["messages"][-1]["content"] == "q0"
    assert {shown["left"], shown["right"]} == {BASE.text, TUNED.text} and "Run 1" not in str(shown)
    choice = "left" if shown["left"] == TUNED.text else "right"
    done = run(workspace, comparison=ids[0][:10], choice=choice)
    assert done[choice] == "Run 1" and done["choice"] == choice and done["example"]
    assert run(workspace)["comparison"] == ids[1]


def test_an_undo_shows_the_comparison_again(workspace: Workspace, ids: list[str]) -> None:
    assert run(workspace, undo=True) == {"comparison": None}
    run(workspace, comparison=ids[0], choice="left")
    taken = run(workspace, undo=True)
    assert (taken["comparison"], taken["choice"], taken["example"]) == (ids[0], "left", None)
    assert run(workspace)["comparison"] == ids[0]


def test_the_standings_are_plain_values(workspace: Workspace, ids: list[str]) -> None:
    for by in ("ann", "bob"):
        for one in ids:
            run(workspace, comparison=one, choice="tie", by=by)
    found = run(workspace, standings=True)
    assert (found["votes"], found["blind"], found["ranking"]) == (6, 6, []) and "tie" in found["reason"]
    assert found["against_base"][0]["ties"] == 6 and found["voters"][0]["shared"] == 3
    assert run(workspace) == {"comparison": None, "to_vote": 0}


def test_what_is_no_vote_is_refused(workspace: Workspace, ids: list[str]) -> None:
    with pytest.raises(BadInput, match="--comparison ID"):
        run(workspace, choice="left")
    with pytest.raises(BadInput, match="one of left"):
        run(workspace, comparison=ids[0], choice="up")
    with pytest.raises(NotFound):
        run(workspace, comparison="ab")
