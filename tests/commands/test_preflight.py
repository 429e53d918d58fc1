"""`preflight` on the command line: findings with all their rows, a project or a snapshot, what cannot be found."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

import pytest

from storage.annotations import annotate
from storage.database import Database, connect
from storage.projects import create_project
from studio.cli import as_tables
from studio.commands.preflight import preflight
from studio.data.snapshots import freeze
from studio.errors import NotFound
from studio.jobs import preflighting
from studio.settings import Workspace
from tests.labeling.samples import put_examples


@pytest.fixture
def ids(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(preflighting, "PREFLIGHT_MODULE", "tests.jobs.fake_preflight")
    db: Database = connect(workspace.database, workspace.backups)
    project = create_project(db, "Support")
    made = put_examples(db, project.id, ["Mail bob@x.org", "Hello", "Bye"])
    for key in made:
        annotate(db, key, "ana", "submit", "one")
    monkeypatch.setenv("SNAPSHOT", freeze(db, workspace, project.id, 0.0, 0.0, 0).snapshot.id)
    db.close()
    yield made


def flags(name: str, as_json: bool = True) -> Namespace:
    return Namespace(name=name, model=None, max_length=512, json=as_json)


def test_a_finding_names_all_its_rows_in_json_and_counts_them_in_a_table(workspace: Workspace, ids: list[str]) -> None:
    outcome = preflight(workspace, flags("Support"))
    text = "1 of 3 rows hold e-mail addresses."
    first = {"check": "personal-data", "severity": "error", "rows": ids[:1], "text": text}
    assert outcome.data["findings"][0] == first and outcome.code == 0  # type: ignore[index]
    assert outcome.message == "3 rows checked, 2 findings."
    table = as_tables(preflight(workspace, flags("support", False)).data)
    assert "personal-data" in table and ids[0] not in table


def test_a_snapshot_is_named_by_the_beginning_of_its_id(
    workspace: Workspace, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    found = preflight(workspace, flags(os.environ["SNAPSHOT"][:8])).data["findings"]
    assert [line["check"] for line in found] == ["personal-data", "short-answers"]  # type: ignore[attr-defined]


def test_what_is_neither_is_not_found(workspace: Workspace, ids: list[str]) -> None:
    with pytest.raises(NotFound, match="no snapshot of that id either"):
        preflight(workspace, flags("nothing"))
