"""A frozen snapshot, a model folder that is only a header, and the fake trainer in the real one's place."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.database import Database
from storage.records import Project, Run, Snapshot
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.jobs import runs
from studio.jobs.processes import ask_to_stop, is_alive, reap
from studio.settings import Workspace


@dataclass(frozen=True)
class Room:
    """What a test of runs needs; `mode` chooses what the fake trainer does."""

    db: Database
    workspace: Workspace
    snapshot: Snapshot
    model: Path
    mode: Callable[[str], None]

    def start(self, mode: str = "quick", **settings: object) -> Run:
        """Start a run of the fake trainer."""
        self.mode(mode)
        return runs.start_run(self.db, self.workspace, self.snapshot.id, str(self.model), settings)

    def folder(self, run: Run) -> Path:
        """The run's folder."""
        return self.workspace.runs / run.id

    def ended(self, run: Run) -> Run:
        """The run once its process is gone and all it said is taken up."""
        wait_until(lambda: not is_alive(self.folder(run)))
        runs.sync_runs(self.db, self.workspace)
        return runs.get_run(self.db, run.id)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something to come true; fail when it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def make_snapshot(db: Database, workspace: Workspace, project: Project, folder: Path, rows: int = 40) -> Snapshot:
    """Import `rows` pairs and freeze them."""
    lines = [{"prompt": f"Where is order {n}?", "response": f"On its way, number {n}."} for n in range(rows)]
    file = folder / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    import_file(db, project.id, file)
    return freeze(db, workspace, project.id).snapshot


def write_header(file: Path, shapes: dict[str, list[int]], missing_bytes: int = 0) -> None:
    """A safetensors file of float32 zeros (sparse on disk), cut short by `missing_bytes`."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end - missing_bytes)


def make_model_folder(folder: Path) -> Path:
    """A folder that passes for a model of 10,000 weights as long as nobody loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 1000}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_header(folder / "model.safetensors", {"a": [100, 50], "b": [5000]})
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder."""
    return make_model_folder(tmp_path / "model")


@pytest.fixture
def snapshot(db: Database, workspace: Workspace, project: Project, tmp_path: Path) -> Snapshot:
    """Forty pairs, frozen."""
    return make_snapshot(db, workspace, project, tmp_path)


@pytest.fixture
def room(
    db: Database, workspace: Workspace, snapshot: Snapshot, model: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    """Runs with the fake trainer; whatever still lives afterwards is killed."""
    monkeypatch.setattr(runs, "TRAINING_MODULE", "tests.jobs.fake_training")
    yield Room(db, workspace, snapshot, model, lambda mode: monkeypatch.setenv("FAKE_TRAINING", mode))
    end_all(workspace.runs)


def end_all(folder: Path) -> None:
    """Kill every process that lives in a folder under this one, and wait until it is gone."""
    for run_dir in folder.glob("*") if folder.is_dir() else ():
        ask_to_stop(run_dir, hard=True)
        wait_until(lambda run_dir=run_dir: not is_alive(run_dir))
        reap(run_dir)
