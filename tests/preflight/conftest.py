"""A job's folder with rows in it, and one check run on it here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from studio.preflight.rows import Rows
from tests.preflight import planted


@pytest.fixture
def make_rows(tmp_path: Path) -> Callable[..., Rows]:
    """Rows of (prompt, answer), (prompt, answer, split) or whole planted rows, in a task."""

    def make(pairs: Sequence[Any], task: str = "instruction") -> Rows:
        rows = [one if isinstance(one, planted.Row) else planted.Row(*one) for one in pairs]
        planted.write(tmp_path, rows, task)
        return Rows(tmp_path, task)

    return make
