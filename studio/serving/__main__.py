"""`python -m studio.serving SERVE_DIR`: one server of models, until SIGTERM has drained it.

Events: state `loading`, state `ready` (with host, port, names, base, base_hash, device; again at each change of the
names), `warning` for a name that could not be taken over, state `stopping`, and `done`: "stopped", or "failed" with
exit code 1. What it leaves out: keys and names themselves, which others write (studio.jobs.serving).
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from studio.contract.events import EventWriter
from studio.contract.serving import read_serve_spec
from studio.errors import StudioError


class _Stopped(BaseException):
    """SIGTERM came while the model was loaded; a BaseException so that no library on the way swallows it."""


class _Listener:
    """Breaks off what runs at a signal. An exception that is raised within a destructor or a callback of C is lost
    there, so it is remembered too (`heard`)."""

    def __init__(self) -> None:
        self.heard = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler."""
        self.heard = True
        raise _Stopped


def main(argv: list[str]) -> int:
    """Run the server of the folder named in `argv`; the exit code."""
    if len(argv) != 1:
        print("usage: python -m studio.serving SERVE_DIR", file=sys.stderr)
        return 2
    folder = Path(argv[0])
    try:
        events = EventWriter(folder)
    except OSError as error:
        print(f"Cannot write to {folder}: {error.strerror or error}.", file=sys.stderr)
        return 2
    listener = _Listener()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, listener)
    try:
        return _run(folder, events, listener)
    except StudioError as error:
        _fail(events, str(error), type(error).__name__)
    except Exception as error:
        # The last door of the process: the traceback goes to its log, one sentence to the screen.
        traceback.print_exc()
        _fail(events, "The server broke off; its log (log.txt) says where.", type(error).__name__)
    finally:
        events.close()
    return 1


def _run(folder: Path, events: EventWriter, listener: _Listener) -> int:
    spec = read_serve_spec(folder)
    try:
        events.write("state", state="loading", message=f"Loading {spec.base_model}", base=spec.base_model)
        # Threads that wait by spinning starve each other when a training run shares the cores. Read when torch loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from studio.serving.running import serve

        serve(folder, spec, events, lambda: listener.heard)
    except _Stopped:
        pass
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    events.write("done", state="stopped")
    return 0


def _fail(events: EventWriter, message: str, kind: str) -> None:
    events.write("error", message=message, kind=kind)
    events.write("done", state="failed")


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written and said. Taking torch apart took another 14 seconds on a busy machine (drill_serve).
    os._exit(code)
