"""`python -m studio.inference RUN_DIR`: one engine process, as the process contract wants it.

Events: state `loading`, state `ready` (with port, base, base_hash, device), at the end `done` with `state` "stopped"
and a `reason` ("asked", "idle", "owner gone"), or `error` and `done` "failed" with exit code 1.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from studio.contract.events import EventWriter
from studio.contract.spec import EngineSpec, read_engine_spec
from studio.errors import BadSpec, StudioError
from studio.inference.watch import Owner, start_watch

_GRACE_SECONDS = 3


class _Stopped(BaseException):
    """SIGTERM came; a BaseException so that no library on the way swallows it."""


class _Life:
    """How this process ends: signals and the watch thread both go through here."""

    def __init__(self, spec: EngineSpec) -> None:
        self.reason = "asked"
        self.loading = True
        self.last_used = time.monotonic
        self._owner = Owner(spec.owner)
        self._idle_seconds = spec.idle_seconds

    def why_end(self) -> str | None:
        """A reason to end now, or None."""
        if self._owner.gone:
            return "owner gone"
        if not self.loading and time.monotonic() - self.last_used() > self._idle_seconds:
            return "idle"
        return None

    def end(self, reason: str) -> None:
        """End the way SIGTERM does."""
        self.reason = reason
        signal.raise_signal(signal.SIGTERM)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Before the server runs: leave at once. Behind it: uvicorn repeats the signal it has already obeyed."""
        if self.loading:
            raise _Stopped


def main(argv: list[str]) -> int:
    """Run the engine of the folder named in `argv` until it is stopped; the exit code."""
    if len(argv) != 1:
        print("usage: python -m studio.inference RUN_DIR", file=sys.stderr)
        return 2
    run_dir = Path(argv[0])
    try:
        events = EventWriter(run_dir)
    except OSError as error:
        print(f"Cannot write to {run_dir}: {error.strerror or error}.", file=sys.stderr)
        return 2
    try:
        return _run(run_dir, events)
    except StudioError as error:
        _fail(events, str(error), type(error).__name__)
    except Exception as error:
        # The last door of the process: the traceback goes to its log, one sentence to the screen.
        traceback.print_exc()
        _fail(events, "The engine broke off; its log (log.txt) says where.", type(error).__name__)
    finally:
        events.close()
    return 1


def _run(run_dir: Path, events: EventWriter) -> int:
    spec = read_engine_spec(run_dir)
    life = _Life(spec)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, life.on_signal)
    try:
        events.write("state", state="loading", message=f"Loading {spec.base_model}", base=spec.base_model)
        start_watch(life.why_end, life.end)
        _serve(spec, events, life)
    except _Stopped:
        pass
    events.write("done", state="stopped", reason=life.reason)
    return 0


def _serve(spec: EngineSpec, events: EventWriter, life: _Life) -> None:
    # Threads that wait by spinning starve each other when a training run shares the cores: 100 times slower was seen.
    # Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Heavy imports wait until `loading` is told and signals are answered.
    import uvicorn

    from studio.inference.batcher import Batcher
    from studio.inference.engine import Engine
    from studio.inference.server import Activity, build_app

    listener = _listen(spec.port)
    with listener:
        engine = Engine.load(spec)
        activity = Activity()
        life.last_used = lambda: time.monotonic() if batcher.busy else activity.last
        batcher = Batcher(engine, spec.batch_rows)

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets=sockets)
                activity.touch()
                life.loading = False
                events.write("state", **_ready(engine, listener))

            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                # Only a flag: answers that are being written end now, so that the server need not wait for them.
                batcher.closing = True
                super().handle_exit(sig, frame)

        app = build_app(engine, batcher, spec.token, activity)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=_GRACE_SECONDS
        )
        try:
            Server(config).run(sockets=[listener])
        finally:
            batcher.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise BadSpec(f"Port {port} of 127.0.0.1 is taken: choose another one, or 0 for any free port.") from None
    return listener


def _ready(engine: Any, listener: socket.socket) -> dict[str, object]:
    return {
        "state": "ready",
        "port": int(listener.getsockname()[1]),
        "base": engine.base.name,
        "base_hash": engine.base.weights_hash,
        "device": str(engine.base.device),
    }


def _fail(events: EventWriter, message: str, kind: str) -> None:
    events.write("error", message=message, kind=kind)
    events.write("done", state="failed")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
