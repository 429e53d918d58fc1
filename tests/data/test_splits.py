"""Splits: strata have like shares, groups stay whole, and what was once tested on is tested on for good."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.annotations import annotate
from storage.database import Database, connect
from storage.examples import list_pairs
from storage.projects import create_project
from storage.records import Project
from studio.data.importing import import_file
from studio.data.snapshot_files import read_manifest
from studio.data.snapshots import SPLITS, Frozen, freeze, read_split
from studio.data.splits import assign_splits, joined, majority
from studio.errors import BadInput, Cancelled, Conflict
from studio.settings import Workspace


def fill(db: Database, project: Project, folder: Path, rows: list[dict[str, str]]) -> None:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(db, project.id, path)


def pairs(first: int, last: int) -> list[dict[str, str]]:
    return [{"input": f"Question {n}", "output": f"a{n}"} for n in range(first, last)]


def examples(workspace: Workspace, frozen: Frozen, split: str) -> set[str]:
    return {row.example_id for row in read_split(workspace, frozen.snapshot.id, split, 0, 10_000)}


def test_a_test_example_stays_one_whatever_the_seed_and_the_fractions(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 100))
    tested = examples(workspace, freeze(db, workspace, project.id, 0.1, 0.2), "test")
    assert len(tested) == 20
    fill(db, project, tmp_path, pairs(100, 150))
    for seed, validation, test in ((1, 0.1, 0.2), (2, 0.4, 0.05), (3, 0, 0)):
        frozen = freeze(db, workspace, project.id, validation, test, seed)
        now = examples(workspace, frozen, "test")
        assert tested <= now and len(now) == max(len(tested), round(test * 150))
        tested = now
    assert "keeps all 30 rows" in " ".join(frozen.notes) and frozen.kept == 30


def test_freezing_the_same_again_moves_nothing(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, [{"input": f"q{n // 7}", "output": f"a{n}"} for n in range(60)])
    first = freeze(db, workspace, project.id, 0.15, 0.15)
    assert freeze(db, workspace, project.id, 0.15, 0.15).snapshot == first.snapshot


def test_what_left_and_came_back_is_tested_on_again(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 20))
    tested = sorted(examples(workspace, freeze(db, workspace, project.id, 0, 0.2), "test"))
    annotate(db, tested[0], "me", "skip")
    assert tested[0] not in examples(workspace, freeze(db, workspace, project.id, 0, 0.2), "test")
    annotate(db, tested[0], "me", "submit", "another answer")
    assert tested[0] in examples(workspace, freeze(db, workspace, project.id, 0, 0.2, seed=9), "test")


def test_a_mended_text_and_a_copy_of_a_tested_one_are_tested_too(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 20))
    pair = next(p for p in list_pairs(db, project.id) if p.example_id in _tested(db, workspace, project))
    with db.write() as cursor:
        cursor.execute(
            "UPDATE examples SET prompt = ?, content_key = 'new' WHERE id = ?",
            ['[["user", "Mended"]]', pair.example_id],
        )
    assert pair.example_id in _tested(db, workspace, project)
    fill(db, project, tmp_path, [{"input": pair.prompt[0].content, "output": "a new answer to the old text"}])
    answers = {row.response for row in read_split(workspace, _frozen(db, workspace, project).snapshot.id, "test")}
    assert "a new answer to the old text" in answers


def _frozen(db: Database, workspace: Workspace, project: Project) -> Frozen:
    return freeze(db, workspace, project.id, 0, 0.2, seed=5)


def _tested(db: Database, workspace: Workspace, project: Project) -> set[str]:
    return examples(workspace, _frozen(db, workspace, project), "test")


def test_a_group_that_links_test_with_train_goes_to_test_and_is_counted(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 20))
    tested = _tested(db, workspace, project)
    with db.write() as cursor:
        cursor.execute("UPDATE examples SET group_name = 'customer 7' WHERE id = ?", [min(tested)])
        cursor.execute("UPDATE examples SET group_name = 'customer 7' WHERE position IN (1, 2, 3)")
    frozen = freeze(db, workspace, project.id, 0, 0.2)
    first = {pair.example_id for pair in list_pairs(db, project.id)[:3]}
    assert first | tested <= examples(workspace, frozen, "test")
    assert frozen.linked == len(first - tested) and "of one group" in " ".join(frozen.notes)
    assert read_manifest(workspace, frozen.snapshot.id)["held_out"] == {"kept": 4, "linked": frozen.linked}


def test_nearly_the_same_prompts_are_in_one_split(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    texts = [f"How can I change the {noun} of my order" for noun in ("address", "colour", "delivery date", "size")]
    texts += [f"Tell me about {noun} in plain words" for noun in ("photosynthesis", "inflation", "gravity", "Mozart")]
    rows = [{"input": text + end, "output": text + end} for text in texts for end in ("", "?", " please!")]
    fill(db, project, tmp_path, rows)
    frozen = freeze(db, workspace, project.id, 0.3, 0.3, group_by="near")
    for text in texts:
        places = [s for s in SPLITS for r in read_split(workspace, frozen.snapshot.id, s) if r.prompt.startswith(text)]
        assert len(places) == 3 and len(set(places)) == 1


def test_labels_have_like_shares_in_each_split(db: Database, workspace: Workspace, tmp_path: Path) -> None:
    project = create_project(db, "Labels", "classification")
    rows = [{"text": f"t{n}", "label": "rare" if n % 20 == 0 else "often"} for n in range(400)]
    fill(db, project, tmp_path, rows)
    frozen = freeze(db, workspace, project.id, 0.1, 0.1)
    shown = read_manifest(workspace, frozen.snapshot.id)
    assert shown["labels"] == {
        "often": {"train": 304, "validation": 38, "test": 38},
        "rare": {"train": 16, "validation": 2, "test": 2},
    }
    assert shown["options"] == {"stratify": True, "group_by": "column"} and shown["guidelines"] == 1
    plain = freeze(db, workspace, project.id, 0.1, 0.1, seed=4, stratify=False)
    assert set(examples(workspace, frozen, "test")) <= set(examples(workspace, plain, "test"))


def test_the_whole_dataset_tested_on_leaves_nothing_to_train(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 10))
    tested = examples(workspace, freeze(db, workspace, project.id, 0, 0.3), "test")
    for pair in list_pairs(db, project.id):
        if pair.example_id not in tested:
            annotate(db, pair.example_id, "me", "skip")
    with pytest.raises(BadInput, match="nothing is left to train on"):
        freeze(db, workspace, project.id)


def test_a_cancelled_freeze_leaves_nothing(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 20))
    for stop in ("Splitting", "Writing", "Noting"):

        def go_on(done: float, words: str, stop: str = stop) -> bool:
            return not words.startswith(stop)

        with pytest.raises(Cancelled):
            freeze(db, workspace, project.id, on_progress=go_on)
        assert list(workspace.snapshots.iterdir()) == []
    assert db.query("SELECT count(*) FROM held_out") == [(0,)]


def test_two_freezes_at_once_do_not_hold_out_past_each_other(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    fill(db, project, tmp_path, pairs(0, 50))

    def meanwhile(done: float, words: str) -> bool:
        if words.startswith("Noting"):
            freeze(db, workspace, project.id, 0, 0.2, seed=1)
        return True

    with pytest.raises(Conflict, match="freeze again"):
        freeze(db, workspace, project.id, 0, 0.2, seed=2, on_progress=meanwhile)


def test_an_unknown_grouping_is_refused(db: Database, workspace: Workspace, project: Project) -> None:
    with pytest.raises(BadInput, match="no grouping 'x'"):
        freeze(db, workspace, project.id, group_by="x")


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    groups=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 9), min_size=2, max_size=40),
    labels=st.text("xyz", min_size=40, max_size=40),
    fractions=st.tuples(st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.1, 0.3])),
    seed=st.integers(0, 5),
)
def test_strata_and_the_held_out_hold(
    groups: dict[str, int], labels: str, fractions: tuple[float, float], seed: int
) -> None:
    strata = dict(zip(sorted(groups), labels, strict=False))
    first = assign_splits(groups, *fractions, seed, strata)
    held = [key for key, split in first.items() if split == "test"]
    assert assign_splits(groups, *fractions, seed, strata, held) == first
    later = assign_splits(groups, *fractions, seed + 1, strata, held)
    assert all(later[key] == "test" for key in held) and "train" in later.values()
    sizes = Counter({split: sum(n for key, n in groups.items() if first[key] == split) for split in SPLITS})
    assert sizes["test"] <= 2 * max(1, round(fractions[1] * sum(groups.values()))) + 9


def test_links_join_to_the_least_name() -> None:
    made = joined([("d", "c"), ("b", "c"), ("x", "y")], "abcdxyz")
    assert made == {"a": "a", "b": "b", "c": "b", "d": "b", "x": "x", "y": "x", "z": "z"}
    assert majority([("g", "b"), ("g", "a"), ("h", "c"), ("h", "d"), ("h", "d")]) == {"g": "a", "h": "d"}


def test_near_groups_do_not_depend_on_the_order_of_import(tmp_path: Path) -> None:
    texts = [f"{verb} the {noun} of my order{end}" for verb in ("Change", "Tell me about", "Who pays for")
             for noun in ("address", "delivery", "invoice") for end in ("", "!", " now")]  # fmt: skip
    ids = set()
    for number, rows in enumerate((texts, texts[::-1])):
        workspace = Workspace(tmp_path / str(number))
        db = connect(workspace.database, workspace.backups)
        project = create_project(db, "P")
        fill(db, project, tmp_path, [{"input": text, "output": "a"} for text in rows])
        ids.add(freeze(db, workspace, project.id, 0.2, 0.2, group_by="near").snapshot.id)
        db.close()
    assert len(ids) == 1
