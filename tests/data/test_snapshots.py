"""Snapshots: named by their content, one prompt in one split, all or nothing on the disk."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.annotations import annotate
from storage.database import Database, connect
from storage.examples import next_examples
from storage.projects import create_project, update_project
from storage.records import Project
from storage.snapshots import list_snapshots
from studio.data.importing import import_file
from studio.data.snapshots import SPLITS, count_rows, freeze, read_split, verify
from studio.data.splits import assign_splits
from studio.errors import BadFile, BadInput, DiskFull, NotFound
from studio.settings import Workspace


def fill(db: Database, project: Project, folder: Path, pairs: list[tuple[str, str]]) -> None:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps({"input": q, "output": a}) + "\n" for q, a in pairs))
    import_file(db, project.id, path)


def pairs(count: int) -> list[tuple[str, str]]:
    return [(f"q{n // 2}", f"a{n}") for n in range(count)]


def test_the_same_content_has_the_same_id_in_any_workspace_and_order(tmp_path: Path) -> None:
    ids = set()
    for number, content in enumerate((pairs(40), pairs(40)[::-1])):
        workspace = Workspace(tmp_path / str(number))
        db = connect(workspace.database, workspace.backups)
        project = create_project(db, f"Name {number}", system_prompt="S")
        fill(db, project, tmp_path, content)
        frozen = freeze(db, workspace, project.id, 0.2, 0.2, seed=3)
        rows = [row.messages for split in SPLITS for row in read_split(workspace, frozen.snapshot.id, split)]
        ids.add((frozen.snapshot.id, tuple(rows)))
        db.close()
    assert len(ids) == 1


def test_another_answer_seed_or_system_prompt_is_another_snapshot(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(20))
    first = freeze(db, workspace, project.id).snapshot
    assert freeze(db, workspace, project.id, seed=1).snapshot.id != first.id
    update_project(db, project.id, project.name, "Another.", "")
    assert freeze(db, workspace, project.id).snapshot.id != first.id
    fill(db, project, tmp_path, [("one", "more")])
    freeze(db, workspace, project.id)
    assert [snapshot.version for snapshot in list_snapshots(db, project.id)] == [4, 3, 2, 1]


def test_freezing_twice_reuses_the_folder(db: Database, workspace: Workspace, project: Project, tmp_path: Path) -> None:
    fill(db, project, tmp_path, pairs(20))
    first, second = freeze(db, workspace, project.id), freeze(db, workspace, project.id)
    assert (first.created, second.created) == (True, False)
    assert first.snapshot == second.snapshot
    assert [path.name for path in workspace.snapshots.iterdir()] == [first.snapshot.id]


def test_rows_are_whole_conversations_with_the_context_before_the_question(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "Q", "context": "C", "answer": "A"}\n')
    import_file(db, project.id, path)
    frozen = freeze(db, workspace, project.id).snapshot
    assert (frozen.train_rows, frozen.validation_rows, frozen.test_rows) == (1, 0, 0)
    row = read_split(workspace, frozen.id, "train")[0]
    assert [(m.role, m.content) for m in row.messages] == [
        ("system", "You help."),
        ("user", "C\n\nQ"),
        ("assistant", "A"),
    ]
    assert (row.prompt, row.response) == ("C\n\nQ", "A")


def test_only_accepted_pairs_are_frozen(db: Database, workspace: Workspace, project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"input": "a"}\n{"input": "b"}\n{"input": "c"}\n')
    import_file(db, project.id, tmp_path / "a.jsonl")
    with pytest.raises(BadInput, match="no accepted pairs"):
        freeze(db, workspace, project.id)
    first, second, _ = next_examples(db, project.id, 3)
    annotate(db, first.id, "me", "submit", "yes")
    annotate(db, second.id, "me", "skip", "half an answer")
    frozen = freeze(db, workspace, project.id, 0, 0).snapshot
    assert [row.response for row in read_split(workspace, frozen.id, "train")] == ["yes"]


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0), (0, 0.95), (0.5, 0.5), (float("nan"), 0)])
def test_fractions_out_of_bounds_are_refused(
    db: Database, workspace: Workspace, project: Project, validation: float, test: float
) -> None:
    with pytest.raises(BadInput):
        freeze(db, workspace, project.id, validation, test)


def test_a_damaged_snapshot_is_noticed_and_written_anew(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(20))
    snapshot = freeze(db, workspace, project.id).snapshot
    file = workspace.snapshots / snapshot.id / "train.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    with pytest.raises(BadFile, match="damaged"):
        verify(workspace, snapshot.id)
    assert freeze(db, workspace, project.id).snapshot.id == snapshot.id
    verify(workspace, snapshot.id)
    (workspace.snapshots / snapshot.id / "manifest.json").write_text("{")
    with pytest.raises(BadFile):
        verify(workspace, snapshot.id)
    shutil.rmtree(workspace.snapshots / snapshot.id)
    with pytest.raises(NotFound):
        verify(workspace, snapshot.id)


@pytest.mark.parametrize("name", ["../../etc", "..", "", "ABCDEF0123456789", "0123456789abcdef"])
def test_what_is_no_snapshot_is_not_found(workspace: Workspace, name: str) -> None:
    with pytest.raises(NotFound):
        read_split(workspace, name, "train")


def test_pages_of_a_split_add_up(db: Database, workspace: Workspace, project: Project, tmp_path: Path) -> None:
    fill(db, project, tmp_path, pairs(2500))
    snapshot = freeze(db, workspace, project.id, 0, 0).snapshot
    whole = read_split(workspace, snapshot.id, "train", 0, 10_000)
    assert len(whole) == count_rows(workspace, snapshot.id)["train"] == 2500
    assert [row for at in range(0, 2500, 700) for row in read_split(workspace, snapshot.id, "train", at, 700)] == whole
    assert read_split(workspace, snapshot.id, "train", 2500, 10) == read_split(workspace, snapshot.id, "test") == []


def test_a_full_disk_leaves_no_half_snapshot(small_disk: Path, tmp_path: Path) -> None:
    workspace = Workspace(small_disk / "w")
    db = connect(tmp_path / "studio.duckdb", tmp_path / "b")
    project, noise = create_project(db, "P"), random.Random(0)
    fill(db, project, tmp_path, [(f"q{n}", noise.randbytes(1000).hex()) for n in range(9000)])
    with pytest.raises(DiskFull):
        freeze(db, workspace, project.id)
    assert list(workspace.snapshots.iterdir()) == []
    assert list_snapshots(db, project.id) == []
    db.close()


FRACTIONS = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.45])


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    groups=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=40),
    validation=FRACTIONS,
    test=FRACTIONS,
    seed=st.integers(0, 5),
)
def test_splits_are_stable_and_near_their_size(
    groups: dict[str, int], validation: float, test: float, seed: int
) -> None:
    splits = assign_splits(groups, validation, test, seed)
    assert splits == assign_splits(dict(reversed(list(groups.items()))), validation, test, seed)
    assert "train" in splits.values()
    rows = sum(groups.values())
    for split, fraction in (("validation", validation), ("test", test)):
        taken = sum(size for key, size in groups.items() if splits[key] == split)
        assert taken <= 2 * max(1, round(fraction * rows)) if fraction else taken == 0


def test_a_tested_prompt_stays_tested_when_the_project_grows() -> None:
    small = assign_splits({str(n): 1 for n in range(100)}, 0.1, 0.1, 0)
    large = assign_splits({str(n): 1 for n in range(150)}, 0.1, 0.1, 0)
    moved = [key for key, split in small.items() if split == "test" and large[key] != "test"]
    assert len(moved) <= 3
