"""A workspace of every released schema, made by that version's own code (make_released.py), opened by this one."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from storage.consistency import find_broken
from storage.database import check_integrity, connect, schema_version
from storage.migrating import newest_version
from storage.projects import list_projects
from studio.data.snapshots import verify
from studio.labeling.desk import open_desk
from studio.labeling.queue import Queues
from studio.settings import Workspace

RELEASED = sorted((Path(__file__).parent / "released").glob("schema-*.tar.gz"))


def test_there_is_a_fixture_of_every_released_schema() -> None:
    known = {int(file.name.removeprefix("schema-").removesuffix(".tar.gz")) for file in RELEASED}
    missing = set(range(1, newest_version())) - known  # the newest may still be in the making
    assert not missing, f"make released/schema-N.tar.gz with make_released.py for {sorted(missing)}"


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.name.removesuffix(".tar.gz"))
def test_a_released_workspace_is_updated_whole_after_a_backup(workspace: Workspace, file: Path) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(workspace.root, filter="data")
    expected = json.loads((workspace.root / "expected.json").read_text())
    before = workspace.database.read_bytes()
    db = connect(workspace.database, workspace.backups)
    try:
        assert schema_version(db) == newest_version() and check_integrity(db)["projects"] == 1
        for table, rows in (
            ("examples", db.query("SELECT id, prompt, context, status, annotation_id FROM examples ORDER BY position")),
            (
                "annotations",
                db.query("SELECT id, example_id, annotator, action, response FROM annotations ORDER BY number"),
            ),
            ("drafts", db.query("SELECT example_id, annotator, response FROM drafts")),
            ("snapshots", db.query("SELECT id, train_rows, validation_rows, test_rows FROM snapshots")),
        ):
            assert [list(row) for row in rows] == expected[table], table
        assert find_broken(db.cursor()) == []
        assert sum(verify(workspace, expected["snapshots"][0][0]).values()) == sum(expected["snapshots"][0][1:])
        (project,) = list_projects(db)
        assert open_desk(Queues(db), project.id, "me").card is not None
    finally:
        db.close()
    if expected["schema"] < newest_version():
        (backup,) = workspace.backups.glob("*.duckdb")
        assert backup.read_bytes() == before
