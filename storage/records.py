"""The rows that leave this room: frozen dataclasses, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Project:
    """A task with its people, data and runs. `task` is one of `storage.projects.TASKS`."""

    id: str
    name: str
    task: str
    system_prompt: str
    guidelines: str
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True)
class Turn:
    """One turn of a prompt: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """What is to be labeled: the turns up to the answer, and a context shown beside them."""

    id: str
    project_id: str
    position: int
    prompt: tuple[Turn, ...]
    context: str
    source: str
    status: str
    annotation_id: str | None
    created_at: datetime

    @property
    def text(self) -> str:
        """The last user turn: what a list shows of this example."""
        return self.prompt[-1].content if self.prompt else ""


@dataclass(frozen=True)
class Annotation:
    """One person's act on one example. `number` grows over the whole database; `seconds` is how long it took."""

    id: str
    number: int
    example_id: str
    project_id: str
    annotator: str
    action: str
    response: str
    source: str
    undoes: str | None
    seconds: float | None
    created_at: datetime


@dataclass(frozen=True)
class Pair:
    """An accepted labeled pair: an example and the answer that stands for it."""

    example_id: str
    annotation_id: str
    prompt: tuple[Turn, ...]
    context: str
    response: str
    content_key: str


@dataclass(frozen=True)
class Counts:
    """How many examples of a project stand where."""

    todo: int = 0
    labeled: int = 0
    skipped: int = 0
    flagged: int = 0

    @property
    def total(self) -> int:
        """All examples of the project."""
        return self.todo + self.labeled + self.skipped + self.flagged


@dataclass(frozen=True)
class ImportCounts:
    """What one import wrote: `imported` rows, of which `labeled` had an answer, and exact `duplicates` passed over."""

    imported: int
    labeled: int
    duplicates: int


@dataclass(frozen=True)
class Snapshot:
    """A frozen dataset version of a project. `id` is the hash of its content; `version` counts within the project."""

    id: str
    project_id: str
    version: int
    seed: int
    train_rows: int
    validation_rows: int
    test_rows: int
    created_at: datetime


@dataclass(frozen=True)
class Run:
    """One training run as last seen in its events. Losses are mean nats a target token on the held-out split."""

    id: str
    project_id: str
    snapshot_id: str
    number: int
    base_model: str
    spec: Mapping[str, object]
    state: str
    message: str
    step: int
    steps: int
    tokens_per_second: float | None
    eta_seconds: float | None
    memory_bytes: int | None
    base_loss: float | None
    tuned_loss: float | None
    base_hash: str | None
    adapter_hash: str | None
    device: str | None
    events_offset: int
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class RunEvent:
    """One event of a run, as its process wrote it (see studio.contract.events)."""

    run_id: str
    seq: int
    at: datetime
    kind: str
    data: Mapping[str, object]
