"""How a training process ends: every way out becomes one plain sentence, a `done` event and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from filelock import FileLock, Timeout

from studio.errors import DiskFull, StudioError
from studio.models.disk import is_disk_full
from studio.training.report import Report
from studio.training.stop import Stop, Stopped

_LOCK = ".training.lock"


def run_to_end(run_dir: Path) -> int:
    """Run the recipe of `run_dir` to one of its ends. Returns the exit code: 0 done or stopped, 1 failed."""
    stop = Stop()
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
    try:
        report.state("starting", "starting", pid=os.getpid())
        # Imported only now: torch takes seconds, in which a stop must already count.
        from studio.training.recipe import train

        results = train(run_dir, report, stop)
        stop.ignore()
        report.done("done", **results)
        return 0
    except Stopped as stopped:
        stop.ignore()
        report.done("stopped", step=stopped.step, resumable=stopped.step > 0)
        return 0
    except Exception as error:
        stop.ignore()
        # The whole story goes to log.txt; the screen gets one sentence.
        traceback.print_exc(file=sys.stderr)
        _fail(report, error)
        return 1
    finally:
        report.close()


def _fail(report: Report, error: Exception) -> None:
    if is_disk_full(error) and not isinstance(error, StudioError):
        error = DiskFull("The disk is full, so training ended; earlier checkpoints are kept: free space and resume.")
    sentence = str(error) if isinstance(error, StudioError) else _surprise(error)
    try:
        report.error(sentence, type(error).__name__)
        report.done("failed", message=sentence)
    except OSError:
        print(sentence, file=sys.stderr)


def _surprise(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    detail = f": {lines[0][:200]}" if lines else ""
    return f"Training ended on an unexpected {type(error).__name__}{detail} (the log has the details)."
