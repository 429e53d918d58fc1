"""A sentence that was kept in English is known again by its form: a text with {names}, as `tr` takes it.

What it leaves out: the forms themselves, and what may stand for their names, which each kind of sentence knows.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

Shape = Callable[[str, str], str]
"""What may stand for a {name:format}, as a regular expression."""

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
