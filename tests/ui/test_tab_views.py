"""What the other tabs show: lists, previews and accounts, from data to HTML."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.projects import archive_project, create_project
from studio.context import Studio
from studio.data.importing import ImportReport, import_file
from studio.data.previews import Preview, preview
from studio.data.rows import Rejected
from studio.ui import import_views, label, projects
from studio.ui.app import build_ui, device_line
from tests.ui.conftest import EVIL, read, tags


@pytest.fixture
def filled(studio: Studio, tmp_path: Path) -> str:
    """The id of a project with a hostile name, thirty labeled hostile pairs and one prompt to label."""
    import json

    project = create_project(studio.db, EVIL[:100], "instruction", EVIL, EVIL)
    rows = [{"prompt": f"{n} {EVIL}", "response": f"{n} {EVIL}"} for n in range(30)] + [{"prompt": EVIL}]
    file = tmp_path / "evil<b>.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_file(studio.db, project.id, file)
    return project.id


def test_a_preview_is_text(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text('prompt,"<script>alert(1)</script>"\n<img src=x onerror=alert(1)>,b\n', encoding="utf-8")
    said = read(import_views.preview_html(preview(file)))
    assert "<img src=x onerror=alert(1)>" in said and "<script>alert(1)</script>" in said and "2 columns" in said
    evil = Preview((EVIL,), ((EVIL * 100,),), EVIL, EVIL, (EVIL,), None)
    assert "…" in read(import_views.preview_html(evil))


def test_the_account_names_every_row(studio: Studio) -> None:
    report = ImportReport(5, 3, 1, (Rejected(7, EVIL), Rejected(9, "empty")), 1002, (EVIL,))
    html = import_views.account_html(report)
    said = read(html)
    assert "Imported 5 rows: 3 labeled, 2 to label. 1 exact duplicate skipped, 1,002 rows rejected." in said
    assert f"Line 7: {EVIL}" in said and "… and 1,000 more" in said and said.count(EVIL) == 2
    assert "warn" in str(tags(html, "div")[0]["class"])
    assert "good" in str(tags(import_views.account_html(ImportReport(1, 0, 0, (), 0, ())), "div")[0]["class"])


def test_the_cards_of_projects_are_text_and_mark_the_one_in_hand(studio: Studio, filled: str) -> None:
    other = create_project(studio.db, "Other")
    html = projects.cards_html(studio, filled, False)
    assert EVIL[:100] in read(html) and "30 labeled pairs · 1 to label" in read(html)
    assert {tag["data-id"]: "current" in str(tag["class"]) for tag in tags(html, "button")} == {
        filled: True,
        other.id: False,
    }


def test_archived_projects_are_listed_when_asked_for(studio: Studio) -> None:
    assert "No project yet" in read(projects.cards_html(studio, None, False))
    put_away = create_project(studio.db, "Put away")
    archive_project(studio.db, put_away.id)
    assert "Put away" not in read(projects.cards_html(studio, None, False))
    assert "Put awayarchived" in read(projects.cards_html(studio, None, True))


def test_guidelines_of_a_project_that_is_gone_are_none(studio: Studio, filled: str) -> None:
    shown = label.guidelines_of(studio, filled)
    assert "<img" not in shown and "<script" not in shown and "&lt;img src=x" in shown
    assert label.guidelines_of(studio, "gone") == label.guidelines_of(studio, None) == ""


def test_the_device_line_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.jobs.devices import Device
    from studio.ui import app

    monkeypatch.setattr(app, "list_devices", lambda: [Device("cuda", EVIL, 2**30, 2**30)])
    assert EVIL in read(device_line())


def test_the_page_is_built_and_every_control_has_a_label(studio: Studio) -> None:
    page = build_ui(studio)
    kinds = {"textbox", "dropdown", "number", "slider", "checkbox", "radio", "file"}
    parts = [part["props"] for part in page.get_config_file()["components"] if part["type"] in kinds]
    assert len(parts) > 20
    assert [props for props in parts if not props.get("label") or props.get("show_label") is False] == []
