"""What the Preflight tab shows and does: hostile texts stay text, marks, groups, doings, undo, empty states."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from storage.annotations import annotate
from storage.examples import get_example
from storage.projects import create_project
from storage.records import Project
from studio.context import Studio
from studio.contract.preflight import Finding, Lengths, Report, ShownRow
from studio.data.preflight_rows import write_rows
from studio.data.slices import Slice
from studio.errors import BadInput, NotFound
from studio.jobs import preflighting
from studio.jobs.preflighting import Target, follow_preflight, start_preflight, wait_for_rows
from studio.ui.components.preflight_figures import figure_tables, histogram, shown_rows
from studio.ui.components.preflight_report import Act
from studio.ui.preflight import act, check, shown
from studio.ui.preflight_rows import redacted
from studio.ui.preflight_views import View, brief, verdict
from studio.ui.train_views import slices_html
from tests.labeling.samples import put_examples
from tests.ui.conftest import EVIL, read, tags


def report(*severities: str) -> Report:
    checks = {"error": "leaks", "warning": "imbalance", "note": "languages"}
    found = [Finding(check=checks[one], severity=one, text=EVIL, count=2) for one in severities]  # type: ignore[arg-type]
    return Report(rows=40, splits={"": 40}, model="starter", findings=tuple(found))


def doing(what: str, finding: int = 0, **more: Any) -> Act:
    plain: dict[str, Any] = {"page": 1, "row": "", "number": 0, "ids": (), "field": "", "hash": "", "text": ""}
    return Act(act=what, finding=finding, **{**plain, **more})


@pytest.fixture
def checked(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Studio, Project, list[str]]]:
    """A project of hostile rows with a finished preflight of the stand-in."""
    monkeypatch.setattr(preflighting, "PREFLIGHT_MODULE", "tests.jobs.fake_preflight")
    project = create_project(studio.db, "Support")
    ids = put_examples(studio.db, project.id, [f"{EVIL} mail bob@x.org", "Same", "Same", "He said he would"])
    for key, answer in zip(ids, (f"{EVIL} done", "first answer", "second answer", "word"), strict=True):
        annotate(studio.db, key, "ana", "submit", answer)
    target = Target(project.id)
    start_preflight(
        studio.db, studio.workspace, target, {}, partial(write_rows, studio.db, studio.workspace, project.id, "")
    )
    wait_for_rows(studio.workspace, target)
    follow_preflight(studio.workspace, target)
    yield studio, project, ids


def html(studio: Studio, project: Project, view: View) -> str:
    return str(shown(studio, project.id, "", view)[4])


def test_the_verdict_is_one_sentence() -> None:
    assert verdict(report()) == "Nothing found: these 40 rows are ready to train on."
    assert "1 thing is worth a look" in verdict(report("note"))
    said = "1 thing stands between these 40 rows and a good run: overlap between splits."
    assert verdict(report("error")) == said


def test_the_train_tab_says_what_was_found_in_a_line() -> None:
    said = read(brief(report("error", "note")))
    assert said.startswith("2 findings 1 to mend") and said.count(EVIL) == 2
    assert "found nothing" in read(brief(report()))


def test_pictures_keep_hostile_text_as_text_and_mark_the_context_length() -> None:
    row = ShownRow(example_id="e", why=EVIL, pieces=((EVIL, False), (EVIL, True)), tokens=9, cut=2)
    assert "<script>" not in shown_rows([row]) and shown_rows([row]).count('<mark class="loss">') == 2
    lengths = Lengths(
        limit=100, edges=(0, 64, 128), counts=(3, 1), median=40, p95=90, longest=120, tokens=9, target_tokens=4
    )
    assert "context length 100" in histogram(lengths) and 'class="limit"' in histogram(lengths)
    assert (
        'class="limit"' not in histogram(lengths.model_copy(update={"limit": 1000}))
        and histogram(Lengths(limit=9)) == ""
    )
    bias = {"kind": EVIL, "group": EVIL, "rows": 3, "share": 0.3, "labels": [{"label": EVIL, "low": -1, "high": 1}]}
    tables = figure_tables(
        {"labels": [{"label": EVIL, "rows": 2, "share": 0.01}], "bias": [bias], "languages": "nonsense"}
    )
    assert read(tables).count(EVIL) == 4 and "1.0 %" in tables


def test_a_redaction_is_marked_where_it_stands() -> None:
    assert redacted("to <b> at x", "to [EMAIL_1] at x") == "to <del>&lt;b&gt;</del><ins>[EMAIL_1]</ins> at x"
    assert redacted("other text", "to [EMAIL_1] at x") == "" and redacted("same", "changed") == ""
    assert redacted("x@y.org.", "[EMAIL_1].") == "<del>x@y.org</del><ins>[EMAIL_1]</ins>."
    assert "characters" in redacted("a" * 900 + "b@c", "a" * 900 + "[EMAIL_1]")


def test_an_open_finding_shows_its_rows_with_what_would_be_written(checked: tuple[Studio, Project, list[str]]) -> None:
    studio, project, ids = checked
    closed = html(studio, project, View())
    assert "between these 4 rows and a good run: personal data." in closed and 'class="pf-row' not in closed
    opened = html(studio, project, View(0))
    assert "<del>bob@x.org</del><ins>[EMAIL_1]</ins>" in opened and "<script>" not in opened
    assert [one["data-row"] for one in tags(opened, "input")] == ids[:1]
    assert html(studio, project, View(1)).count('class="pf-group"') == 1


def test_doings_are_undone_from_the_page(checked: tuple[Studio, Project, list[str]], monkeypatch: Any) -> None:
    studio, project, ids = checked
    said: list[str] = []
    monkeypatch.setattr("studio.ui.preflight.say", said.append)
    target = Target(project.id)
    act(studio, target, View(0), doing("redact"))
    assert "Redacted 1 row." in read_words(html(studio, project, View(0))) and "bob@x.org" not in html(
        studio, project, View(0)
    )
    act(studio, target, View(1), doing("drop", 1, ids=(ids[2],)))
    assert [get_example(studio.db, key).status for key in ids[1:3]] == ["labeled", "dropped"]
    number = int(tags(str(shown(studio, project.id, "", View())[5]), "button")[0]["data-number"] or 0)
    act(studio, target, View(), doing("undo", number=number))
    assert get_example(studio.db, ids[2]).status == "labeled"
    assert said == ["Redacted: 1 row.", "Dropped: 1 row.", "Undone: 1 row as before."]


def test_a_row_that_the_finding_does_not_name_is_not_touched(checked: tuple[Studio, Project, list[str]]) -> None:
    studio, project, ids = checked
    with pytest.raises(BadInput, match="no rows"):
        act(studio, Target(project.id), View(0), doing("drop", 0, ids=(ids[3],)))
    with pytest.raises(NotFound):
        act(studio, Target(project.id), View(0), doing("drop", 99))


def test_a_snapshot_of_another_project_is_not_checked(checked: tuple[Studio, Project, list[str]]) -> None:
    studio, project, _ = checked
    with pytest.raises(BadInput, match="another project"):
        check(studio, Target(project.id, "0123456789abcdef"), "starter", 1024)


def test_without_a_project_or_a_check_the_page_says_what_to_do(studio: Studio) -> None:
    assert "No project chosen" in str(shown(studio, None, "", View())[4])
    assert "Nothing checked yet" in str(shown(studio, create_project(studio.db, "New").id, "", View())[4])


def test_slices_of_a_run_stand_base_beside_tuned() -> None:
    said = read(
        slices_html([Slice("", "All held-out rows", 10, 1.0, 0.5, 0.9), Slice("label", EVIL, 5, 2.0, 1.25, 0.6)])
    )
    assert EVIL in said and "1.250" in said and "90 %" in said
    assert slices_html([]) == ""


def read_words(markup: str) -> str:
    """The text of the page, whatever its tags."""
    import re

    return " ".join(re.sub(r"<[^>]+>", " ", markup).split()).replace(" .", ".")
