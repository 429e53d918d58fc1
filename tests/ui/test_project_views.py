"""The project form and the label editor, from data to updates and HTML."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.projects import TASKS, create_project
from storage.records import Label, Settings
from studio.context import Studio
from studio.errors import BadInput
from studio.labeling.setup import ProjectForm
from studio.ui.labels import arranged, chips_html, label_updates
from studio.ui.projects import form_updates
from studio.ui.task_form import to_form, to_updates
from tests.ui.conftest import EVIL, read, tags

NAMES = ["rating_max", "source_language", "target_language", "code_language", "ask_margin", "ask_reason"]
NAMES += ["overlap", "lease_minutes", "order", "review", "gold_rate"]
LABELS = [Label(name, "#0e7f77") for name in ("a", EVIL, "c")]


def test_a_form_goes_through_the_controls_and_comes_back() -> None:
    form = ProjectForm("n", "s", "g", rating_max=7, ask_margin=True, overlap=3, lease_minutes=2.5, gold_rate=0.05)
    values = tuple(update["value"] for update in to_updates(form, NAMES, "rating"))
    assert to_form(("n", "s", "g"), NAMES, values) == form
    empty = to_form(("n", "s", "g"), NAMES, (None,) * len(NAMES))
    assert (empty.source_language, empty.overlap, empty.review) == ("", 0, False)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_shows_its_own_settings_only(task: str) -> None:
    updates = zip(NAMES, to_updates(ProjectForm(), NAMES, task), strict=True)
    shown = {name for name, update in updates if update["visible"]} - {*NAMES[6:]}
    own = {"rating": {NAMES[0]}, "translation": {*NAMES[1:3]}, "code": {NAMES[3]}, "preference": {*NAMES[4:6]}}
    assert shown == own.get(task, set())


def test_the_chips_are_text_with_colour_and_key() -> None:
    said = read(chips_html(LABELS))
    assert EVIL in said and said.startswith("3 labels") and "a1" in said
    assert "background:#0e7f77" in str(tags(chips_html(LABELS), "span")[0]["style"])
    assert "No labels yet" in read(chips_html([]))
    assert "the others are found by typing" in read(chips_html([Label(f"l{n}", "#000000") for n in range(77)]))
    read(chips_html([Label("x", '"><img src=x onerror=alert(1)>')]))


def test_a_label_is_moved_or_coloured() -> None:
    assert [label.name for label in arranged(LABELS, "move", "c", "", 1)] == ["c", "a", EVIL]
    assert [label.name for label in arranged(LABELS, "move", "a", "", 99)] == [EVIL, "c", "a"]
    assert arranged(LABELS, "colour", "a", "rgba(255, 0.4, 300, 1)", 1)[0].colour == "#ff00ff"
    for colour in ("rgb(x)", "rgb("):
        with pytest.raises(BadInput):
            arranged(LABELS, "colour", "a", colour, 1)
    with pytest.raises(BadInput, match="Choose a label"):
        arranged(LABELS, "move", "gone", "", 1)


def test_only_classifications_have_a_label_editor(studio: Studio) -> None:
    plain = create_project(studio.db, "Plain")
    labeled = create_project(studio.db, "C", "classification", settings=replace(Settings(), labels=tuple(LABELS)))
    assert [label_updates(p)[0]["visible"] for p in (None, plain, labeled)] == [False, False, True]


def test_what_was_typed_and_not_saved_is_shown_again(studio: Studio) -> None:
    project = create_project(studio.db, EVIL[:90], guidelines="stored")
    plain = form_updates(project, NAMES)
    typed = form_updates(project, NAMES, ProjectForm("n", "s", "typed"))
    assert (plain[8], typed[8]) == ("stored", "typed") and plain[3] == "" and "not saved" in read(typed[3])
    assert EVIL[:90] in read(plain[2]) and plain[1].version == typed[1].version == ProjectForm.of(project).version
