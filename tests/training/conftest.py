"""A tiny model and snapshot for the whole session, and a run of the recipe inside the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.contract.events import Event, read_all
from studio.training.ending import run_to_end
from tests import tiny


@dataclass(frozen=True)
class Place:
    """Where a test trains: `run(name, **spec fields)` makes a run folder."""

    root: Path
    base: Path
    snapshot: Path

    def run(self, name: str = "run", **fields: Any) -> Path:
        """A run folder on the tiny model, ready to train."""
        snapshot = fields.pop("snapshot", self.snapshot)
        base = fields.pop("base_model", self.base)
        return tiny.make_run(self.root / name, snapshot, self.root / "models", base, **fields)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with a ChatML tokenizer."""
    return tiny.make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def place(tmp_path: Path, tiny_base: Path) -> Place:
    """A snapshot of 40 + 6 + 6 pairs beside the tiny model."""
    splits = (tiny.pairs(40), tiny.pairs(6, 100), tiny.pairs(6, 200))
    return Place(tmp_path, tiny_base, tiny.make_snapshot(tmp_path / "snapshot", *splits, system="Be brief."))


@pytest.fixture
def train() -> Callable[[Path], tuple[int, list[Event]]]:
    """Runs a run folder to its end here; gives exit code and events."""
    return lambda run_dir: (run_to_end(run_dir), read_all(run_dir))
