"""`python -m studio.preflight JOB_DIR`: look through a data set and write a report, as studio.contract.preflight says.

Events: state `loading`, then `evaluating`; `step` as checks go on, at most one a second besides one a check (step and
steps are parts of the whole, `message` names the check); `warning` for a check that failed; `done` with state "done"
or, after SIGTERM, "stopped". What it leaves out: repairing anything, and the database."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from studio.contract.events import EventWriter
from studio.contract.preflight import read_preflight_spec
from studio.errors import StudioError

_NICE = 5


class _Stopped(BaseException):
    """SIGTERM came; a BaseException so that no library on the way swallows it."""


def main(argv: list[str]) -> int:
    """Run the preflight of the folder named in `argv`; the exit code: 0 done or stopped, 1 failed, 2 called wrongly."""
    if len(argv) != 1:
        print("usage: python -m studio.preflight JOB_DIR", file=sys.stderr)
        return 2
    job_dir = Path(argv[0])
    signal.signal(signal.SIGTERM, _stop)
    try:
        events = EventWriter(job_dir)
    except OSError as error:
        print(f"Cannot write to {job_dir}: {error.strerror or error}.", file=sys.stderr)
        return 2
    try:
        _run(job_dir, events)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        events.write("done", state="done")
        return 0
    except _Stopped:
        events.write("done", state="stopped")
        return 0
    except StudioError as error:
        _fail(events, str(error), type(error).__name__)
    except Exception as error:
        # The last door of the process: the traceback goes to its log, one sentence to the screen.
        traceback.print_exc()
        full = getattr(error, "errno", None) == 28
        _fail(events, "The disk is full: make room." if full else "Its log (log.txt) says why.", type(error).__name__)
    finally:
        events.close()
    return 1


def _run(job_dir: Path, events: EventWriter) -> None:
    os.nice(_NICE)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before numpy and torch: waiting threads starve the others
    events.write("state", state="loading", message="Reading the rows")
    from studio.preflight.looking import look

    look(job_dir, read_preflight_spec(job_dir), events)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


def _fail(events: EventWriter, message: str, kind: str) -> None:
    events.write("error", message=message, kind=kind)
    events.write("done", state="failed")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
