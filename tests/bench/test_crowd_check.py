"""The check of a crowd's work can fail: each kind of broken promise, made by hand, is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.bench.crowd import Log, Seen
from tests.bench.crowd_check import Verdict, check

LONG = 1000.0


def desk(user: str, at: float, *examples: str, until: float = LONG) -> Seen:
    """The desk is opened and lends examples."""
    return Seen(user, "desk", "", at, at + 0.1, 200, tuple((example, until) for example in examples))


def submit(user: str, at: float, example: str, status: int = 200) -> Seen:
    """An answer, after which nothing is held."""
    return Seen(user, "submit", example, at, at + 0.1, status, (), f"{user} says")


def leave(user: str, at: float) -> Seen:
    """The page is closed."""
    return Seen(user, "leave", "", at, at + 0.1, 200)


def verdict(tmp_path: Path, seen: Sequence[Seen], rows: Sequence[tuple[str, str]], overlap: int = 1) -> Verdict:
    """What the check says of these requests and these (example, annotator) rows."""
    file = tmp_path / "a.duckdb"
    with duckdb.connect(str(file)) as database:
        database.execute(
            "CREATE TABLE annotations (id INTEGER, example_id VARCHAR, annotator VARCHAR, action VARCHAR, "
            "response VARCHAR, undoes INTEGER, project_id VARCHAR)"
        )
        for number, (example, annotator) in enumerate(rows):
            said = f"{annotator} says"
            database.execute(
                "INSERT INTO annotations VALUES (?, ?, ?, 'submit', ?, NULL, 'p')", [number, example, annotator, said]
            )
    return check(Log(list(seen)), file, "p", overlap)


GOOD = [desk("ada", 0, "e1"), desk("bob", 0.5, "e2"), submit("ada", 1, "e1"), submit("bob", 1, "e2")]
ROWS = [("e1", "ada"), ("e2", "bob")]


def test_work_in_good_order_is_clean(tmp_path: Path) -> None:
    found = verdict(tmp_path, GOOD, ROWS)
    assert (found.clean, found.acknowledged, found.lent, found.late) == (True, 2, 2, 0)


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ("lost", ROWS[:1]),
        ("repeated", [*ROWS, ROWS[0]]),
        ("unknown", [*ROWS, ("e3", "eve")]),
        ("crowded", [*ROWS, ("e1", "bob")]),
    ],
)
def test_a_database_that_differs_from_what_was_told_is_found(
    tmp_path: Path, field: str, rows: list[tuple[str, str]]
) -> None:
    found = verdict(tmp_path, GOOD, rows)
    assert getattr(found, field) == 1 and not found.clean


def test_two_at_one_example_are_a_double_lease_beyond_the_overlap(tmp_path: Path) -> None:
    both = [desk("ada", 0, "e1"), desk("bob", 1, "e1"), leave("ada", 2), leave("bob", 2)]
    assert verdict(tmp_path, both, []).double_leases == 1
    (tmp_path / "a.duckdb").unlink()
    assert verdict(tmp_path, both, [], overlap=2).clean


def test_an_answered_example_lent_again_is_a_double_lease(tmp_path: Path) -> None:
    again = [desk("ada", 0, "e1"), submit("ada", 1, "e1"), desk("bob", 5, "e1")]
    assert verdict(tmp_path, again, ROWS[:1]).double_leases == 1


def test_a_lease_given_back_or_run_out_is_free_for_another(tmp_path: Path) -> None:
    left = [desk("ada", 0, "e1"), leave("ada", 1), desk("bob", 2, "e1", until=3), desk("cleo", 4, "e1")]
    assert verdict(tmp_path, left, []).clean


def test_an_answer_after_the_lease_is_late_and_excuses_one_too_many(tmp_path: Path) -> None:
    late = [desk("ada", 0, "e1", until=1), desk("bob", 2, "e1"), submit("bob", 3, "e1"), submit("ada", 4, "e1")]
    found = verdict(tmp_path, late, [("e1", "ada"), ("e1", "bob")])
    assert (found.clean, found.late) == (True, 1)


def test_a_refused_act_is_not_clean(tmp_path: Path) -> None:
    refused = [*GOOD, replace(submit("bob", 2, "e1", 500), message="broken")]
    assert verdict(tmp_path, refused, ROWS).refused == 1
