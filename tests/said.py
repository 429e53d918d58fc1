"""A reader of another language whose texts are the English ones in brackets: shows what of a sentence was known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from studio.language import reading


@contextmanager
def in_brackets(module: ModuleType, forms: Iterable[str]) -> Iterator[None]:
    """Have `module`, which says sentences anew by `forms`, say them in brackets."""
    known = set(forms)

    def marked(form: str, /, **values: object) -> str:
        return f"[{form.format(**values)}]" if form in known and (values or "{" not in form) else form

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "tr", marked)
        module._retold.cache_clear()
        reading("de")
        try:
            yield
        finally:
            reading("en")
            module._retold.cache_clear()
