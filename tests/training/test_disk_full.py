"""A full disk in the middle of a run: one sentence, exit 1, and what was saved before stays usable.

The limit on file size (RLIMIT_FSIZE) stands in for the disk: writes beyond it fail as they do on a full one.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

from studio.contract.events import EventWriter, read_all
from studio.models.disk import is_disk_full
from studio.models.hashes import adapter_hash

LIMITED = """
import resource, sys
from pathlib import Path
from studio.training import checkpoints, recipe, trainer
from studio.training.ending import run_to_end

when, limit = sys.argv[2], int(sys.argv[3])
def tighten(): resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
if when == "second checkpoint":
    publish = checkpoints.publish
    checkpoints.publish = lambda *given: (publish(*given), tighten())[0]
if when == "adapter":
    save = recipe.save
    recipe.save = lambda *given: (tighten(), save(*given))[1]
sys.exit(run_to_end(Path(sys.argv[1])))
"""


def limited(run, when, limit):
    given = [sys.executable, "-c", LIMITED, str(run), when, str(limit)]
    return subprocess.run(given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit", [15_000, 30_000], ids=["adapter weights", "optimizer state"])
def test_a_disk_full_at_a_checkpoint_keeps_the_one_before(place, train, limit):
    whole, run = place.run("whole"), place.run("run")
    train(whole)
    ended = limited(run, "second checkpoint", limit)
    events = read_all(run)
    assert ended.returncode == 1 and "The disk is full" in next(e for e in events if e.kind == "error").data["message"]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-4"]
    code, events = train(run)
    assert code == 0 and adapter_hash(run / "adapter") == adapter_hash(whole / "adapter")


def test_a_disk_full_at_the_adapter_leaves_none_and_the_run_can_be_finished(place, train):
    run = place.run()
    ended = limited(run, "adapter", 15_000)
    assert ended.returncode == 1 and not (run / "adapter").exists() and not (run / ".adapter.tmp").exists()
    assert read_all(run)[-1].data["state"] == "failed"
    assert train(run)[0] == 0 and (run / "adapter").is_dir()


def test_a_full_disk_has_room_for_the_sentence(place, train, monkeypatch, small_disk):
    from studio.training.callbacks import Progress

    run, before = shutil.copytree(place.run(checkpoints=0), small_disk / "run"), Progress.on_log

    def fill(self, args, state, control, **kwargs):
        if state.global_step == 5:
            with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
            # The rest of the page that the events end in would still take a line or two.
            with pytest.raises(OSError, match="No space"), (run / "events.jsonl").open("ab", buffering=0) as file:
                while file.write(b"\n"):
                    pass
        before(self, args, state, control, **kwargs)

    monkeypatch.setattr(Progress, "on_log", fill)
    code, events = train(run)
    assert code == 1 and "The disk is full" in next(e for e in events if e.kind == "error").data["message"]
    assert events[-1].kind == "done" and not list(run.glob(".reserve*"))


def test_events_that_cannot_be_written_become_a_sentence_on_stderr(place, train, monkeypatch, capsys):
    write = EventWriter.write

    def full(self, kind, /, **data):
        if kind in ("step", "error", "done"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, kind, **data)

    monkeypatch.setattr(EventWriter, "write", full)
    run = place.run()
    code, events = train(run)
    assert code == 1 and events[-1].kind in ("state", "metric")
    assert "The disk is full" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:815] . PytorchStreamWriter failed writing file data/1"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_every_library_s_way_of_saying_it_is_understood(error):
    assert is_disk_full(error) and not is_disk_full(ValueError("a wrong value"))
