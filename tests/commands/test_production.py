"""`promote`, `rollback` and `rules` from the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import pytest

from storage.database import Database
from storage.records import Project
from studio.commands import Outcome
from studio.commands import production as commands
from studio.errors import BadInput, NotFound
from studio.settings import Workspace
from tests.deploy.conftest import make_run


@pytest.fixture
def runs(db: Database, workspace: Workspace, project: Project) -> list[str]:
    """Two finished runs, in a workspace that no app has open."""
    made = [make_run(db, workspace, project).id for _ in range(2)]
    db.close()
    return made


def said(workspace: Workspace, command: Callable[[Workspace, argparse.Namespace], Outcome], *words: str) -> Any:
    parser = argparse.ArgumentParser()
    flags: Any = getattr(commands, f"add_{command.__name__}_flags")
    flags(parser)
    return json.loads(json.dumps(command(workspace, parser.parse_args(["Support", *words])).data))


def test_promote_by_id_and_number_then_roll_back(workspace: Workspace, runs: list[str]) -> None:
    first = said(workspace, commands.promote, runs[0], "--why", "first", "--by", "ann")
    assert (first["production"], first["run"], first["model"]) == (runs[0], 1, "Support@production")
    assert said(workspace, commands.promote, "2")["production"] == runs[1]
    back = said(workspace, commands.rollback, "--why", "worse")
    assert back["production"] == runs[0]
    assert [(row["kind"], row["number"], row["why"]) for row in back["history"]] == [
        ("rollback", 1, "worse"),
        ("promote", 2, ""),
        ("promote", 1, "first"),
    ]
    with pytest.raises(NotFound, match="no run 7"):
        said(workspace, commands.promote, "7")


def test_rules_are_set_one_by_one_and_turned_off(workspace: Workspace, runs: list[str]) -> None:
    off = {"every_examples": None, "every_days": None, "on_drift": False, "feedback_below": None}
    assert said(workspace, commands.rules)["rules"] == off
    said(workspace, commands.rules, "--every-examples", "50", "--on-drift")
    both = said(workspace, commands.rules, "--feedback-below", "0.7")["rules"]
    assert both == off | {"every_examples": 50, "on_drift": True, "feedback_below": 0.7}
    assert said(workspace, commands.rules, "--off", "--every-days", "7")["rules"] == off | {"every_days": 7.0}
    assert said(workspace, commands.rules, "--off")["rules"] == off
    with pytest.raises(BadInput, match="1 to 10,000,000"):
        said(workspace, commands.rules, "--every-examples", "0")


def test_a_retraining_is_begun_by_hand(workspace: Workspace, runs: list[str]) -> None:
    found = said(workspace, commands.rules, "--now", "--by", "ann")["retrainings"]
    assert [(one["step"], one["reasons"], one["ended"]) for one in found] == [("snapshot", ["Asked for by ann."], None)]
