"""What the server wrote of its requests, taken up into the database: by byte offset, in pieces, each line once.

A server leaves its file for a new one now and then; one that is left and read to its end is deleted here.

How far a file was read is kept in the same transaction as its lines, so that an app killed in between neither loses nor
doubles one. A half line waits for its rest; a line that is none is counted and passed over. Feedback on a request that
is not there is kept too, since it may have overtaken it, and counts for nothing until the request comes. What it leaves
out: redacting texts (the server does that before it writes them), and what the figures mean (studio.deploy.monitoring).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from storage.database import Database
from storage.projects import list_projects
from storage.records import Turn
from storage.runs import list_runs
from storage.serving_records import NewFeedback, NewRequest
from storage.traffic import add_traffic, forget_file, read_offset
from studio.contract.refusals import refuses
from studio.contract.traffic import TRAFFIC_FILE, Feedback, ServedRequest, traffic_files
from studio.settings import Workspace

PRODUCTION = "@production"
"""What stands behind a project's name in the name of its model in production."""

_CHUNK = 1 << 20
_LONGEST_LINE = 64 << 20
_LONGEST_ID = 100
_MOST = 2**62
_ROLES = ("system", "user", "assistant", "tool")
_LINE: TypeAdapter[ServedRequest | Feedback] = TypeAdapter(
    Annotated[ServedRequest | Feedback, Field(discriminator="kind")]
)


@dataclass(frozen=True)
class TakenUp:
    """What was new: requests, feedback, and lines that could not be read."""

    requests: int = 0
    feedback: int = 0
    broken: int = 0

    def __add__(self, other: TakenUp) -> TakenUp:
        return TakenUp(self.requests + other.requests, self.feedback + other.feedback, self.broken + other.broken)


def take_up_all(db: Database, workspace: Workspace, most_chunks: int = 16) -> TakenUp:
    """Take up what every server of a workspace wrote since the last look; at most `most_chunks` megabytes of each, so
    that a look ends soon. Nothing new costs a look at the files' sizes. Raises DiskFull."""
    found = TakenUp()
    for folder in sorted({file.parent for file in (workspace.root / "serving").glob("*/traffic*.jsonl")}):
        found += take_up(db, folder, most_chunks=most_chunks)
    return found


def take_up(db: Database, folder: Path, project_id: str = "", most_chunks: int | None = None) -> TakenUp:
    """Take up the new lines of one server's folder; `project_id`: whose requests those to the base model are.

    A file begins anew where it is shorter than what was read of it; lines read twice count once. Raises DiskFull.
    """
    owners = _Owners(db, project_id)
    found, left = TakenUp(), math.inf if most_chunks is None else most_chunks
    # Listed before any size is asked: a file that has a newer one beside it grows no more.
    files = traffic_files(folder)
    for file in files:
        new, chunks, ended = _take_up(db, file, file is not files[-1], owners, left)
        found, left = found + new, left - chunks
        if not ended:
            break  # what is newer comes after it
    return found


def _take_up(db: Database, file: Path, is_left: bool, owners: _Owners, most_chunks: float) -> tuple[TakenUp, int, bool]:
    """What is new in a file, how many pieces that were, and whether it was read to its end. One that `is_left` is
    deleted then."""
    name = file.parent.name if file.name == TRAFFIC_FILE else f"{file.parent.name}/{file.name}"
    try:
        size = file.stat().st_size
    except OSError:
        return TakenUp(), 0, True
    offset, found, count = read_offset(db, name), TakenUp(), 0
    offset = offset if offset <= size else 0
    if offset < size:
        for lines, end in _chunks(file, offset, is_left):
            if count >= most_chunks:
                return found, count, False
            found += _keep(db, name, lines, end, owners)
            offset, count = end, count + 1
    if is_left and offset >= size:
        # In this order: killed in between, the name in the database stands for nothing; a file would be read again.
        file.unlink(missing_ok=True)
        forget_file(db, name)
    return found, count, True


class _Owners:
    """Whose a request is: the project of the run that answered, else the one that its name names."""

    def __init__(self, db: Database, otherwise: str) -> None:
        self._db, self._otherwise = db, otherwise
        self._runs: dict[str, str] = {}
        self._names: Mapping[str, str] = {
            f"{project.name}{PRODUCTION}".lower(): project.id for project in list_projects(db, archived=True)
        }

    def of(self, request: ServedRequest) -> str:
        if request.run_id:
            if request.run_id not in self._runs:
                self._runs = {run.id: run.project_id for run in list_runs(self._db)}
            self._runs.setdefault(request.run_id, self._otherwise)
            return self._runs[request.run_id]
        return self._names.get(request.model.lower(), self._otherwise)


def _chunks(file: Path, offset: int, is_left: bool = False) -> Iterator[tuple[list[bytes], int]]:
    """Whole lines, about a megabyte at a time, each time with the byte behind them; where a file `is_left`, also the
    half line at its end."""
    with file.open("rb") as stream:
        while True:
            stream.seek(offset)
            size = _CHUNK
            data = stream.read(size)
            while b"\n" not in data and len(data) == size and size < _LONGEST_LINE:
                size *= 2
                data += stream.read(size - len(data))
            whole = data.rfind(b"\n") + 1
            if not whole and len(data) >= _LONGEST_LINE:
                whole = len(data)  # no line of ours: passed over piece by piece
            if not whole and is_left:
                whole = len(data)
            if not whole:
                return
            offset += whole
            yield data[:whole].split(b"\n"), offset


def _keep(db: Database, name: str, lines: list[bytes], end: int, owners: _Owners) -> TakenUp:
    requests: list[NewRequest] = []
    feedback: list[NewFeedback] = []
    broken = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            said = _LINE.validate_json(line)
        except (ValidationError, UnicodeDecodeError):
            broken += 1
            continue
        if isinstance(said, Feedback):
            feedback.append(NewFeedback(said.request_id, said.at, said.rating, said.text, said.key_id))
        elif 0 < len(said.id) <= _LONGEST_ID:
            requests.append(_request(said, owners.of(said)))
        else:
            broken += 1
    return TakenUp(*add_traffic(db, name, end, requests, feedback), broken)


def _request(said: ServedRequest, project_id: str) -> NewRequest:
    turns = tuple(Turn(one.get("role", ""), one.get("content", "")) for one in said.messages or ())
    known = turns if turns and all(turn.role in _ROLES for turn in turns) else None
    answered = known is not None and known[-1].role == "assistant" and said.status == 200
    return NewRequest(
        id=said.id,
        at=said.at,
        project_id=project_id,
        model=said.model,
        run_id=said.run_id,
        key_id=said.key_id,
        route=said.route,
        status=max(0, min(said.status, 999)),
        finish=said.finish,
        prompt_tokens=_count(said.prompt_tokens),
        answer_tokens=_count(said.answer_tokens),
        queued_ms=_finite(said.queued_ms) or 0.0,
        first_ms=_finite(said.first_ms),
        total_ms=_finite(said.total_ms) or 0.0,
        confidence=_finite(said.confidence),
        form_ok=said.form_ok,
        refused=refuses(known[-1].content) if answered and known else None,
        messages=known,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _count(value: int) -> int:
    return max(0, min(value, _MOST))
