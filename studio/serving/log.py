"""Served requests and feedback on their way to the disk: a thread writes them, and no request waits for it.

Texts are kept only where the server was told to, and only redacted: personal data and secrets are replaced in this
thread before anything reaches the disk. What it leaves out: who reads the file (studio.deploy).
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from studio.contract.traffic import (
    FILE_BYTES,
    FILE_SECONDS,
    Feedback,
    ServedRequest,
    born,
    next_file,
    traffic_files,
)

Line = ServedRequest | Feedback

_MOST_WAITING = 10_000
_LONGEST = 20_000
"""Characters of a text that are kept; redacting a megabyte would take minutes."""
_GATHER_SECONDS = 0.2
_IDLE_SECONDS = 600.0


class TrafficLog:
    """Appends to the newest traffic file of `folder`, at most one writer a folder; begins another one where that has
    `most_bytes`, or lines and `most_seconds`. `lost()` is called for each line that cannot be kept: too many wait, or
    the disk is full."""

    def __init__(
        self,
        folder: Path,
        keep_texts: bool,
        lost: Callable[[], object] = lambda: None,
        most_bytes: int = FILE_BYTES,
        most_seconds: float = FILE_SECONDS,
    ) -> None:
        self._folder, self._most_bytes, self._most_seconds = folder, most_bytes, most_seconds
        self._keep_texts = keep_texts
        self._lost = lost
        self._queue: queue.Queue[Line | None] = queue.Queue(_MOST_WAITING)
        known = [path for path in traffic_files(folder) if born(path)]
        self._path = known[-1] if known else folder / next_file([], time.time_ns())
        self._file = _opened(self._path)
        self._end_half_line()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Take a line; never waits."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._lost()

    def close(self, timeout: float = 60.0) -> None:
        """Write what is there and end."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _run(self) -> None:
        ended = False
        while not ended:
            try:
                lines = [self._queue.get(timeout=_IDLE_SECONDS)]
            except queue.Empty:
                self._exchange()  # the texts in it should not lie there for ever
                continue
            if lines[0] is not None:
                time.sleep(_GATHER_SECONDS)  # a write for many lines, and none of the request's own processor time
            while not self._queue.empty():
                lines.append(self._queue.get_nowait())
            ended = None in lines
            if fresh := [line for line in lines if line is not None]:
                self._exchange()
                self._write(fresh)
        os.fsync(self._file.fileno())
        self._file.close()

    def _write(self, lines: Sequence[Line]) -> None:
        text = b"".join(self._encoded(line) for line in lines)
        size = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(text) != len(text):
                raise OSError(28, "No space left on device")
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)  # whole lines or none
            print(f"{self._path.name} cannot be written: {error.strerror or error}.", file=sys.stderr)
            for _ in lines:
                self._lost()

    def _encoded(self, line: Line) -> bytes:
        try:
            line = self._shown(line)
        except Exception:
            # A text that cannot be redacted is not kept at all; the log says which code failed.
            traceback.print_exc()
            line = line.model_copy(update={"messages": None} if isinstance(line, ServedRequest) else {"text": ""})
        return line.model_dump_json().encode("utf-8", "replace") + b"\n"

    def _shown(self, line: Line) -> Line:
        if isinstance(line, Feedback):
            return line.model_copy(update={"text": _redacted([line.text])[0]}) if line.text else line
        if not self._keep_texts or not line.messages:
            return line.model_copy(update={"messages": None})
        texts = _redacted([_cut(turn.get("content", "")) for turn in line.messages])
        turns = tuple(turn | {"content": text} for turn, text in zip(line.messages, texts, strict=True))
        return line.model_copy(update={"messages": turns})

    def _exchange(self) -> None:
        """Begin another file where this one is long or old. Nothing is written to this one any more from then on: who
        sees a newer file may take it for whole."""
        size = os.fstat(self._file.fileno()).st_size
        if size < self._most_bytes and (not size or time.time() - born(self._path) < self._most_seconds):
            return
        path = self._folder / next_file([self._path], time.time_ns())
        try:
            fresh = _opened(path)
        except OSError as error:  # it grows for a while, then
            print(f"{path.name} cannot be begun: {error.strerror or error}.", file=sys.stderr)
            return
        self._file.close()
        self._path, self._file = path, fresh

    def _end_half_line(self) -> None:
        """A killed server may have left half a line; what comes next begins on a line of its own."""
        size = os.fstat(self._file.fileno()).st_size
        if size and os.pread(self._file.fileno(), 1, size - 1) != b"\n":
            self._file.write(b"\n")


def _opened(path: Path) -> FileIO:
    return FileIO(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "ab+")


def _redacted(texts: Sequence[str]) -> list[str]:
    from studio.preflight.personal import redacted  # presidio takes a second, and only some servers keep texts

    return redacted(texts)


def _cut(text: str) -> str:
    """The first characters of a long text, up to a space: half an address is not found by any pattern."""
    if len(text) <= _LONGEST:
        return text
    end = text.rfind(" ", 0, _LONGEST)
    return text[: end if end > 0 else 0] + " …"
