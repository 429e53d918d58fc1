"""Team's figures as HTML: hostile names are text, missing figures are not made up."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from studio.labeling.agreement import Agreement, LabelAgreement, PairAgreement
from studio.labeling.dashboard import Dashboard, Line, Person, Share
from studio.labeling.gold import GoldAccuracy
from studio.labeling.label_quality import QualityReport, Suspect
from studio.labeling.reliability import Estimate, too_few
from studio.ui.components.lines import day_lines
from studio.ui.team_views import agreement_html, dashboard_html, quality_html, suspects_html
from tests.ui.conftest import EVIL, read, tags

GOOD = Estimate(0.72, 0.61, 0.81, 40)
NONE = Share(None, 0)


def person(name: str, **changes: object) -> Person:
    plain: dict = {"answers": 12, "median_seconds": 41.0, "agreement": GOOD, "accepted": Share(0.5, 8)}
    return Person(name, **{**plain, "suggestions": NONE, "gold": None, **changes})


def test_hostile_names_and_texts_are_text() -> None:
    board = Dashboard((person(EVIL),), (date(2026, 11, 21),), (Line(EVIL, (3,)),), 0)
    words = read(dashboard_html(board, False))
    assert EVIL in words and "72 % of 40" in words and "41 s" in words
    found = Agreement("alpha", "nominal", GOOD, (LabelAgreement(EVIL, GOOD),), (PairAgreement(EVIL, EVIL, GOOD),), ())
    assert EVIL in read(agreement_html(found))
    report = QualityReport((Suspect(EVIL, EVIL, EVIL, EVIL, EVIL, 0.01),), 1, 90, 90, 0.9, (EVIL,))
    assert EVIL in read(suspects_html(report)) and EVIL in read(quality_html(report))


def test_what_is_missing_is_a_dash_and_never_a_zero() -> None:
    bare = person("ann", median_seconds=None, agreement=too_few(3), accepted=NONE)
    html = dashboard_html(Dashboard((bare,), (), (), 0), False)
    assert [cell["data-sort"] for cell in tags(html, "td")] == ["ann", "12", "", "", "", "", ""]
    gold = person("bob", gold=GoldAccuracy("bob", 4, 0.25))
    assert "25 % of 4" in read(dashboard_html(Dashboard((gold,), (), (), 0), False))


def test_fewer_than_ten_examples_show_no_figure() -> None:
    html = agreement_html(Agreement("alpha", "nominal", too_few(9), (), (), ()))
    assert "fewer than 10" in read(html) and "9 examples" in read(html)
    assert "two annotators" in read(agreement_html(Agreement("alpha", "nominal", too_few(0), (), (), ())))


def test_text_agreement_is_a_chrf() -> None:
    words = read(agreement_html(Agreement("chrf", "", Estimate(54.3, 51.0, 57.9, 300), (), (), (), ("A sample.",))))
    assert "Mean chrF" in words and "54.3 (51.0 to 57.9) on 300 examples" in words and "A sample." in words


def test_an_empty_team_says_what_comes_here() -> None:
    assert "Nobody has answered yet" in read(dashboard_html(Dashboard((), (), (), 0), False))


def test_lines_are_at_most_four_and_end_in_their_names() -> None:
    days = [date(2026, 11, day) for day in (1, 2, 3)]
    svg = day_lines(days, [(f"p{number}", (1, 0, number)) for number in range(6)], "Answers a day")
    assert len(tags(svg, "polyline")) == 4
    ends = [label for label in tags(svg, "text") if (label.get("class") or "").startswith("end")]
    heights = sorted(float(str(label["y"])) for label in ends)
    assert len(ends) == 4 and all(b - a >= 15.9 for a, b in pairwise(heights))
    assert "p3: 4" in str(tags(svg, "svg")[0]["aria-label"])
    assert day_lines([], [], "Answers a day") == ""
