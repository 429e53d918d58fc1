"""Requests in the database: the migration onto an older file, buckets, quantiles, ratings, texts that are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import traffic
from storage.database import Database, check_integrity, connect, schema_version
from storage.projects import find_project
from storage.records import Turn
from storage.serving_records import NewFeedback, NewRequest
from studio.settings import Workspace
from tests.storage.older import make_older

START = datetime(2026, 11, 1, tzinfo=UTC)


def request(number: int, seconds: float, **given: object) -> NewRequest:
    fields: dict[str, object] = {
        **{"id": f"r{number}", "at": START + timedelta(seconds=seconds), "project_id": "p", "model": "m"},
        **{"run_id": "run-1", "key_id": "", "route": "chat", "status": 200, "finish": "stop", "prompt_tokens": 5},
        **{"answer_tokens": 10, "queued_ms": 0.0, "first_ms": 20.0, "total_ms": 1000.0, "confidence": None},
        **{"form_ok": None, "refused": None, "messages": None},
    }
    return NewRequest(**(fields | given))  # type: ignore[arg-type]


def add(db: Database, *requests: NewRequest, offset: int = 1) -> int:
    return traffic.add_traffic(db, "s", offset, requests, [])[0]


def rate(db: Database, request_id: str, rating: int, seconds: float = 100) -> int:
    said = NewFeedback(request_id, START + timedelta(seconds=seconds), rating, "", "")
    return traffic.add_traffic(db, "s", 1, [], [said])[1]


def test_a_workspace_of_the_version_before_is_brought_up(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(workspace, tmp_path, 4, monkeypatch)
    db = connect(workspace.database, workspace.backups)
    assert schema_version(db) >= 5 and find_project(db, "Kept")
    assert add(db, request(1, 0)) == 1 and check_integrity(db)["requests"] == 1
    db.close()


def test_a_request_is_kept_once_whatever_is_read_twice(db: Database) -> None:
    texts = (Turn("user", "a"), Turn("assistant", "b"))
    assert add(db, request(1, 0, messages=texts), request(1, 0, messages=texts), request(2, 1), offset=50) == 2
    assert add(db, request(2, 1), request(3, 2), offset=70) == 1
    assert traffic.read_offset(db, "s") == 70 and traffic.read_offset(db, "other") == 0
    assert db.query("SELECT count(*) FROM request_texts") == [(1,)]


def test_buckets_count_what_is_in_them_and_empty_ones_are_there(db: Database) -> None:
    add(db, request(1, 0), request(2, 59, status=500), request(3, 120, status=404), request(4, 180), request(5, -1))
    found = traffic.buckets(db, "p", START, START + timedelta(seconds=180), 60)
    assert [(one.requests, one.answered, one.errors, one.rejected) for one in found] == [
        (2, 1, 1, 0),
        (0, 0, 0, 0),
        (1, 0, 0, 1),
    ]
    assert found[1].start == START + timedelta(seconds=60) and found[1].p95_ms is None


def test_what_was_refused_is_no_error_and_what_broke_off_is(db: Database) -> None:
    add(db, request(1, 0, status=429, finish="error"), request(2, 1, status=200, finish="error"))
    add(db, request(3, 2, status=499, finish="disconnect"), request(4, 3))
    only = traffic.buckets(db, "p", START, START + timedelta(minutes=1), 60)[0]
    assert (only.requests, only.errors, only.rejected, only.left) == (4, 1, 1, 1)


def test_figures_are_of_answered_requests(db: Database) -> None:
    add(db, *(request(n, n, total_ms=float(n), queued_ms=0.0, answer_tokens=n) for n in range(1, 101)))
    add(db, request(500, 1, status=500, total_ms=9e9, answer_tokens=9))
    only = traffic.buckets(db, "p", START, START + timedelta(minutes=5), 300)[0]
    assert only.p50_ms == pytest.approx(50.5) and only.p95_ms == pytest.approx(95.05)
    assert only.tokens_per_second == pytest.approx(5050 / 5.050) and only.error_rate == pytest.approx(1 / 101)


def test_only_the_newest_rating_of_a_request_counts(db: Database) -> None:
    add(db, request(1, 0), request(2, 1), request(3, 2, project_id="q"))
    assert [rate(db, "r1", 1), rate(db, "r1", -1), rate(db, "r2", 1), rate(db, "r3", 1), rate(db, "gone", -1)] == [
        1
    ] * 5
    assert rate(db, "r2", 1) == 0
    only = traffic.buckets(db, "p", START, START + timedelta(minutes=1), 60)[0]
    assert (only.up, only.down, only.up_share) == (1, 1, 0.5)
    assert traffic.count_thumbs(db, "p", START) == (1, 1)
    rate(db, "r2", 0, 200)
    assert traffic.count_thumbs(db, "p", START) == (0, 1)


def test_refusals_and_forms_are_shares_of_those_that_are_known(db: Database) -> None:
    add(db, request(1, 0, refused=True, form_ok=False), request(2, 1, refused=False, form_ok=True), request(3, 2))
    only = traffic.buckets(db, "p", START, START + timedelta(minutes=1), 60)[0]
    assert (only.requests, only.refusal_rate, only.form_failure_rate) == (3, 0.5, 0.5)


def test_a_run_can_be_looked_at_alone(db: Database) -> None:
    add(db, request(1, 0), request(2, 1, run_id="run-2"))
    assert traffic.buckets(db, "p", START, START + timedelta(minutes=1), 60, "run-2")[0].requests == 1


def test_texts_can_be_forgotten_and_the_counts_stay(db: Database) -> None:
    add(db, *(request(n, n, messages=(Turn("user", f"q{n}"), Turn("assistant", "a"))) for n in range(4)))
    assert traffic.forget_texts(db, "p", START + timedelta(seconds=2)) == 2
    kept = traffic.list_kept(db, "p", START, START + timedelta(minutes=1))
    assert {one.prompt[0].content for one in kept} == {"q2", "q3"} and kept[0].answer == "a"
    assert traffic.buckets(db, "p", START, START + timedelta(minutes=1), 60)[0].requests == 4


def test_what_was_said_in_words_is_listed(db: Database) -> None:
    add(db, request(1, 0), request(2, 1, project_id="q"))
    said = [NewFeedback(f"r{n}", START, -1, text, "") for n, text in ((1, "late"), (1, ""), (2, "other"), (3, "gone"))]
    traffic.add_traffic(db, "s", 2, [], said)
    assert [one.text for one in traffic.list_feedback(db, "p")] == ["late"]


def test_too_many_stretches_are_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="stretches"):
        traffic.buckets(db, "p", START, START + timedelta(days=1), 1)
