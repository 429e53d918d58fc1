"""`snapshot NAME`, `snapshot diff`, `snapshot verify` and `lineage`, as functions of their flags."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from storage.annotations import annotate
from storage.database import connect
from storage.examples import list_pairs
from storage.projects import create_project, find_project
from studio.commands import snapshots
from studio.data.importing import import_file
from studio.errors import BadInput, NotFound
from studio.settings import Workspace


@pytest.fixture
def house(tmp_path: Path) -> Workspace:
    """A workspace whose database is closed, with a project named like a command."""
    workspace = Workspace(tmp_path / "workspace")
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "diff")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"input": f"q{n}", "output": f"a{n}"}) + "\n" for n in range(30)))
    import_file(db, project.id, path)
    db.close()
    return workspace


def words(*given: str, **flags: object) -> Namespace:
    plain = {"validation": 0.1, "test": 0.1, "seed": 0, "no_stratify": False, "group_by": "column"}
    return Namespace(words=list(given), **{**plain, **flags})


def freeze(workspace: Workspace, **flags: object) -> dict[str, object]:
    return dict(snapshots.snapshot(workspace, words("diff", **flags)).data)


def relabel(workspace: Workspace) -> str:
    db = connect(workspace.database, workspace.backups)
    pair = list_pairs(db, find_project(db, "diff").id)[0]
    annotate(db, pair.example_id, "ann", "submit", "better")
    db.close()
    return pair.example_id


def test_a_project_is_frozen_with_options_and_told_what_stays(house: Workspace) -> None:
    assert freeze(house, test=0.2)["test"] == 6
    outcome = snapshots.snapshot(house, words("diff", validation=0, test=0, seed=1, group_by="near", no_stratify=True))
    assert outcome.data["test"] == 6 and "keeps all 6 rows" in outcome.message
    with pytest.raises(BadInput, match="no grouping"):
        freeze(house, group_by="moon")


def test_the_diff_of_two_snapshots(house: Workspace) -> None:
    before = str(freeze(house)["snapshot"])
    example = relabel(house)
    after = str(freeze(house)["snapshot"])
    told = snapshots.snapshot(house, words("diff", before[:8], after[:8])).data
    assert (told["relabeled"], told["added"], told["removed"], told["by"]) == (1, 0, 0, {"ann": 1})
    rows = told["rows"]
    assert isinstance(rows, list) and rows[0]["example"] == example
    assert (rows[0]["before"], rows[0]["after"], rows[0]["by"]) == ("a0", "better", "ann") and rows[0]["at"]
    json.dumps(told)


def test_a_damaged_snapshot_is_told_with_exit_code_1(house: Workspace) -> None:
    made = str(freeze(house)["snapshot"])
    sound = snapshots.snapshot(house, words("verify", made[:6]))
    assert (sound.code, sound.data["sound"], sound.data["train"]) == (0, True, 24)
    (house.snapshots / made / "validation.parquet").unlink()
    broken = snapshots.snapshot(house, words("verify", made))
    assert broken.code == 1 and broken.data["sound"] is False and "validation.parquet is missing" in broken.message
    with pytest.raises(NotFound):
        snapshots.snapshot(house, words("verify", "abc"))
    assert snapshots.snapshot(house, words("verify", "0123456789abcdef")).data["sound"] is False


def test_lineage_names_nodes_and_edges(house: Workspace) -> None:
    example = relabel(house)
    made = freeze(house)["snapshot"]
    told = snapshots.lineage(house, Namespace(id=example)).data
    nodes, edges = told["nodes"], told["edges"]
    assert told["kind"] == "example" and isinstance(nodes, list) and isinstance(edges, list)
    assert {node["kind"] for node in nodes} == {"example", "annotator", "guidelines", "annotation", "snapshot"}
    ids = {node["id"] for node in nodes}
    assert all(start in ids and end in ids for start, end in edges) and made in ids
    assert snapshots.lineage(house, Namespace(id=str(made)[:7])).data["kind"] == "snapshot"


def test_other_words_are_told_what_there_is(house: Workspace) -> None:
    for given in (["diff", "a"], ["diff", "a", "b", "c"], ["verify", "a", "b"], ["new", "name"]):
        with pytest.raises(BadInput, match="in quotes"):
            snapshots.snapshot(house, words(*given))
