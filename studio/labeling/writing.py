"""Acts and drafts of many annotators in one transaction: who finds the queue free writes for all who wait.

A DuckDB statement costs about a millisecond whatever it carries, so forty acts written together take little more than
two written alone. Nobody is told "saved" before the commit. What it leaves out: undo, leases without an act.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Any

from storage.annotations import (
    Act,
    Acted,
    Known,
    next_numbers,
    prepare_act,
    put_drafts,
    read_known,
    write_acts,
)
from storage.leases import add_leases, drop_some
from storage.records import Annotation, Draft, Example, Lease
from studio.errors import StudioError
from studio.labeling.answers import check_answer
from studio.labeling.dealing import new_leases, record_of
from studio.labeling.queue import ProjectQueue, Queues
from studio.labeling.suggestions import decide

_DRAFT_SECONDS = 0.05
Key = tuple[str, str]
"""Example and annotator."""


@dataclass
class Job:
    """Something to write. `done` is set once it is committed, or refused with `error`, which speaks the language of
    who asked (`context`), whoever writes."""

    context: Context = field(default_factory=copy_context, init=False, repr=False)
    done: threading.Event = field(default_factory=threading.Event, init=False)
    error: BaseException | None = field(default=None, init=False)


@dataclass
class ActJob(Job):
    """An act; afterwards its annotator is to have `ahead` cards, which are `hand`."""

    act: Act
    ahead: int
    hand: list[str] = field(default_factory=list, init=False)


@dataclass
class DraftJob(Job):
    """What is being typed; an empty draft is dropped."""

    key: Key
    draft: Draft


@dataclass
class _Batch:
    """What the jobs of one transaction come to."""

    numbers: list[int]
    acted: list[Acted] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)
    decided: list[tuple[str, Annotation]] = field(default_factory=list)
    drafts: dict[Key, Draft] = field(default_factory=dict)
    first_drafts: set[Key] = field(default_factory=set)
    leases: dict[Key, Lease] = field(default_factory=dict)
    dropped: list[Key] = field(default_factory=list)

    def drop(self, key: Key) -> None:
        """A lease ends: one of this batch is never written."""
        if self.leases.pop(key, None) is None:
            self.dropped.append(key)

    def write(self, cursor: Any) -> None:
        """Write all of it."""
        write_acts(cursor, self.acted)
        drop_some(cursor, self.dropped)
        add_leases(cursor, list(self.leases.values()))
        put_drafts(cursor, self.drafts, self.first_drafts)
        for suggestion_id, annotation in self.decided:
            decide(cursor, suggestion_id, annotation)


def write(queues: Queues, project_id: str, jobs: Sequence[Job]) -> None:
    """Have jobs written, by this thread or by another that writes just now; returns when they are done.

    A draft lets a moment pass for an act to take it along: nobody waits for a draft, and it costs no transaction then.
    """
    waiting = queues.jobs[project_id]
    waiting.extend(jobs)
    if all(isinstance(job, DraftJob) and job.done.wait(_DRAFT_SECONDS) for job in jobs):
        return
    with queues.locked(project_id) as queue:
        if not all(job.done.is_set() for job in jobs):
            _write_all(queues, queue, [waiting.popleft() for _ in range(len(waiting))])


def _write_all(queues: Queues, queue: ProjectQueue, jobs: Sequence[Job]) -> None:
    try:
        with queues.db.write() as cursor:
            batch = _Batch(next_numbers(cursor, sum(isinstance(job, ActJob) for job in jobs)))
            for job in jobs:
                try:
                    job.context.run(_take_up, queues, queue, cursor, batch, job)
                except StudioError as error:
                    job.error = error
            batch.dropped.extend(queue.expired)
            batch.write(cursor)
        queue.expired.clear()
        queue.unwritten.clear()
    except BaseException as error:
        queues.reload(queue.project.id)  # the queue took up what is not in the database
        for job in jobs:
            job.error = job.error or error
        if not isinstance(error, StudioError):
            raise
    finally:
        for job in jobs:
            job.done.set()


def _take_up(queues: Queues, queue: ProjectQueue, cursor: Any, batch: _Batch, job: Job) -> None:
    if isinstance(job, ActJob):
        _take_up_act(queues, queue, cursor, batch, job)
    elif isinstance(job, DraftJob):
        _take_up_draft(queue, batch, job)


def _take_up_act(queues: Queues, queue: ProjectQueue, cursor: Any, batch: _Batch, job: ActJob) -> None:
    example = queue.example(job.act.example_id)
    wanted, key = _checked(queue, example, job.act), (example.id, job.act.annotator)
    known = batch.known.get(example.id) or queue.known(example.id) or read_known(cursor, example.id)
    acted = prepare_act(wanted, known, queue.rules, batch.numbers.pop(0))
    record = record_of(queues, queue, wanted.annotator)
    rest = [one for one in queue.held(wanted.annotator) if one != example.id]
    batch.acted.append(acted)
    batch.known[example.id] = acted.known
    if wanted.suggestion_id:
        batch.decided.append((wanted.suggestion_id, acted.annotation))
    if queue.lease(*key):
        batch.drop(key)
    if key in queue.drafted or key in batch.drafts:
        batch.drafts[key] = Draft("", "")
        queue.drafted.discard(key)
    queue.cards.pop(key, None)
    queue.settle(acted, example)
    record.add(acted.annotation, example)
    leases = new_leases(queues, queue, wanted.annotator, rest, job.ahead, example.id)
    batch.leases |= {(lease.example_id, lease.annotator): lease for lease in leases}
    queue.grant(leases)
    job.hand = [*rest, *(lease.example_id for lease in leases)]


def _take_up_draft(queue: ProjectQueue, batch: _Batch, job: DraftJob) -> None:
    queue.example(job.key[0])  # a draft of nothing would wait for ever
    kept = bool(job.draft.response or job.draft.value)
    if job.key not in queue.drafted and job.key not in batch.drafts:
        batch.first_drafts.add(job.key)
    batch.drafts[job.key] = job.draft
    (queue.drafted.add if kept else queue.drafted.discard)(job.key)
    if card := queue.cards.get(job.key):
        queue.cards[job.key] = replace(card, draft=job.draft if kept else None)


def _checked(queue: ProjectQueue, example: Example, act: Act) -> Act:
    """The act with its answer in canonical form, and as an answer to gold where the queue handed it out as that."""
    response, value = act.response, act.value
    if act.action == "submit":
        response, value = check_answer(queue.project, example, response, value)
    lease = queue.lease(example.id, act.annotator)
    return replace(act, response=response, value=value, source="gold" if lease and lease.gold else act.source)
