"""Small pieces of HTML: everything that users or models wrote comes out as text."""

from __future__ import annotations

import pytest

from studio.ui.components.html import bar, chip, count, duration, empty, moment, notice, size, table, text
from tests.ui.conftest import EVIL, WHEN, read, tags


@pytest.mark.parametrize(
    "html",
    [
        text(EVIL),
        empty(EVIL, EVIL),
        notice("good", EVIL, [EVIL, EVIL]),
        notice(EVIL, "x"),
        chip(EVIL, EVIL),
        table([EVIL], [[EVIL], [3]], [0]),
        bar(0.5, EVIL),
    ],
    ids=["text", "empty", "notice", "notice kind", "chip", "table", "bar"],
)
def test_hostile_text_stays_text(html: str) -> None:
    assert EVIL in read(html) or EVIL in str(tags(html, "div")[0].values())


def test_the_reader_of_these_tests_can_fail() -> None:
    for bad in (f"<p>{EVIL}</p>", "<p onclick='x'>a</p>", "<p>open", "</p>"):
        with pytest.raises(AssertionError):
            read(bad)


def test_a_notice_folds_its_details_and_needs_none() -> None:
    assert "Details" in read(notice("warn", "Two rows rejected.", ["Line 3: empty"]))
    assert "Details" not in read(notice("warn", "Two rows rejected."))
    assert tags(notice("bad", "x"), "div")[0]["role"] == "status"


def test_a_table_refuses_a_row_of_another_width() -> None:
    assert "1 2" in " ".join(read(table(["a", "b"], [["1 ", "2"]])).split("ab")[1:])
    with pytest.raises(ValueError, match="zip"):
        table(["a", "b"], [["only one"]])


@pytest.mark.parametrize(("fraction", "shown"), [(-1, "0"), (0, "0"), (0.5, "50"), (1, "100"), (7, "100")])
def test_a_bar_stays_between_its_ends(fraction: float, shown: str) -> None:
    assert tags(bar(fraction, "x"), "div")[0]["aria-valuenow"] == shown


def test_a_moment_is_utc_in_the_markup() -> None:
    assert tags(moment(WHEN), "time")[0]["datetime"] == "2026-11-21T12:00:00+00:00"
    assert read(moment(WHEN)) == "2026-11-21 12:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3599.9, "1 h 0 min"), (7800, "2 h 10 min")],
)
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_sizes_and_counts() -> None:
    assert (size(2**20), size(2**30), size(0)) == ("1 MB", "1.0 GB", "0 MB")
    assert (count(1, "row"), count(2000, "row"), count(2, "box", "boxes")) == ("1 row", "2,000 rows", "2 boxes")
