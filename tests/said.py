"""A reader of another language whose texts are the English ones in brackets: shows what of a sentence was known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from studio.jobs import forms
from studio.language import reading


@contextmanager
def in_brackets(module: ModuleType, sentences: Iterable[str]) -> Iterator[None]:
    """Have `module`, which says sentences anew by the forms `sentences`, say them in brackets."""
    known = set(sentences)

    def marked(form: str, /, **values: object) -> str:
        return f"[{form.format(**values)}]" if form in known and (values or "{" not in form) else form

    with pytest.MonkeyPatch.context() as patch:
        for saying in (module, forms):
            patch.setattr(saying, "tr", marked)
        forms._retold.cache_clear()
        reading("de")
        try:
            yield
        finally:
            reading("en")
            forms._retold.cache_clear()
