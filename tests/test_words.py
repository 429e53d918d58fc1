"""The catalogs are whole: every text that the studio says is in each language, with the same names to fill in."""

from __future__ import annotations

import ast
import re

import pytest

from studio.language import catalog_of
from tests.words import OTHERS, Said, collected, names_in, python_texts, script_texts


@pytest.fixture(scope="module")
def said() -> list[Said]:
    """Every text of the sources and of the built page."""
    return collected()


def forms(string: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """The forms of a translation, one where it has no plural."""
    return (string,) if isinstance(string, str) else tuple(string)


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_and_nothing_else_is_kept(said: list[Said], language: str) -> None:
    catalog = {one.id if isinstance(one.id, str) else one.id[0]: one.string for one in catalog_of(language) if one.id}
    texts = {one.text for one in said}
    advice = "bring the catalogs up to date: python -m tests.words, then translate what --missing prints"
    assert texts - set(catalog) == set() and set(catalog) - texts == set(), advice
    assert [text for text, string in catalog.items() if not all(forms(string))] == [], advice


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_fills_in_the_same_names_in_the_same_formats(language: str) -> None:
    for one in (message for message in catalog_of(language) if message.id):
        asked = [one.id] if isinstance(one.id, str) else list(one.id)
        for text in forms(one.string):
            assert names_in(text) <= set().union(*map(names_in, asked)), one.id
            # A name may be left out of the form for one, as English does.
            assert names_in(asked[-1]) <= names_in(forms(one.string)[-1]), one.id
            assert formats(text) <= set().union(*map(formats, asked)), one.id


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_brings_no_markup_that_its_text_has_not(language: str) -> None:
    for one in (message for message in catalog_of(language) if message.id):
        asked = one.id if isinstance(one.id, str) else "".join(one.id)
        for text in forms(one.string):
            assert all(sign in asked for sign in "<>" if sign in text), one.id


def formats(text: str) -> set[str]:
    """The {names} of a text with their formats."""
    return set(re.findall(r"\{\w+(?::[^{}]*)?\}", text))


def test_texts_are_found_in_python_and_in_scripts() -> None:
    module = (
        'tr("A {x:,}", x=1)\ntrn("one", "many", 2)\nx = mark("kept")\nraise BadInput("Fixed.")\ntr(name)\nother("no")'
    )
    assert [(one.text, one.many) for one in python_texts(ast.parse(module), "a.py")] == [
        ("A {x:,}", ""),
        ("one", "many"),
        ("kept", ""),
        ("Fixed.", ""),
    ]
    script = "tr('It\\'s', {}) + trn(\"{count} row\", \"{count} rows\", n) + attr('no') + tr(`no`)"
    assert [(one.text, one.many) for one in script_texts(script, "a.js")] == [
        ("It's", ""),
        ("{count} row", "{count} rows"),
    ]
    with pytest.raises(SystemExit, match="f-string"):
        list(python_texts(ast.parse('tr(f"{x}")'), "a.py"))
