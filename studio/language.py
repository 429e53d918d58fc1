"""The reader's language: what a person reads goes through `tr`, which finds it in languages/LANGUAGE.po.

The sources are English, and an English sentence is its own key, as is gettext's custom. Who reads is set for each
request (`reading`, by the guard) and each event of the page (studio.ui.roles); elsewhere, as on the command line and in
logs, it is English. What it leaves out: texts that people wrote, and what a built page holds (studio.ui.translated).
"""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch", "zh": "中文"}
"""Each language by its code, under its own name."""

COOKIE = "sft_studio_language"
"""Holds the code of the language that somebody has chosen."""

_FOLDER = Path(__file__).with_name("languages")
_READER: ContextVar[str] = ContextVar("reader", default="en")
_POINTS = {"de": str.maketrans(",.", ".,")}
"""How a language writes the separators of figures, where it is not as English does."""


def reading(language: str) -> None:
    """From here on, in this request or event, texts are for a reader of `language`."""
    _READER.set(language if language in LANGUAGES else "en")


def reader() -> str:
    """The language that is read now."""
    return _READER.get()


def asked_language(chosen: str, accepted: str) -> str:
    """The language for a reader who chose `chosen` ("" for nobody did), else the best of an Accept-Language header."""
    if chosen in LANGUAGES:
        return chosen
    wanted = [part.split(";")[0].strip().split("-")[0].lower() for part in accepted[:500].split(",")]
    return next((code for code in wanted if code in LANGUAGES), "en")


def mark(sentence: str) -> str:
    """A text that is translated later, by `tr(name)`: it is found here for the catalogs, and stays as it is."""
    return sentence


def tr(sentence: str, /, **values: object) -> str:
    """A text in the reader's language. `values` fill its {names}, figures with a format in the language's own way.

    The text is a literal, or was one inside `mark`; one that the catalog lacks stays English.
    """
    return _filled(str(_found(sentence) or sentence), values)


def trn(one: str, many: str, count: int, /, **values: object) -> str:
    """As `tr`, in the form that the language has for so many; `count` fills {count} too."""
    forms = _found(one)
    english = one if count == 1 else many
    if not isinstance(forms, tuple):
        return _filled(forms or english, {"count": count, **values})
    # Chinese has one form, German has English's two: a language with more would need babel's rule here.
    return _filled(forms[0 if count == 1 else -1] or english, {"count": count, **values})


def texts_of(language: str) -> Mapping[str, str | tuple[str, ...]]:
    """A language's translations by their English text; of texts with a plural, by the singular, all forms. {} of en."""
    return _texts(language)


def script_texts(language: str) -> Mapping[str, str | tuple[str, ...]]:
    """Of these, what the page's own scripts say."""
    texts = _texts(language)
    return {key: texts[key] for key in _script_keys(language) if key in texts}


def catalog_of(language: str) -> Catalog:
    """A language's whole catalog, as it stands in its file."""
    with (_FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def _found(sentence: str) -> str | tuple[str, ...] | None:
    language = reader()
    return None if language == "en" else _texts(language).get(sentence)


@functools.cache
def _texts(language: str) -> Mapping[str, str | tuple[str, ...]]:
    if language not in LANGUAGES or language == "en":
        return {}
    told = ((_key(one), one.string) for one in catalog_of(language) if one.id)
    return {key: text if isinstance(text, str) else tuple(text) for key, text in told if text}


@functools.cache
def _script_keys(language: str) -> Sequence[str]:
    if language not in LANGUAGES or language == "en":
        return ()
    return [_key(one) for one in catalog_of(language) if any(file.endswith(".js") for file, _ in one.locations)]


def _key(message: Message) -> str:
    return message.id[0] if isinstance(message.id, list | tuple) else message.id


class _Figures(string.Formatter):
    """Fills names as str.format does, without reaching into attributes or items of what is filled in."""

    def get_field(self, field_name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[object, str]:
        return kwargs[field_name], field_name

    def format_field(self, value: object, format_spec: str) -> str:
        filled = str(super().format_field(value, format_spec))
        return filled.translate(_POINTS.get(reader(), {})) if isinstance(value, int | float) and format_spec else filled


_FIGURES = _Figures()


def _filled(sentence: str, values: Mapping[str, object]) -> str:
    return _FIGURES.vformat(sentence, (), values) if values else sentence
