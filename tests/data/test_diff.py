"""The diff of two snapshots: what became of each row, by whom, and where it lies now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.annotations import annotate
from storage.database import Database
from storage.examples import list_pairs
from storage.projects import update_project
from storage.records import Pair, Project
from studio.data.diff import KINDS, Diff, diff_rows, diff_snapshots
from studio.data.snapshots import freeze
from studio.errors import BadFile, BadInput, NotFound
from studio.settings import Workspace
from tests.data.test_splits import fill, pairs


@dataclass
class Bench:
    db: Database
    workspace: Workspace
    project: Project
    folder: Path

    def freeze(self, validation: float = 0, test: float = 0, seed: int = 0) -> str:
        return freeze(self.db, self.workspace, self.project.id, validation, test, seed).snapshot.id

    def add(self, first: int, last: int) -> None:
        fill(self.db, self.project, self.folder, pairs(first, last))

    def pairs(self) -> list[Pair]:
        return list_pairs(self.db, self.project.id)

    def diff(self, before: str, after: str) -> Diff:
        return diff_snapshots(self.workspace, self.db, before, after)

    def rows(self, found: Diff, kind: str) -> list[tuple[str, str | None, str | None, str | None]]:
        rows = diff_rows(self.workspace, self.db, found, kind)
        return [(row.prompt, row.before, row.after, row.by) for row in rows]


@pytest.fixture
def bench(db: Database, workspace: Workspace, project: Project, tmp_path: Path) -> Bench:
    made = Bench(db, workspace, project, tmp_path)
    made.add(0, 30)
    return made


def test_a_snapshot_does_not_differ_from_itself(bench: Bench) -> None:
    one = bench.freeze(0.1, 0.1)
    assert bench.diff(one, one).counts == {**dict.fromkeys(KINDS, 0), "same": 30}


def test_every_row_is_told_with_who_changed_it(bench: Bench) -> None:
    before = bench.freeze()
    first, second, third, *_ = bench.pairs()
    annotate(bench.db, first.example_id, "ann", "submit", "better")
    annotate(bench.db, second.example_id, "me", "skip")
    with bench.db.write() as cursor:
        cursor.execute(
            "UPDATE examples SET prompt = ?, content_key = 'x' WHERE id = ?",
            ['[["user", "No name"]]', third.example_id],
        )
    bench.add(30, 32)
    found = bench.diff(before, bench.freeze())
    assert found.counts == {"added": 2, "removed": 1, "relabeled": 1, "edited": 1, "moved": 0, "same": 27}
    assert found.by == {"ann": 1}
    assert bench.rows(found, "relabeled") == [("Question 0", "a0", "better", "ann")]
    assert bench.rows(found, "removed") == [("Question 1", "a1", None, None)]
    assert bench.rows(found, "edited") == [("No name", "a2", "a2", "me")]
    assert sorted(row[0] for row in bench.rows(found, "added")) == ["Question 30", "Question 31"]


def test_moved_rows_have_both_splits(bench: Bench) -> None:
    found = bench.diff(bench.freeze(0, 0), bench.freeze(0.1, 0.2))
    assert found.counts["moved"] == 9 and found.counts["same"] == 21
    assert found.moves == {("train", "validation"): 3, ("train", "test"): 6}
    places = [(row.split_before, row.split_after) for row in diff_rows(bench.workspace, bench.db, found, "moved")]
    assert places == [("train", "validation")] * 3 + [("train", "test")] * 6


def test_another_answer_to_the_same_prompt_by_another_example_is_relabeled(bench: Bench) -> None:
    before = bench.freeze()
    gone = bench.pairs()[5]
    annotate(bench.db, gone.example_id, "me", "skip")
    fill(bench.db, bench.project, bench.folder, [{"input": "Question 5", "output": "another"}])
    found = bench.diff(before, bench.freeze())
    assert bench.rows(found, "relabeled") == [("Question 5", "a5", "another", "me")]
    assert (found.counts["added"], found.counts["removed"]) == (0, 0)


def test_another_system_prompt_edits_every_row(bench: Bench) -> None:
    before = bench.freeze()
    update_project(bench.db, bench.project.id, "Support", "Be brief.", "")
    found = bench.diff(before, bench.freeze())
    assert found.counts == {**dict.fromkeys(KINDS, 0), "edited": 30, "same": 0}


def test_pages_of_a_diff_add_up(bench: Bench) -> None:
    before = bench.freeze()
    bench.add(30, 3000)
    found = bench.diff(before, bench.freeze(0.2, 0.2))
    whole = diff_rows(bench.workspace, bench.db, found, "added", 0, 5000)
    page = [row for at in range(0, 2970, 700) for row in diff_rows(bench.workspace, bench.db, found, "added", at, 700)]
    assert len(whole) == 2970 and page == whole


def test_what_cannot_be_compared_is_told(bench: Bench) -> None:
    one = bench.freeze()
    with pytest.raises(NotFound):
        bench.diff(one, "0123456789abcdef")
    with pytest.raises(BadInput, match="no kind"):
        diff_rows(bench.workspace, bench.db, bench.diff(one, one), "odd")
    (bench.workspace.snapshots / one / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadFile, match=r"test\.parquet cannot be read"):
        bench.diff(one, one)
