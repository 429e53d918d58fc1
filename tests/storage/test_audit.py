"""The audit log: appended with the act, found by text, person, action and time, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.audit import audit_choices, each_audit_line, record, record_in, search_audit
from storage.database import Database
from storage.projects import create_project


@pytest.fixture
def log(db: Database) -> Database:
    """Twelve lines by two people."""
    for number in range(12):
        record(db, "ann" if number % 3 else "bob", "label rename" if number % 2 else "import", "", f"line {number}")
    return db


def subjects(lines: object) -> list[str]:
    return [line.subject for line in lines]  # type: ignore[attr-defined]


def test_the_newest_comes_first_and_pages_join_without_a_gap(log: Database) -> None:
    pages, before = [], None
    while found := search_audit(log, limit=5, before=before):
        pages.append(subjects(found))
        before = found[-1].number
        record(log, "ann", "import", subject="while somebody reads")
    assert [len(page) for page in pages] == [5, 5, 2]
    assert [one for page in pages for one in page] == [f"line {number}" for number in reversed(range(12))]


def test_filters_hold_together(log: Database) -> None:
    assert subjects(search_audit(log, user="bob", action="import")) == ["line 6", "line 0"]
    assert subjects(search_audit(log, text="LINE 11")) == ["line 11"]
    assert search_audit(log, user="eve") == [] and len(search_audit(log, text="  ")) == 12


def test_a_line_is_found_by_its_project_and_by_its_details(db: Database) -> None:
    project = create_project(db, "Über-Support")
    record(db, "ann", "label rename", project.id, "old", to="Neu & schön", count=3)
    (line,) = search_audit(db, text="über-sup")
    assert line.project == "Über-Support" and line.details == {"to": "Neu & schön", "count": 3}
    assert search_audit(db, text="neu & SCHÖN") == [line]


def test_times_are_bounds_from_and_before(log: Database) -> None:
    lines = search_audit(log)
    middle = lines[5].at
    assert search_audit(log, since=middle) == lines[:6] and search_audit(log, until=middle) == lines[6:]
    assert search_audit(log, since=datetime.now(UTC) + timedelta(days=1)) == []


@pytest.mark.parametrize("text", ["'; DROP TABLE audit; --", "%", "_", "' OR 1=1 --", "\\"])
def test_what_is_searched_for_is_text(log: Database, text: str) -> None:
    assert search_audit(log, text=text) == search_audit(log, user=text) == search_audit(log, action=text) == []
    record(log, "ann", "import", subject=text)
    assert subjects(search_audit(log, text=text)) == [text]


def test_a_page_has_a_limit_and_all_is_read_in_pages(log: Database) -> None:
    with log.write() as cursor:
        for number in range(700):
            record_in(cursor, "ann", "import", subject=str(number))
    assert len(search_audit(log, limit=10**9)) == 500 and len(search_audit(log, limit=-1)) == 1
    assert len({line.number for line in each_audit_line(log)}) == 712


def test_a_line_is_gone_with_the_act_that_failed(log: Database) -> None:
    with pytest.raises(RuntimeError), log.write() as cursor:
        record_in(cursor, "ann", "import", subject="never happened")
        raise RuntimeError
    assert search_audit(log, text="never happened") == []


def test_what_can_be_chosen_is_what_there_is(log: Database) -> None:
    record(log, "", "log in failed")
    assert audit_choices(log) == (["ann", "bob"], ["import", "label rename", "log in failed"])
