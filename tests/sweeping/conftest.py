"""A sweep's folder whose trials are run by the fake trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.contract.events import Event, read_all
from studio.contract.spec import SPEC_FILE
from studio.contract.sweep import parse_over, parse_sweep_spec
from studio.sweeping import trials
from studio.sweeping.__main__ import main

MakeSweep = Callable[..., Path]
RunSweep = Callable[[Path], tuple[int, list[Event]]]


@pytest.fixture
def make_sweep(tmp_path: Path) -> MakeSweep:
    """Makes the folder of a sweep: `over` as on the command line, `base` and other fields of SweepSpec."""

    def make(*over: str, base: dict[str, object] | None = None, name: str = "sweep", **fields: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        whole = {"snapshot": tmp_path, "models": tmp_path, **(base or {})}
        spec = parse_sweep_spec({"base": whole, "over": parse_over(over), **fields})
        (folder / SPEC_FILE).write_text(spec.model_dump_json())
        return folder

    return make


@pytest.fixture
def run_sweep(monkeypatch: pytest.MonkeyPatch) -> RunSweep:
    """Sweeps in this process, the trials in processes of the fake trainer."""
    monkeypatch.setattr(trials, "TRAINING_MODULE", "tests.sweeping.fake_training")
    return lambda folder: (main([str(folder)]), read_all(folder))
