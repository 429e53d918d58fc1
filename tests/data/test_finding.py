"""What is done with found examples, and the whole story of one: who, what changed, where it went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from storage.annotations import annotate, save_draft
from storage.audit import search_audit
from storage.database import Database, now
from storage.projects import create_project, update_settings
from storage.records import Project, Settings, User
from storage.runs import create_run
from storage.snapshots import MEMBERS, memberships, record_members, record_snapshot
from studio.data.finding import PAGE_ROWS, Filter, choices, find, matching_ids, put_back, set_priority
from studio.data.history import read_history
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.data.transfers import export_project_for, export_snapshot_for
from studio.errors import BadInput, NotAllowed, NotFound
from studio.settings import Workspace

RITA = User("rita", "reviewer")


@pytest.fixture
def support(db: Database, tmp_path: Path) -> Project:
    """A project with thirty answered and three open examples, imported by Rita."""
    project = create_project(db, "Support", "instruction", "You help.")
    file = tmp_path / "rows.csv"
    rows = [f"question {n},answer {n}" for n in range(30)] + [f"open {n}," for n in range(3)]
    file.write_text("prompt,answer\n" + "\n".join(rows), encoding="utf-8")
    import_file(db, project.id, file, annotator=RITA.name)
    return project


def ids_of(db: Database, project: Project, text: str) -> list[str]:
    return matching_ids(db, project.id, Filter(text=text))


def statuses(db: Database, project: Project) -> dict[str, int]:
    return dict(db.query("SELECT status, count(*) FROM examples WHERE project_id = ? GROUP BY 1", [project.id]))


def test_pages_are_numbered_and_the_last_is_found(db: Database, support: Project) -> None:
    page = find(db, support.id, Filter(), page=9)
    assert (page.number, page.pages, page.total, len(page.rows)) == (2, 2, 33, 33 - PAGE_ROWS)
    assert find(db, support.id, Filter(text="nothing")).pages == 1


def test_an_import_and_exports_are_in_the_log_with_who_did_it(
    db: Database, workspace: Workspace, support: Project, tmp_path: Path
) -> None:
    export_project_for(db, RITA, support.id, tmp_path / "out.csv")
    frozen = freeze(db, workspace, support.id).snapshot.id
    export_snapshot_for(db, workspace, RITA, support.id, frozen, tmp_path / "frozen.jsonl")
    lines = [line for line in search_audit(db) if line.action.startswith("data")]
    assert [(line.user, line.action, line.subject) for line in lines] == [
        ("rita", "data export", frozen),
        ("rita", "data export", "out.csv"),
        ("rita", "data import", "rows.csv"),
    ]
    assert choices(db, support.id).annotators == ("rita",)


def test_put_back_opens_answers_skips_and_flags_and_keeps_them_as_revisions(db: Database, support: Project) -> None:
    before = db.version(support.id)
    chosen = [ids_of(db, support, "question 7")[0], *ids_of(db, support, "open")]
    annotate(db, chosen[1], "ana", "skip")
    annotate(db, chosen[2], "ana", "flag")
    assert put_back(db, RITA, support.id, chosen) == 3
    assert statuses(db, support) == {"labeled": 29, "todo": 4}
    assert db.version(support.id) > before  # the queue reads them anew
    assert [item.act.response for item in read_history(db, chosen[0]).revisions] == ["answer 7"]
    assert read_history(db, chosen[2]).revisions[0].undone


def test_what_is_put_back_can_be_answered_by_anybody_and_then_stands(db: Database, support: Project) -> None:
    chosen = ids_of(db, support, "open 1")
    annotate(db, chosen[0], "ana", "flag")
    put_back(db, RITA, support.id, chosen)
    annotate(db, chosen[0], "ben", "submit", "fine")
    assert find(db, support.id, Filter(text="open 1")).rows[0].response == "fine"


def test_priority_is_set_and_logged_and_only_within_the_project(db: Database, support: Project) -> None:
    chosen = ids_of(db, support, "open")
    other = create_project(db, "Other")
    assert set_priority(db, RITA, other.id, chosen, 3) == 0
    assert set_priority(db, RITA, support.id, chosen[:2], 3) == 2
    assert [row.priority for row in find(db, support.id, Filter(text="open")).rows] == [3, 3, 0]


@pytest.mark.parametrize("priority", [float("nan"), float("inf"), 1e9])
def test_no_annotator_no_empty_choice_and_no_wild_number(db: Database, support: Project, priority: float) -> None:
    chosen = ids_of(db, support, "open")
    with pytest.raises(NotAllowed):
        put_back(db, User("ana", "annotator"), support.id, chosen)
    with pytest.raises(BadInput):
        put_back(db, RITA, support.id, [])
    with pytest.raises(BadInput):
        set_priority(db, RITA, support.id, chosen, priority)


def test_choices_follow_the_task(db: Database) -> None:
    assert choices(db, create_project(db, "P", "preference").id).answers == ("A", "B", "tie")
    rated = create_project(db, "R", "rating")
    update_settings(db, rated.id, Settings(rating_max=3))
    assert choices(db, rated.id).answers == ("1", "2", "3")


def test_a_history_has_revisions_leases_drafts_snapshots_and_runs(db: Database, support: Project) -> None:
    chosen = ids_of(db, support, "question 3")[0]
    annotate(db, chosen, "ana", "submit", "answer 3, longer")
    save_draft(db, chosen, "ben", "a secret")
    with db.write() as cursor:
        for annotator, minutes in (("chloe", 5), ("late", -5)):
            ends = now() + timedelta(minutes=minutes)
            cursor.execute(
                "INSERT INTO leases (example_id, annotator, project_id, expires_at, gold) VALUES (?, ?, ?, ?, false)",
                [chosen, annotator, support.id, ends],
            )
    record_snapshot(db, "0" * 16, support.id, 0, (1, 0, 0))
    for rows in ([("other", "", "test")], [(chosen, "", "train"), ("other", "", "test")]):
        record_members(db, "0" * 16, support.id, pa.table([*zip(*rows, strict=True)], schema=MEMBERS))
    run = create_run(db, "r", support.id, "0" * 16, "starter", {}, 10)
    history = read_history(db, chosen, datetime.now(UTC))
    assert [(item.act.annotator, item.before) for item in history.revisions] == [("rita", None), ("ana", "answer 3")]
    assert [lease.annotator for lease in history.leases] == ["chloe"]
    assert [name for name, _ in history.drafts] == ["ben"] and "a secret" not in repr(history)
    [found] = history.memberships
    assert (found.split, found.runs, found.snapshot.version) == ("train", (run.number,), 1)
    assert memberships(db, "nobody") == []


def test_a_history_of_nothing(db: Database) -> None:
    with pytest.raises(NotFound):
        read_history(db, "nothing")
