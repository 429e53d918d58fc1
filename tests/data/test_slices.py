"""Slices of a run's held-out rows: figures against plain arithmetic, which parts are shown, kept beside the losses."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.annotations import annotate
from storage.database import Database
from storage.projects import create_project, update_settings
from storage.records import Label, Settings
from studio.contract.held_out import HELD_OUT_FILE
from studio.contract.terms import parse_terms
from studio.data.slices import Slice, identity_groups, slices, slices_of
from studio.settings import Workspace
from tests.labeling.samples import put_examples
from tests.ui.conftest import run


def test_slices_are_means_over_their_rows() -> None:
    base, tuned = [1.0] * 5 + [3.0] * 5, [0.5] * 5 + [3.5] * 5
    found = slices(base, tuned, {"label": [frozenset("a")] * 5 + [frozenset("b")] * 5})
    assert found == (
        Slice("", "All held-out rows", 10, 2.0, 2.0, 0.5),
        Slice("label", "b", 5, 3.0, 3.5, 0.0),
        Slice("label", "a", 5, 1.0, 0.5, 1.0),
    )


def test_parts_of_fewer_than_five_rows_and_kinds_of_one_part_are_left_out() -> None:
    few = [frozenset("a")] * 6 + [frozenset("b")] * 4
    assert slices([1.0] * 10, [0.5] * 10, {"label": few, "language": [frozenset(["en"])] * 10}) == ()


def test_a_row_can_be_in_several_groups() -> None:
    both = [frozenset("ab")] * 5 + [frozenset("a")] * 5
    assert [(one.name, one.rows) for one in slices([1.0] * 10, [0.5] * 10, {"x": both})][1:] == [("a", 10), ("b", 5)]


def test_identity_groups_are_named_by_whole_words_of_a_list_that_users_edit() -> None:
    terms = parse_terms("gender/male: he, him, boy\ngender/female: she\nage/old: elderly")
    found = identity_groups(["The boy met Shelly.", "SHE and he", "An elderly cat"], terms)
    assert found["gender"] == [{"male"}, {"male", "female"}, {"none of these"}]
    assert found["age"] == [{"none of these"}, {"none of these"}, {"old"}]


@pytest.fixture
def losses(db: Database, workspace: Workspace) -> str:
    """A finished run of twelve held-out rows, half of each label."""
    labels = (Label("good", "#000000"), Label("bad", "#ffffff"))
    project = create_project(db, "Class", "classification", settings=Settings(labels=labels))
    update_settings(db, project.id, Settings(labels=labels, identity_terms="gender/male: he\ngender/female: she"))
    ids = put_examples(db, project.id, [f"{'he' if n < 6 else 'she'} wrote number {n} to us" for n in range(12)])
    for number, key in enumerate(ids):
        annotate(db, key, "ana", "submit", "good" if number % 2 else "bad")
    folder = workspace.runs / "run-1"
    folder.mkdir(parents=True)
    base, tuned = [1.0] * 12, [0.5 if number % 2 else 1.5 for number in range(12)]
    columns = {
        "row": range(1, 13),
        "example_id": ids,
        "base_loss": base,
        "tuned_loss": tuned,
        "target_tokens": [3] * 12,
    }
    pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), folder / HELD_OUT_FILE)
    return project.id


def test_a_run_is_sliced_by_label_and_identity_group(db: Database, workspace: Workspace, losses: str) -> None:
    found = slices_of(db, workspace, run(project_id=losses))
    assert [(one.kind, one.name, one.rows, one.tuned_loss) for one in found] == [
        ("", "All held-out rows", 12, 1.0),
        ("label", "bad", 6, 1.5),
        ("label", "good", 6, 0.5),
        ("gender", "female", 6, 1.0),
        ("gender", "male", 6, 1.0),
    ]


def test_slices_are_made_once_and_a_run_without_losses_has_none(
    db: Database, workspace: Workspace, losses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = slices_of(db, workspace, run(project_id=losses))
    monkeypatch.setattr("studio.data.slices._make", lambda *given: pytest.fail("made again"))
    assert slices_of(db, workspace, run(project_id=losses)) == found
    assert slices_of(db, workspace, run(id="run-2", project_id=losses)) == ()
