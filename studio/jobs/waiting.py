"""The mark of a sweep or learning curve that waits in the queue: a file in its folder, for those without the database.

The database is the truth (storage.queued); the mark follows it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

WAITING_FILE = "waiting.json"
HELD = ("paused", "cancelled")
"""What the mark says of a job that does not wait for its turn either."""


def mark_waiting(folder: Path, why: str) -> None:
    """Say in a folder why its job waits; where that cannot be written it is not said."""
    whole = folder / f"{WAITING_FILE}.tmp"
    with suppress(OSError):
        whole.write_text(json.dumps({"why": why}), encoding="utf-8")
        whole.replace(folder / WAITING_FILE)


def unmark_waiting(folder: Path) -> None:
    """It waits no more."""
    with suppress(OSError):
        (folder / WAITING_FILE).unlink(missing_ok=True)


def why_waiting(folder: Path) -> str | None:
    """Why the job of a folder waits; None where it does not."""
    try:
        return str(json.loads((folder / WAITING_FILE).read_text(encoding="utf-8"))["why"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
