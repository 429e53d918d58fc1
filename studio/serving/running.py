"""One server from its spec to its end: port, model, names, HTTP, and a drain when it is told to stop.

What it leaves out: the process around it (__main__.py).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from studio.contract.events import EventWriter
from studio.contract.serving import ServeSpec, is_own_machine, read_loan
from studio.errors import BadSpec, JobFailed, StudioError
from studio.inference.engine import Engine
from studio.inference.watch import Owner
from studio.models.loading import load_base
from studio.serving.app import House, build_app
from studio.serving.gate import Doors
from studio.serving.keys import KeyRing
from studio.serving.log import TrafficLog
from studio.serving.metrics import Metrics
from studio.serving.names import NameTable
from studio.serving.resident import Resident
from studio.serving.scheduler import OwnScheduler
from studio.serving.tickets import Delivery, Scheduler
from studio.serving.vllm_scheduler import Vllm, VllmScheduler

_LOOK_SECONDS = 0.25
_CANCEL_SECONDS = 3


def serve(folder: Path, spec: ServeSpec, events: EventWriter, stopped: Callable[[], bool] = lambda: False) -> None:
    """Serve until a signal; `stopped`: whether there was one before. Raises StudioError for what cannot be started."""
    keys = KeyRing(spec.keys)
    if not is_own_machine(spec.host) and not keys.needed:
        raise BadSpec(f"{spec.host} is open to others, so requests need keys: `python -m studio key add NAME` first.")
    with listen(spec) as listener:
        engine, note = _engine(folder, spec, stopped)
        try:
            Server(folder, spec, events, keys, engine, listener, stopped, note).run(sockets=[listener])
        finally:
            if isinstance(engine, Vllm):
                engine.stop()


def _engine(folder: Path, spec: ServeSpec, stopped: Callable[[], bool]) -> tuple[Resident | Vllm, str]:
    """What writes the answers, and what to tell of it."""
    note = ""
    if spec.engine != "studio":
        try:
            return Vllm(folder, spec, stopped), ""
        except StudioError as error:
            if spec.engine == "vllm":
                raise
            note = f"The studio's own engine serves, as vLLM cannot. {error}"
    return Resident(lambda: _loaded(spec)), note


def _loaded(spec: ServeSpec) -> Engine:
    base = load_base(spec.models, spec.base_model, spec.device, spec.dtype)
    return Engine(base, spec.runs, spec.models)


def listen(spec: ServeSpec) -> socket.socket:
    """A socket bound to the spec's host and port. Raises BadSpec."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            spec.host, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
    except OSError:
        raise BadSpec(f"There is no address '{spec.host}' on this machine: use 127.0.0.1.") from None
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        words = f"Port {spec.port} of {spec.host} cannot be used ({error.strerror or error})"
        raise BadSpec(f"{words}: choose another one, or 0 for any free port.") from None
    return listener


