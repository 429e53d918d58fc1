"""`python -m studio.sweeping SWEEP_DIR`: the process around a sweep, or around a learning curve.

It takes the signals before anything slow is imported, keeps a second sweep out of the folder, and turns every ending
into a `done` event and an exit code: 0 done or stopped, 1 failed, 2 called wrongly.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from studio.contract.curve import is_curve
from studio.contract.events import EventWriter, read_all
from studio.errors import StudioError
from studio.sweeping.stop import Stop

_LOCK = ".sweeping.lock"


def main(argv: list[str]) -> int:
    """Sweep in folder `argv[0]`, or say that it is done already."""
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        print("usage: python -m studio.sweeping SWEEP_DIR", file=sys.stderr)
        return 2
    folder = Path(argv[0]).resolve()
    stop = Stop()
    stop.listen()
    lock = FileLock(str(folder / _LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is sweeping in {folder}; stop it first.", file=sys.stderr)
        return 1
    try:
        return _run(folder, stop)
    except OSError as error:
        print(f"The sweep's folder {folder} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1
    finally:
        lock.release()


def _run(folder: Path, stop: Stop) -> int:
    events = read_all(folder)
    if events and events[-1].kind == "done" and events[-1].data.get("state") == "done":
        print(f"The sweep in {folder} is already done.")
        return 0
    writer = EventWriter(folder)
    try:
        writer.write("state", state="starting", message="Starting", pid=os.getpid())
        results = _work(folder, writer, stop)
        writer.write("done", **{"state": "stopped" if stop.asked else "done", **results})
        return 0
    except Exception as error:
        with suppress(OSError):
            traceback.print_exc(file=sys.stderr)
        sentence = str(error) if isinstance(error, StudioError) else _surprise(error)
        writer.write("error", message=sentence, kind=type(error).__name__)
        writer.write("done", state="failed", message=sentence)
        return 1
    finally:
        writer.close()


def _work(folder: Path, writer: EventWriter, stop: Stop) -> dict[str, object]:
    """What the folder asks for. Imported only now: optuna takes seconds, in which a stop must already count."""
    if is_curve(folder):
        from studio.sweeping.curve import curve

        return curve(folder, writer, stop)
    from studio.sweeping.sweep import sweep

    return sweep(folder, writer, stop)


def _surprise(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == 28:
        return "The disk is full, so the sweep ended; finished trials are kept: free space and resume."
    lines = str(error).strip().splitlines()
    detail = f": {lines[0][:200]}" if lines else ""
    return f"The sweep ended on an unexpected {type(error).__name__}{detail} (the log has the details)."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
