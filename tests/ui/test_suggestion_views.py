"""The panel's pieces: rates in a table and a plot, with hostile names as text."""

from __future__ import annotations

from datetime import date

from storage.suggestions import SourceRate
from studio.ui.components.rate_lines import rate_lines
from studio.ui.suggestions import rates_html

DAYS = [date(2026, 11, day) for day in (1, 2, 4)]


def test_rates_of_all_days_in_one_row() -> None:
    found = [SourceRate("run:a", DAYS[0], 6, 2, 2, 10.0), SourceRate("run:a", DAYS[1], 9, 1, 0, 40.0)]
    html = rates_html(found, {"run:a": "Run 3"})
    cells = [piece.split("<")[0] for piece in html.split("</thead>")[1].split('">')[1:7]]
    assert cells == ["Run 3", "75%", "20", "3", "2", "20"]


def test_a_plot_has_at_most_four_lines_labelled_at_their_ends() -> None:
    lines = [(f"Run {n}", [(day, n / 10) for day in DAYS]) for n in range(6)]
    html = rate_lines(lines, "Share")
    assert html.count("<polyline") == 4
    assert [f"Run {n} {n}0%" in html or n == 0 for n in range(6)] == [True] * 4 + [False] * 2


def test_names_are_text() -> None:
    assert "<script>" not in rate_lines([("<script>", [(DAYS[0], 1.0)])], "Share")
    assert "<script>" not in rates_html([SourceRate("<script>", DAYS[0], 1, 0, 0, None)], {})


def test_nothing_decided_says_so() -> None:
    assert "Nobody has decided" in rates_html([], {})
    assert rate_lines([], "Share") == ""
