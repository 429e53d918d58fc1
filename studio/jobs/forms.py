"""A sentence that was kept in English is known again by its form: a text with {names}, as `tr` takes it.

What it leaves out: the forms themselves, and what may stand for their names, which each kind of sentence knows.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence

from studio.language import reader, tr

Shape = Callable[[str, str], str]
"""What may stand for a {name:format}, as a regular expression."""
Value = Callable[[str, str, str], object]
"""What fills a form's name anew, by form, name and what stood there."""

_LONGEST = 1_000
"""Characters of a sentence that `retell` takes apart."""

_NAME = re.compile(r"\{(\w+)(?::([^}]*))?\}")


@functools.cache
def formats_of(form: str) -> Mapping[str, str]:
    """The names of a form with their formats, '' where they have none."""
    return dict(_NAME.findall(form))


@functools.cache
def pattern_of(form: str, shape: Shape) -> re.Pattern[str]:
    """What a sentence of this form looks like, with a group for each name."""
    pattern, at = "", 0
    for name in _NAME.finditer(form):
        pattern += f"{re.escape(form[at : name.start()])}(?P<{name[1]}>{shape(name[1], name[2] or '')})"
        at = name.end()
    return re.compile(pattern + re.escape(form[at:]), re.DOTALL)


def anew(sentence: str, forms: Sequence[str], shape: Shape, value: Value) -> str:
    """A sentence in the reader's language by the first form that it has; '' where it has none."""
    for form in forms:
        if found := pattern_of(form, shape).fullmatch(sentence):
            return tr(form, **{name: value(form, name, said) for name, said in found.groupdict().items()})
    return ""


def retell(sentence: str, forms: Sequence[str], shape: Shape, value: Value) -> str:
    """The same of what may also be a text that a catalog has as it stands; one of no known form stays as it is."""
    return sentence if reader() == "en" else _retold(sentence, reader(), forms, shape, value)


@functools.lru_cache(maxsize=4096)
def _retold(sentence: str, language: str, forms: Sequence[str], shape: Shape, value: Value) -> str:
    known = tr(sentence)
    if known != sentence or len(sentence) > _LONGEST:
        return known
    return anew(sentence, forms, shape, value) or sentence
