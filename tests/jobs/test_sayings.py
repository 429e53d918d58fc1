"""What jobs have said, as a reader of another language is told it: known by its form, else left as it was kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio import language
from studio.contract.footprint import Footprint
from studio.contract.methods import METHODS
from studio.jobs.sayings import retold
from studio.ui.train_plan import METHOD_WORDS, PARTS

KEPT = "waits for Run 3 of Support on cuda:0"
TEXTS = {
    "waits for {job} on {device}": "wartet auf {job} auf {device}",
    "Run {number} of {project}": "Lauf {number} von {project}",
    "paused: {why}": "pausiert: {why}",
    "It {why}.": "Der Job {why}.",
    "{words}.": "{words}.",
    "Part {number} of {total}: {count} labels": "Teil {number} von {total}: {count} Labels",
    "{figure:,}": "{figure:,}",
    "Starting": "Startet",
}


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader of German, in a catalog of these few texts."""
    monkeypatch.setattr(language, "_texts", lambda code: TEXTS if code == "de" else {})
    language.reading("de")
    yield
    language.reading("en")


def test_in_english_a_sentence_is_as_it_was_kept() -> None:
    assert retold(KEPT) == KEPT and retold("Starting") == "Starting" and retold("") == ""


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (KEPT, "wartet auf Lauf 3 von Support auf cuda:0"),
        (f"{KEPT[:1].upper()}{KEPT[1:]}.", "Wartet auf Lauf 3 von Support auf cuda:0."),
        (f"It {KEPT}.", "Der Job wartet auf Lauf 3 von Support auf cuda:0."),
        ("paused: no hours", "pausiert: no hours"),
        ("Part 1 of 4: 1,200 labels", "Teil 1 von 4: 1.200 Labels"),
        ("Starting", "Startet"),
        ("No form {fits} this.", "No form {fits} this."),
        ("It is nothing that is known.", "It is nothing that is known."),
        ("waits for {job.x} on {device}", "wartet auf {job.x} auf {device}"),
    ],
)
def test_a_sentence_is_known_again_by_its_form(german: None, kept: str, told: str) -> None:
    assert retold(kept) == told


def test_the_words_of_contracts_are_found_by_the_catalogs() -> None:
    words = {word for about in METHODS.values() for word in (about.title, about.purpose, about.cost)}
    assert words == set(METHOD_WORDS)
    assert {name for name, _ in Footprint(1, 1, 1, 1, 1, 1, 1).parts} == set(PARTS)