class Server(uvicorn.Server):
    """uvicorn that tells when it is ready, takes over changed names, and drains before it ends."""

    def __init__(
        self,
        folder: Path,
        spec: ServeSpec,
        events: EventWriter,
        keys: KeyRing,
        engine: Resident | Vllm,
        listener: socket.socket,
        stopped: Callable[[], bool] = lambda: False,
        note: str = "",
    ) -> None:
        self._spec = spec
        self._events = events
        self._engine = engine
        self._told = _told(engine, spec.lend_after_seconds > 0)
        self._port = int(listener.getsockname()[1])
        self._owner = Owner(spec.owner)
        self._stopped = stopped
        self._lock = threading.Lock()
        self._stop_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._note = note
        self._failed = False
        limits = (spec.batch_rows, spec.queue_limit, self._hand, spec.most_prompt_tokens)
        self._scheduler: Scheduler = (
            VllmScheduler(engine, *limits)
            if isinstance(engine, Vllm)
            else OwnScheduler(engine, *limits, spec.lend_after_seconds)
        )
        self._folder = folder
        self._lent_to = ""
        self._names = NameTable(folder, lambda run: self._scheduler.load(run).result(), self._warn)
        self._doors = Doors()
        doors, scheduler = self._doors, self._scheduler
        figures = Metrics(lambda: scheduler.active, lambda: scheduler.waiting, lambda: doors.busy)
        self._log = TrafficLog(folder, spec.keep_texts, figures.lost.inc)
        known = (self._told["base"], self._told["device"])
        house = House(spec, self._scheduler, self._names, keys, self._log, figures, self._doors, *known)
        super().__init__(
            uvicorn.Config(
                build_app(house), log_level="warning", access_log=False, lifespan="off", server_header=False,
                timeout_graceful_shutdown=_CANCEL_SECONDS, timeout_keep_alive=30, ws="none",
            )
        )  # fmt: skip

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the drain is over. Raises JobFailed where what writes the answers has ended before."""
        try:
            self._names.start()
            threading.Thread(target=self._look, name="names", daemon=True).start()
            super().run(sockets=sockets)
        finally:
            words = self._scheduler.last_words() if self._failed else ""
            self._scheduler.close()
            self._log.close()
        if words:
            raise JobFailed(words)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn; then tell where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self._tell()
        if self._note:
            self._warn(self._note)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Only flags: the first signal begins to drain, the second one ends at once."""
        again = self._stop_at is not None
        self._doors.draining = True
        self._stop_at = time.monotonic() if again else time.monotonic() + self._spec.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn: asked ten times a second whether to end."""
        if self._stop_at is None and not self._scheduler.alive:
            self._failed = True
            return True
        if self._stop_at is None and (self._owner.gone or self._stopped()):
            self.handle_exit(0, None)
        if self._stop_at is not None and (not self._doors.busy or time.monotonic() >= self._stop_at):
            left = self._doors.busy
            self._write(state="stopping", message=f"{left} requests are broken off" if left else "Ending")
            self._scheduler.close(timeout=0)
            return True
        return await super().on_tick(counter)

    def _look(self) -> None:
        while not self._doors.draining:
            time.sleep(_LOOK_SECONDS)
            try:
                if self._names.look() | self._look_at_loan():
                    self._tell()
            except Exception as error:
                # A table that cannot be taken over must not end the looking out for the next one.
                print(f"{type(error).__name__}: {error}", file=sys.stderr)

    def _look_at_loan(self) -> bool:
        """Pass on who wants the memory; whether it went or came back since."""
        self._scheduler.lend(read_loan(self._folder))
        before, self._lent_to = self._lent_to, self._scheduler.lent_to
        return before != self._lent_to

    def _hand(self, items: Sequence[Delivery]) -> None:
        """From the scheduler's thread: what came of a step goes to its requests at once, in their loop."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_deliver, items)
        except RuntimeError:  # the loop has ended, and with it all clients
            for ticket, _ in items:
                ticket.cancel()

    def _tell(self) -> None:
        where = {"host": self._spec.host, "port": self._port}
        words = f"Serving on {self._spec.host}:{self._port}"
        names = self._names.names
        self._write(state="ready", message=words, names=names, lent_to=self._lent_to, **where, **self._told)

    def _warn(self, words: str) -> None:
        with self._lock:
            self._events.write("warning", message=words)

    def _write(self, **data: object) -> None:
        with self._lock:
            self._events.write("state", **data)


def _told(engine: Resident | Vllm, lends: bool) -> dict[str, Any]:
    """What does not change while the server lives. `bytes`: what can be lent."""
    if isinstance(engine, Vllm):
        base = engine.base
        return {
            "engine": "vllm", "base": base.name, "base_hash": base.weights_hash, "device": str(base.device), "bytes": 0
        }  # fmt: skip
    known = {"base": engine.base, "base_hash": engine.base_hash, "device": engine.device}
    return {"engine": "studio", "bytes": engine.bytes if lends else 0, **known}


def _deliver(items: Sequence[Delivery]) -> None:
    for ticket, item in items:
        ticket.take(ticket, item)
