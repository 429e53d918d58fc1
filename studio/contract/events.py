"""The events of a job: one JSON object a line, appended only, read by byte offset.

Kinds and the keys of their `data` (times are UTC, sizes bytes, durations seconds):

    state    {"state": RunState, ...}     what the job is doing; `message` is for people; "ready" (engine) adds `port`
    step     {"step", "steps", "epoch", "loss", "learning_rate", "tokens", "tokens_per_second", "eta_seconds",
              "memory_bytes", "grad_norm"}   `tokens` counts non-padding tokens so far
    metric   {"name", "value", "step"}    e.g. validation_loss, base_loss, tuned_loss
    sample   {"index", "prompt", "reference", "base", "tuned"}
    warning  {"message", ...}
    error    {"message", "kind"}          one plain sentence; the traceback is in log.txt
    done     {"state": "done" | "stopped" | "failed", ...results}    always the last line of a job that ended itself
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

EVENTS_FILE = "events.jsonl"
LOG_FILE = "log.txt"

EventKind = Literal["state", "step", "metric", "sample", "warning", "error", "done"]
RunState = Literal[
    "starting", "loading", "training", "evaluating", "sampling", "ready", "stopping", "done", "stopped", "failed"
]

KINDS: frozenset[str] = frozenset(get_args(EventKind))
ACTIVE_STATES: frozenset[str] = frozenset(
    {"starting", "loading", "training", "evaluating", "sampling", "ready", "stopping"}
)
ENDED_STATES: frozenset[str] = frozenset({"done", "stopped", "failed"})


@dataclass(frozen=True)
class Event:
    """One line of events.jsonl. `seq` grows by one from 1 over the whole life of a run folder, resumes included."""

    seq: int
    at: datetime
    kind: EventKind
    data: Mapping[str, object] = field(default_factory=dict)


class EventWriter:
    """Appends events to `run_dir/events.jsonl`; one writer a run folder at a time.

    Opening it on a folder that has events goes on counting and cuts off a half line left by a killed writer.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / EVENTS_FILE
        self._seq = _mend(self.path)
        self._file = self.path.open("ab", buffering=0)

    def write(self, kind: EventKind, /, **data: object) -> Event:
        """Append one event in one write. Raises OSError (disk full) with the file left at whole lines."""
        event = Event(self._seq + 1, datetime.now(UTC), kind, data)
        line = encode(event)
        start = os.fstat(self._file.fileno()).st_size  # tell() still counts what a failed write took back
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError:
            os.ftruncate(self._file.fileno(), start)
            raise
        self._seq = event.seq
        return event

    def close(self) -> None:
        """Flush to the disk and close."""
        os.fsync(self._file.fileno())
        self._file.close()


def tail(run_dir: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Events of the whole lines behind byte `offset`, and the offset to go on from.

    A half line is left for the next call; a damaged line is passed over; a file that was cut before `offset` is read
    anew from its beginning.
    """
    try:
        with (run_dir / EVENTS_FILE).open("rb") as file:
            if os.fstat(file.fileno()).st_size < offset:
                offset = 0
            file.seek(offset)
            chunk = file.read()
    except FileNotFoundError:
        return [], offset
    whole = chunk[: chunk.rfind(b"\n") + 1]
    parsed = (decode(line) for line in whole.splitlines())
    return [event for event in parsed if event is not None], offset + len(whole)


def read_all(run_dir: Path) -> list[Event]:
    """Every event of a run folder."""
    return tail(run_dir, 0)[0]


def newest(run_dir: Path, key: str) -> object | None:
    """The value of `key` in the newest event of a run folder that has it, such as base_hash; None without one."""
    try:
        lines = (run_dir / EVENTS_FILE).read_bytes().splitlines()
    except OSError:
        return None
    mark = json.dumps(key).encode()
    for line in reversed(lines):
        if mark in line and (event := decode(line)) and key in event.data:
            return event.data[key]
    return None


def log_tail(run_dir: Path, lines: int = 20, limit: int = 16_384) -> str:
    """The last `lines` lines of a job's log (at most `limit` bytes), as text."""
    try:
        with (run_dir / LOG_FILE).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - limit))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def encode(event: Event) -> bytes:
    """An event as its line of the file, with the line end."""
    row = {"seq": event.seq, "at": event.at.isoformat(timespec="milliseconds"), "kind": event.kind, "data": event.data}
    return json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"


def decode(line: bytes) -> Event | None:
    """The event of a line; None for one that is damaged."""
    try:
        row = json.loads(line)
        kind = row["kind"]
        if kind not in KINDS or not isinstance(row["data"], dict):
            return None
        return Event(int(row["seq"]), datetime.fromisoformat(row["at"]), kind, row["data"])
    except (ValueError, KeyError, TypeError):
        return None


def _mend(path: Path) -> int:
    """Cut a half last line off and return the last sequence number (0 for a new file)."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    events = [event for line in content[:whole].splitlines() if (event := decode(line))]
    return events[-1].seq if events else 0
