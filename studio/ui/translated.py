"""A built page's description in another language: the texts that were given to components while the page was built.

The page is built once, before anybody reads it, so these texts are English in it; nobody's own words are among them.
Texts are found by where they stand: whole in the props of `_WORDS`, and between the tags of those of `_MARKUP`. What
handlers send later is not here: they use studio.language.tr.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any

from studio.language import COOKIE, LANGUAGES, script_texts, texts_of

_WORDS = ("label", "info", "placeholder", "title", "submit_btn", "x_title", "y_title")
_SPOKEN = {"button", "downloadbutton", "uploadbutton", "markdown"}
"""Components whose value is a text of ours when the page is built."""
_MARKUP = ("value", "html_template")
_BETWEEN = re.compile(r"(?<=>)[^<>]+(?=<)|^[^<>]+$|^[^<>]+(?=<)|(?<=>)[^<>]+$")
_ATTRIBUTE = re.compile(r'(?<=\s)(aria-label|title|placeholder|alt)="([^"]*)"')
_LETTER = re.compile(r"[A-Za-z]{2}")

_SCRIPT = Path(__file__).parent / "components" / "words.js"

Change = Callable[[str], str]


def translated(config: dict[str, Any], language: str) -> dict[str, Any]:
    """The same page for a reader of `language`; the same object for English."""
    if language == "en" or language not in LANGUAGES:
        return config
    texts = texts_of(language)

    def change(sentence: str) -> str:
        found = texts.get(sentence)
        return found if isinstance(found, str) else sentence

    parts = [part | {"props": _changed(part["type"], part["props"], change)} for part in config["components"]]
    head = str(config.get("head") or "").replace(_told("en"), _told(language))
    return config | {"components": parts, "head": head}


def words_head() -> str:
    """What the page's scripts say, in English here, and the functions that say it: before every other script."""
    return f"<script>{_told('en')}</script><script>{_SCRIPT.read_text(encoding='utf-8')}</script>"


def _told(language: str) -> str:
    told = {"language": language, "cookie": COOKIE, "texts": script_texts(language)}
    return f"window.studioWords = {json.dumps(told)};".replace("<", "\\u003c")


def page_texts(config: dict[str, Any]) -> Iterator[str]:
    """Every text of a built page that `translated` would look up, for the catalogs."""
    met: dict[str, None] = {}

    def note(sentence: str) -> str:
        met[sentence] = None
        return sentence

    for part in config["components"]:
        _changed(part["type"], part["props"], note)
    return iter(met)


def _changed(kind: str, props: dict[str, Any], change: Change) -> dict[str, Any]:
    new = dict(props)
    for name in _WORDS:
        if isinstance(props.get(name), str):
            new[name] = _whole(props[name], change)
    if kind in _SPOKEN and isinstance(props.get("value"), str):
        new["value"] = _whole(props["value"], change)
    if kind == "html":
        new |= {name: markup(props[name], change) for name in _MARKUP if isinstance(props.get(name), str)}
    if isinstance(props.get("choices"), list):
        new["choices"] = [[_whole(str(shown), change), value] for shown, value in props["choices"]]
    if isinstance(props.get("headers"), list):
        new["headers"] = [_whole(str(head), change) for head in props["headers"]]
    return new


def _whole(sentence: str, change: Change) -> str:
    return change(sentence) if _LETTER.search(sentence) else sentence


def markup(value: str, change: Change) -> str:
    """HTML with each text between its tags, and each attribute that is read out, changed."""

    def between(match: re.Match[str]) -> str:
        said = match[0].strip()
        if not said or "${" in said or not _LETTER.search(said):
            return match[0]
        return match[0].replace(said, escape(change(unescape(said)), quote=False))

    def attribute(match: re.Match[str]) -> str:
        return f'{match[1]}="{escape(_whole(unescape(match[2]), change))}"'

    return _ATTRIBUTE.sub(attribute, _BETWEEN.sub(between, value))
