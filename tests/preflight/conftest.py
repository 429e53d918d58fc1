"""A job's folder with rows in it, and one check run on it here; what any check says is of a form that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from studio.jobs import preflight_said
from studio.preflight.found import Found
from studio.preflight.rows import Rows
from tests.preflight import planted
from tests.said import in_brackets


@pytest.fixture
def make_rows(tmp_path: Path) -> Callable[..., Rows]:
    """Rows of (prompt, answer), (prompt, answer, split) or whole planted rows, in a task."""

    def make(pairs: Sequence[Any], task: str = "instruction") -> Rows:
        rows = [one if isinstance(one, planted.Row) else planted.Row(*one) for one in pairs]
        planted.write(tmp_path, rows, task)
        return Rows(tmp_path, task)

    return make


@pytest.fixture(autouse=True)
def every_sentence_is_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test has a check say can be said in another language."""
    said: list[str] = []
    make = Found.__init__

    def heard(self: Found, *values: Any, **named: Any) -> None:
        make(self, *values, **named)
        said.append(self.text)

    monkeypatch.setattr(Found, "__init__", heard)
    yield
    monkeypatch.setattr(preflight_said, "_tongue", str)  # names of languages are Babel's to translate
    with in_brackets(preflight_said, [*preflight_said._FORMS, *preflight_said._PARTS]):
        for sentence in said:
            found = preflight_said.retold(sentence)
            assert found.startswith("[") and found.endswith("]"), sentence
            assert found.replace("[", "").replace("]", "") == sentence
