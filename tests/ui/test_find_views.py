"""The list of examples and one example's story: hostile text stays text, filters in force are told and taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.annotations import annotate
from storage.projects import create_project
from studio.context import Studio
from studio.data.finding import Filter, matching_ids
from studio.data.history import read_history
from studio.data.importing import import_file
from studio.data.previews import preview
from studio.errors import BadInput
from studio.ui import find, import_views
from studio.ui.components.words import word_diff
from studio.ui.find_views import field_value, in_force
from studio.ui.history import story_html
from tests.ui.conftest import EVIL, read, tags


@pytest.fixture
def filled(studio: Studio, tmp_path: Path) -> str:
    """The id of a project with a hostile name, thirty labeled hostile pairs and one prompt to label."""
    project = create_project(studio.db, EVIL[:100], "instruction", EVIL, EVIL)
    rows = [{"prompt": f"{n} {EVIL}", "response": f"{n} {EVIL}"} for n in range(30)] + [{"prompt": EVIL}]
    file = tmp_path / "evil<b>.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_file(studio.db, project.id, file)
    return project.id


def asked(**values: Any) -> tuple[Any, ...]:
    """The controls' values as Gradio gives them."""
    given = [values.get(name, field_value(name)) for name in find.FIELDS]
    plain = [list(value) if isinstance(value, tuple) else value for value in given]
    return (*plain, values.get("sort", "imported"))


def listing(studio: Studio, project_id: str | None, page: int = 1, **values: Any) -> str:
    return find.show(studio, project_id, page, asked(**values))[0]


def test_the_listing_shows_a_page_of_text(studio: Studio, filled: str) -> None:
    first, second = listing(studio, filled), listing(studio, filled, 2)
    assert "31 examples" in read(first) and "page 1 of 2" in read(first)
    assert (len(tags(first, "tr")), len(tags(second, "tr"))) == (26, 7)
    assert EVIL in read(second) and "evil<b>.jsonl" in read(second)


def test_a_page_behind_the_last_is_the_last(studio: Studio, filled: str) -> None:
    html, number = find.show(studio, filled, 99, asked())
    assert number == 2 and len(tags(html, "tr")) == 7


def test_the_listing_is_filtered_and_searched_without_a_wildcard(studio: Studio, filled: str) -> None:
    assert len(tags(listing(studio, filled, statuses=["todo"]), "tr")) == 2
    assert len(tags(listing(studio, filled, text="29 '"), "tr")) == 2
    for nothing in ("%", "_" * 5, "'; DROP TABLE examples; --"):
        assert "Nothing here" in read(listing(studio, filled, text=nothing))


def test_filters_in_force_are_chips_that_can_be_taken_away(studio: Studio, filled: str) -> None:
    html = listing(studio, filled, text=EVIL, annotators=["me", EVIL], since="2026-01-01", answer_min="3")
    chips = [tag["data-clear"] for tag in tags(html, "button") if "data-clear" in tag]
    assert chips == ["text", "annotators", "since", "answer_min", "all"]
    assert EVIL in read(html)
    assert set(in_force(Filter())) == set()


def test_what_cannot_be_meant_is_told_in_a_sentence(studio: Studio, filled: str) -> None:
    assert "written like" in read(listing(studio, filled, since="yesterday"))
    assert "after the last" in read(listing(studio, filled, since="2026-02-02", until="2026-02-01"))
    assert "longer than the longest" in read(listing(studio, filled, prompt_min="5", prompt_max="4"))
    assert "like 80" in read(listing(studio, filled, answer_max="long"))
    assert "no vector" in read(listing(studio, filled, similar_to="x"))


def test_without_a_project_or_examples_the_listing_says_what_to_do(studio: Studio) -> None:
    assert "Projects tab" in read(listing(studio, None))
    new = create_project(studio.db, "New")
    assert "Import a file" in read(listing(studio, new.id))


def test_chosen_rows_are_put_back_and_get_a_priority(studio: Studio, filled: str) -> None:
    ids = matching_ids(studio.db, filled, Filter(statuses=("labeled",)))[:2]
    assert find.act(studio, filled, {"what": "back", "ids": ids}) == "2 examples put back into the queue."
    assert set(ids) <= set(matching_ids(studio.db, filled, Filter(statuses=("todo",))))
    assert find.act(studio, filled, {"what": "priority", "ids": ids, "priority": "2.5"}).startswith(
        "Priority 2.5 for 2"
    )
    assert "priority 2.5" in read(listing(studio, filled))
    for wrong in ({"ids": ids, "priority": "high"}, {"ids": [], "priority": "1"}, {"ids": ids, "priority": "nan"}):
        with pytest.raises(BadInput):
            find.act(studio, filled, {"what": "priority", **wrong})


def test_a_story_is_text_with_what_changed(studio: Studio, filled: str) -> None:
    example_id = matching_ids(studio.db, filled, Filter(text="7 '"))[0]
    annotate(studio.db, example_id, EVIL, "submit", "7 another <b>answer</b>")
    html = story_html(read_history(studio.db, example_id))
    said = read(html)
    assert (EVIL in said and "7 another <b>answer</b>" in said.replace(EVIL, "")) or "another" in said
    assert tags(html, "ins") and tags(html, "del") and "In none yet" in said


def test_a_diff_marks_words_and_escapes() -> None:
    html = word_diff("the <old> cat sat", "the new cat sat <i>")
    assert "<old>" not in html and "<i>" not in html
    assert read(html).startswith("the ") and "<ins>new</ins>" in html
    long = word_diff("a " * 3000 + "x", "a " * 3000 + "y")
    assert long.endswith("<del>x</del><ins>y</ins>")
    assert word_diff("same", "same") == "same"


def test_the_mapping_has_the_menus_of_the_task(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("prompt,chosen,rejected\nq,x,y\n", encoding="utf-8")
    shown = [menu.visible for menu in import_views.menus_for(preview(file, task="preference"), "preference")]
    assert shown == [True] * 7 + [False] + [True] * 2
    plain = import_views.menus_for(preview(file), "rating")
    assert [menu.label for menu in plain if menu.visible] == [
        "Input column", "Rating column", "Context column", "Group column", "Priority column",
    ]  # fmt: skip
    named = import_views.columns_of(("prompt", "chosen", "rejected", *["(none)"] * 7))
    assert named.named == {"input": "prompt", "a": "chosen", "b": "rejected"}
