"""How a training process ends: every way out becomes one plain sentence, a `done` event and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from studio.errors import DiskFull, JobFailed, StudioError
from studio.models.disk import is_disk_full
from studio.training.helpers import is_helper, obituaries
from studio.training.report import Report
from studio.training.stop import Stop, Stopped

_LOCK = ".training.lock"
_RESERVE = ".reserve"
_RESERVE_BYTES = 65_536
"""Kept on the disk while a run works, and given up at its end, so that a full disk has room for the last events."""


def run_to_end(run_dir: Path) -> int:
    """Run the recipe of `run_dir` to one of its ends. Returns the exit code: 0 done or stopped, 1 failed."""
    stop = Stop()
    if not is_helper():
        stop.listen()
    rank = int(os.environ.get("RANK", "0"))
    lock = FileLock(str(run_dir / f"{_LOCK}.{rank}" if rank else run_dir / _LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is training in {run_dir}; stop it first.", file=sys.stderr)
        return 1
    try:
        return _run(run_dir, stop, rank)
    except OSError as error:
        print(f"The run's folder {run_dir} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1
    finally:
        lock.release()


def _run(run_dir: Path, stop: Stop, rank: int) -> int:
    report = Report(run_dir, stop, silent=rank > 0)
    reserve = run_dir / f"{_RESERVE}.{rank}"
    try:
        report.state("starting", "starting", pid=os.getpid())
        _keep_room(reserve)
        # Imported only now: torch takes seconds, in which a stop must already count.
        from studio.training.recipe import train

        results = train(run_dir, report, stop)
        stop.ignore()
        _give_room(reserve)
        report.done("done", **results)
        return 0
    except Stopped as stopped:
        stop.ignore()
        _give_room(reserve)
        report.done("stopped", step=stopped.step, resumable=stopped.step > 0, **stop.results)
        return 0
    except Exception as error:
        stop.ignore()
        _give_room(reserve)
        # The whole story goes to log.txt, if that can still be written; the screen gets one sentence.
        with suppress(OSError):
            traceback.print_exc(file=sys.stderr)
        _fail(report, error, stop.results)
        return 1
    finally:
        report.close()


def _keep_room(reserve: Path) -> None:
    with suppress(OSError):  # on a disk that full, the run itself says so
        reserve.write_bytes(os.urandom(_RESERVE_BYTES))  # random, as some file systems store zeros in no space


def _give_room(reserve: Path) -> None:
    with suppress(OSError):
        reserve.unlink(missing_ok=True)


def _fail(report: Report, error: Exception, results: dict[str, object]) -> None:
    if is_disk_full(error) and not isinstance(error, StudioError):
        error = DiskFull("The disk is full, so training ended; earlier checkpoints are kept: free space and resume.")
    if _is_out_of_memory(error):
        error = JobFailed(
            "The run does not fit into the memory of this device: lower batch_size or max_length, or take a smaller "
            "base model."
        )
    sentence = str(error) if isinstance(error, StudioError) else _obituaries() or _surprise(error)
    try:
        report.error(sentence, type(error).__name__)
        report.done("failed", message=sentence, **results)
    except OSError:
        print(sentence, file=sys.stderr)


def _obituaries() -> str:
    """What is said where another process of the run is the reason: this one only lost its connection."""
    told = obituaries()
    return f"{told}. Training ended with it: resume goes on from the last checkpoint." if told else ""


def _is_out_of_memory(error: Exception) -> bool:
    """True for torch's own class (by name: torch may not have been loaded), and for what the CPU and MPS raise."""
    texts = ("out of memory", "can't allocate memory", "not enough memory")
    told = isinstance(error, RuntimeError) and any(text in str(error).lower() for text in texts)
    return told or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _surprise(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    detail = f": {lines[0][:200]}" if lines else ""
    return f"Training ended on an unexpected {type(error).__name__}{detail} (the log has the details)."
