"""Served requests and what people said of them: one JSON object a line, written by the server, taken up by the app.

The server appends, the app reads by byte offset, so neither waits for the other. It leaves out where the lines are kept
and for how long.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TRAFFIC_FILE = "traffic.jsonl"


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
