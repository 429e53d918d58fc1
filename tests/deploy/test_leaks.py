"""Held-out rows whose question is nearly one that is trained on are found, each of them and no other."""

from __future__ import annotations

from storage.annotations import annotate
from storage.database import Database
from storage.records import Project
from studio.contract.nearness import is_near, normal
from studio.data.snapshots import freeze, read_split
from studio.deploy.leaks import nearly_trained
from studio.settings import Workspace
from tests.labeling.samples import put_examples

ASKED = (
    "Where has my parcel been left by the driver",
    "When does the shop in the old town close",
    "May I pay the second half of it in spring",
    "Which of the lamps can be put into a bathroom",
    "How heavy is the largest of the oak tables",
    "Who repairs a kettle that was dropped",
)


def frozen(db: Database, workspace: Workspace, project: Project, asked: list[str]) -> str:
    for example_id in put_examples(db, project.id, asked):
        annotate(db, example_id, "ann", "submit", f"Yes {example_id}.")
    return freeze(db, workspace, project.id, validation=0.0, test=0.5).snapshot.id


def test_near_questions_across_the_splits_are_found(db: Database, workspace: Workspace, project: Project) -> None:
    asked = [question + ending for question in ASKED for ending in ("?", ", please?", " now, please?")]
    snapshot_id = frozen(db, workspace, project, asked)
    rows = {split: read_split(workspace, snapshot_id, split) for split in ("train", "test")}
    near = {
        row.example_id
        for row in rows["test"]
        if any(is_near(normal(row.prompt), normal(other.prompt)) for other in rows["train"])
    }
    found = nearly_trained(workspace, snapshot_id)
    assert near and near <= found <= {row.example_id for row in rows["test"]}


def test_questions_of_their_own_are_kept(db: Database, workspace: Workspace, project: Project) -> None:
    assert nearly_trained(workspace, frozen(db, workspace, project, list(ASKED))) == frozenset()
