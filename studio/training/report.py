"""What a training process tells the studio: the event file with one method an event, and a limit on how often."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from studio.contract.events import EventKind, EventWriter, RunState
from studio.errors import JobFailed
from studio.training.stop import Stop

STEP_EVENTS_PER_SECOND = 10.0
MANY_STEP_EVENTS = 300
"""After so many, one a second: a curve is drawn by then, and a run of days must not write gigabytes."""


class Listener(Protocol):
    """Who else wants to know of a run's events."""

    def __call__(self, kind: str, data: Mapping[str, object]) -> None: ...

    def close(self) -> None: ...


class Report:
    """Writes the run's events. `silent` is for the helpers of a multi-GPU run, of which only the first reports.

    Its methods raise OSError when the disk is full; a step is left out when the last one written was less than 0.1 s
    ago (a second, once there are many), and raises JobFailed when the folder has gone (its process would otherwise
    work on for nobody).
    """

    def __init__(self, run_dir: Path, stop: Stop, silent: bool = False) -> None:
        self._writer = None if silent else EventWriter(run_dir)
        self._stop = stop
        self._last_step = float("-inf")
        self._step_events = 0
        self._listener: Listener | None = None

    def listen(self, listener: Listener) -> None:
        """Hand each event that is written from here on to `listener` too, and close it with this report."""
        self._listener = listener

    def state(self, state: RunState, message: str, **data: object) -> None:
        """What the job is doing now; `message` is for people."""
        self._write("state", state=state, message=message, **data)

    def step(self, last: bool, **data: object) -> None:
        """One optimiser step; the last one of a run is never left out."""
        now = time.monotonic()
        pause = 1 / STEP_EVENTS_PER_SECOND if self._step_events < MANY_STEP_EVENTS else 1.0
        if last or now - self._last_step >= pause:
            self._last_step = now
            self._step_events += 1
            if self._writer and not self._writer.path.exists():
                raise JobFailed("The run's folder was removed, so training ended.")
            self._write("step", **data)

    def metric(self, name: str, value: float, step: int) -> None:
        """A number of the run, such as validation_loss (nats a token)."""
        self._write("metric", name=name, value=value, step=step)

    def sample(self, index: int, prompt: str, reference: str, base: str, tuned: str) -> None:
        """A held-out prompt with its reference answer and what base and tuned model say."""
        self._write("sample", index=index, prompt=prompt, reference=reference, base=base, tuned=tuned)

    def warning(self, message: str, **data: object) -> None:
        """Something the user should know, though the run goes on."""
        self._write("warning", message=message, **data)

    def error(self, message: str, kind: str) -> None:
        """Why the run ends, in one plain sentence."""
        self._write("error", message=message, kind=kind)

    def done(self, state: RunState, **results: object) -> None:
        """The last line of a run that ended itself."""
        self._write("done", state=state, **results)

    def close(self) -> None:
        """Flush to the disk and close."""
        listener, self._listener = self._listener, None
        if listener:
            listener.close()
        if self._writer:
            self._writer.close()

    def _write(self, event: EventKind, /, **data: object) -> None:
        if self._writer:
            with self._stop.shielded():
                self._writer.write(event, **data)
                if self._listener:
                    self._listener(event, data)
