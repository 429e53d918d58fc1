"""What the Datasets tab shows: lists, rows, differences and lineages, from data to HTML."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from storage.annotations import annotate
from storage.examples import list_pairs
from storage.projects import create_project
from storage.records import Snapshot
from studio.context import Studio
from studio.data.diff import Diff, DiffRow
from studio.data.importing import import_file
from studio.data.lineage import Lineage, Node, of_example
from studio.data.snapshots import freeze
from studio.ui import datasets, datasets_diff
from studio.ui import datasets_views as views
from studio.ui.components.lineage import MOST, lineage_html
from tests.ui.conftest import EVIL, WHEN, read, tags


@pytest.fixture
def filled(studio: Studio, tmp_path: Path) -> str:
    """The id of a project with thirty labeled hostile pairs, frozen once."""
    project = create_project(studio.db, EVIL[:100], "instruction", EVIL, EVIL)
    file = tmp_path / "evil.jsonl"
    rows = [{"prompt": f"{n} {EVIL}", "response": f"{n} {EVIL}"} for n in range(30)]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_file(studio.db, project.id, file)
    freeze(studio.db, studio.workspace, project.id)
    return project.id


def snapshots(studio: Studio, project_id: str) -> list[Snapshot]:
    return datasets.list_snapshots(studio.db, project_id)


def test_snapshots_are_listed_and_looked_into(studio: Studio, filled: str) -> None:
    made = snapshots(studio, filled)[0]
    said = read(views.cards_html([made], made.id))
    assert "v1" in said and f"{made.train_rows:,} train" in said
    rows = datasets.page_html(studio, made.id, "train", 1)
    assert EVIL in read(rows) and len(tags(rows, "tr")) == 24 + 1
    assert "No rows here" in read(datasets.page_html(studio, made.id, "test", 99))
    assert "Nothing to look into" in read(datasets.page_html(studio, "", "train", 1))
    assert "No snapshot yet" in read(views.cards_html([], ""))


def test_rows_are_searched_with_their_number(studio: Studio, filled: str) -> None:
    made = snapshots(studio, filled)[0].id
    assert "24 rows with “ONERROR" in read(datasets.page_html(studio, made, "train", 1, "ONERROR"))
    assert f"has “{EVIL}x” on page 1" in read(datasets.page_html(studio, made, "train", 1, EVIL + "x"))


def test_ids_and_notes_are_text(studio: Studio) -> None:
    evil = Snapshot(EVIL, "p", 1, 0, 1, 0, 0, WHEN)
    read(views.cards_html([evil], EVIL))
    assert EVIL in read(views.frozen_html(evil, False, (EVIL,)))
    manifest = {"labels": {EVIL: {"train": 2}}, "guidelines": EVIL, "held_out": {"kept": 3}}
    said = read(views.head_html(evil, manifest | {"options": {"stratify": True, "group_by": "near"}}))
    for words in (EVIL, "nearly the same prompt, or group", "stratified", "3 test rows of before kept", "1 label"):
        assert words in said
    read(views.head_html(evil, {}))
    assert "Sound" in read(views.sound_html({"train": 3, "test": 1}))


def test_a_snapshot_that_cannot_be_read_is_told(studio: Studio, filled: str) -> None:
    made = snapshots(studio, filled)[0]
    (studio.workspace.snapshots / made.id / "manifest.json").write_text("{")
    assert "manifest.json cannot be read" in read(datasets.head_of(studio, filled, made.id))
    assert datasets.head_of(studio, filled, "gone") == datasets.head_of(studio, None, "") == ""


def test_a_diff_is_told_in_numbers_and_rows() -> None:
    none = (np.empty(0, np.int64), np.empty(0, np.int64))
    counts = {"added": 1200, "removed": 0, "relabeled": 3, "edited": 0, "moved": 1, "same": 5}
    found = Diff("a", "b", counts, {EVIL: 2, "": 1}, {("train", "test"): 1}, {"added": none})
    said = read(views.diff_html(found))
    assert "1,200" in said and f"{EVIL} 2" in said and "somebody unknown here 1" in said and "train to test 1" in said
    row = DiffRow("relabeled", EVIL, EVIL, "<b>", "<i>", "train", "test", EVIL, "me", WHEN)
    html = views.diff_rows_html([row], "relabeled", 1)
    assert "<b> → <i>" in read(html) and "before: me" in read(html) and "train → test" in read(html)
    longer = DiffRow("edited", "e", "p", "one two " * 30, "one three " * 30, None, "train", None, None, None)
    assert "<ins>three</ins>" in views.diff_rows_html([longer], "edited", 1)
    assert "no page 7" in read(views.diff_rows_html([], "moved", 7))


def test_the_menus_choose_the_snapshot_in_hand_and_the_one_before(studio: Studio, filled: str) -> None:
    freeze(studio.db, studio.workspace, filled, seed=1)
    newest, oldest = (one.id for one in snapshots(studio, filled))
    for current in (newest, oldest, "gone"):
        assert [menu.value for menu in datasets_diff.menus(studio, filled, current)] == [oldest, newest]
    assert [menu.value for menu in datasets_diff.menus(studio, None, "")] == [None, None]


def test_a_lineage_is_a_picture_and_a_table_of_text(studio: Studio, filled: str) -> None:
    example = list_pairs(studio.db, filled)[0].example_id
    annotate(studio.db, example, EVIL, "submit", EVIL * 3)
    freeze(studio.db, studio.workspace, filled)
    html = lineage_html(of_example(studio.db, example))
    said = read(html)
    assert EVIL in said and "Snapshot v2" in said and len(tags(html, "svg")) == 2
    assert len(tags(html, "path")) == 2 * len(of_example(studio.db, example).edges)
    assert "Lineage of this row" in read(datasets.story_html(studio, example))
    made = snapshots(studio, filled)[0].id
    assert "29 answers" in read(datasets.lineage_of(studio, filled, made))
    assert "Nothing to trace" in read(datasets.lineage_of(studio, filled, ""))


def test_a_picture_of_many_things_shows_the_first_and_the_one_asked_for() -> None:
    many = tuple(Node(str(n), "annotation", f"answer {n}") for n in range(30))
    html = lineage_html(Lineage("annotation", "29", many, (("0", "1"), ("1", "29"))))
    assert len(tags(html, "rect")) == MOST and "18 more things in the table only" in read(html)
    assert [tag["class"] for tag in tags(html, "rect")].count("own") == 1
    assert len(tags(html, "tr")) == 31


def test_the_learning_curve_of_a_snapshot_is_told_or_offered() -> None:
    assert "How many more labels are worth it?" in read(views.curve_html([]))
    told = SimpleNamespace(foretold=SimpleNamespace(sentence="About 90 more <b>labels</b>."))
    html = views.curve_html([SimpleNamespace(foretold=SimpleNamespace(sentence="")), told])  # type: ignore[list-item]
    assert "About 90 more <b>labels</b>." in read(html) and "<b>" not in html
