"""The frame of a job's process: its event file, a low priority, SIGTERM as an exception, and a last word in any case.

What it leaves out: checkpoints and exit by a second signal (studio.training has its own frame), and engines that serve.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from types import FrameType

from studio.contract.events import EventWriter
from studio.errors import StudioError

Work = Callable[[Path, EventWriter], None]


class Stopped(BaseException):
    """SIGTERM came; a BaseException so that no library on the way swallows it."""


def run_job(module: str, argv: list[str], nice: int, work: Work) -> int:
    """Do the `work` of the one folder in `argv` and write how it ended: `done`, `stopped` or `failed` with the reason.

    `nice`: by how much the process gives way to others. Returns the exit code: 0 done or stopped, 1 failed, 2 called
    wrongly.
    """
    if len(argv) != 1:
        print(f"usage: python -m {module} JOB_DIR", file=sys.stderr)
        return 2
    folder = Path(argv[0])
    signal.signal(signal.SIGTERM, _stop)
    try:
        events = EventWriter(folder)
    except OSError as error:
        print(f"Cannot write to {folder}: {error.strerror or error}.", file=sys.stderr)
        return 2
    try:
        os.nice(nice)
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads spin and starve the others
        work(folder, events)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        events.write("done", state="done")
        return 0
    except Stopped:
        events.write("done", state="stopped")
        return 0
    except StudioError as error:
        _fail(events, str(error), type(error).__name__)
    except Exception as error:
        # The last door of the process: the traceback goes to its log, one sentence to the screen.
        traceback.print_exc()
        full = getattr(error, "errno", None) == ENOSPC
        _fail(events, "The disk is full: make room." if full else "Its log (log.txt) says why.", type(error).__name__)
    finally:
        events.close()
    return 1


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _fail(events: EventWriter, message: str, kind: str) -> None:
    events.write("error", message=message, kind=kind)
    events.write("done", state="failed")
