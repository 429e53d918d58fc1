"""Served requests and what people said of them: one JSON object a line, written by the server, taken up by the app.

The server appends, the app reads by byte offset, so neither waits for the other. A file is left for a new one when it
is long or a day old; its name never changes and is never used again, so that an offset into it can mean no other file.
The app deletes those that it has read to their end. It leaves out where the lines are kept then, and for how long.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TRAFFIC_FILE = "traffic.jsonl"
"""The one file of servers before files were exchanged; read, but no longer written."""

FILE_BYTES = 16 << 20
FILE_SECONDS = 24 * 3600.0
"""From when on a file is left for a new one."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServedRequest(_Line):
    """One request that was answered, refused or given up. Times are milliseconds from its arrival."""

    kind: Literal["request"] = "request"
    id: str
    at: datetime
    model: str
    """The name that was asked for."""
    run_id: str = ""
    """The run that answered; "" for the base model, and where nothing did."""
    key_id: str = ""
    """The API key's id, never the key; "" without keys."""
    route: Literal["chat", "completion"] = "chat"
    status: int
    """HTTP status; 499 where the client left first."""
    finish: str = ""
    """stop, length, disconnect, timeout or error."""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    queued_ms: float = 0.0
    first_ms: float | None = None
    total_ms: float = 0.0
    confidence: float | None = None
    """Mean probability of the answer's tokens (the exponential of their mean log-probability), 0–1."""
    form_ok: bool | None = None
    """Whether the answer has the form that was asked for (response_format); None where none was."""
    messages: tuple[dict[str, str], ...] | None = None
    """Prompt and answer with personal data redacted; None unless keeping texts was asked for."""


class Feedback(_Line):
    """What a client said of one answer."""

    kind: Literal["feedback"] = "feedback"
    request_id: str = Field(min_length=1, max_length=100)
    at: datetime
    rating: Literal[-1, 0, 1]
    """Thumb down, none, thumb up."""
    text: str = Field(default="", max_length=4000)
    key_id: str = ""


def traffic_files(folder: Path) -> list[Path]:
    """The files of a server's folder, oldest first; only the last one may still be written to."""
    return [*folder.glob(TRAFFIC_FILE), *sorted(folder.glob("traffic-*.jsonl"))]


def next_file(known: Sequence[Path], now_ns: int) -> str:
    """The name of a new file behind those that are there, also where the clock was set back (`now_ns`: since 1970)."""
    last = max((_born(path) for path in known), default=0)
    return f"traffic-{max(now_ns, last + 1):020d}.jsonl"


def born(path: Path) -> float:
    """When a file was begun, in seconds since 1970; 0 for one whose name does not tell."""
    return _born(path) / 1e9


def _born(path: Path) -> int:
    number = path.stem.removeprefix("traffic-")
    return int(number) if number.isdecimal() and len(number) == 20 else 0
