"""The suggester: a thread that keeps suggestions and orders ready for the projects somebody is labeling.

It works in small pieces and gives way: no model is asked while a run trains, an engine that somebody else uses is left
alone, and a project nobody labels is let be. What goes wrong is said in words (`status`), tried again after a while,
and never ends the thread. What it leaves out: the forms of answers (studio.jobs.drafts).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from storage.database import Database
from storage.examples import get_examples
from storage.projects import get_project
from storage.records import Example, Project
from storage.runs import list_active_runs
from storage.suggestions import NewSuggestion, add_suggestions, without_suggestion
from storage.vectors import count_labeled, count_missing
from studio.errors import BadInput, Cancelled, NotFound, StudioError
from studio.jobs.drafts import ENCODER, ENDPOINT, RUN_PREFIX, Reply, messages_for, suggestion_of, token_limit
from studio.jobs.embedding import embed_project
from studio.jobs.endpoint import ask_endpoint, load_endpoint
from studio.jobs.engine import Engines, Question, Sampling
from studio.jobs.sources import Held, check_source, held_by
from studio.labeling.ordering import LABEL_TASKS, Trained, order_by_diversity, order_by_entropy, order_by_uncertainty
from studio.labeling.uncertainty import is_due
from studio.language import mark, tr
from studio.settings import Workspace

__all__ = ["Status", "Suggester", "draft"]

AHEAD = 20
"""Examples of a queue that are kept supplied."""

_log = logging.getLogger(__name__)

_BATCH = 8
_POKED_SECONDS = 90.0
_FORGET_SECONDS = 900.0
_RETRY_SECONDS = 30.0
_TICK_SECONDS = 1.0
_LEARN_SECONDS = 3.0

Peek = Callable[[str, int], Sequence[str]]
"""Ids of the next examples of a project's queue."""


@dataclass(frozen=True)
class Status:
    """What the suggester does for a project, as a sentence with `values` to fill in; `fraction` of a step that takes
    long; `problem`: it is stuck."""

    sentence: str = ""
    fraction: float | None = None
    problem: bool = False
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The sentence for who reads it now."""
        return tr(self.sentence, **self.values)


@dataclass
class _Work:
    """What is known of one project. `version`: the database's, when its vectors were last found complete;
    `learned_from`: labels at the last attempt to learn."""

    poked_at: float = float("-inf")
    asked: bool = False
    called_off: bool = False
    wait_until: float = 0.0
    looked_at: float = float("-inf")
    version: int = -1
    trained: Trained | None = None
    learned_from: int = 0
    passed: set[tuple[str, str]] = field(default_factory=set)
    status: Status = Status()


class Suggester:
    """One thread for all projects. `start` it with the app, `poke` it when somebody labels, `stop` it before the
    database closes."""

    def __init__(self, db: Database, workspace: Workspace, engines: Engines, peek: Peek) -> None:
        self._db, self._workspace, self._engines, self._peek = db, workspace, engines, peek
        self._works: dict[str, _Work] = {}
        self._lock = threading.Lock()
        self._wake, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="suggester", daemon=True)

    def start(self) -> None:
        """Begin; it sleeps until it is poked."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a process that makes vectors is stopped, with what it made kept."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def poke(self, project_id: str) -> None:
        """Somebody labels in this project. Takes no time: it is called at every card."""
        self._work(project_id).poked_at = time.monotonic()
        self._wake.set()

    def compute(self, project_id: str) -> None:
        """Make vectors and orders now, whoever labels."""
        work = self._work(project_id)
        work.asked, work.called_off, work.wait_until, work.version = True, False, 0.0, -1
        work.status = Status(mark("Waiting for its turn"))
        self._wake.set()

    def cancel(self, project_id: str) -> None:
        """Stop making vectors; they are not made again before `compute` or a restart."""
        work = self._work(project_id)
        work.asked, work.called_off = False, True
        work.status = Status(mark("Stopped: the vectors made so far are kept."))

    def status(self, project_id: str) -> Status:
        """What is being done for a project."""
        return self._work(project_id).status

    def busy(self, project_id: str) -> bool:
        """Whether vectors or orders that were asked for are still to come."""
        work = self._work(project_id)
        return work.asked or work.status.fraction is not None

    def step(self, project_id: str) -> bool:
        """One piece of work for a project; whether there was any. Raises StudioError."""
        work, project = self._work(project_id), get_project(self._db, project_id)
        return self._vectors(project, work) or self._learn(project, work) or self._suggest(project, work)

    def _work(self, project_id: str) -> _Work:
        with self._lock:
            return self._works.setdefault(project_id, _Work())

    def _run(self) -> None:
        while not self._ended.is_set():
            did = [self._turn(project_id, work) for project_id, work in [*self._works.items()]]
            if not any(did):
                self._wake.wait(_TICK_SECONDS)
                # A desk pokes at every card: look at most once a tick, however fast somebody labels.
                self._ended.wait(_TICK_SECONDS / 4)
                self._wake.clear()

    def _turn(self, project_id: str, work: _Work) -> bool:
        now = time.monotonic()
        wanted = work.asked or now - work.poked_at < _POKED_SECONDS
        if now - work.poked_at > _FORGET_SECONDS:
            work.trained, work.learned_from = None, 0  # 150 MB of vectors for 100,000 examples
        if self._ended.is_set() or not wanted or now < work.wait_until:
            return False
        try:
            return self.step(project_id)
        except Cancelled as error:
            work.asked, work.called_off, work.status = False, True, Status(str(error))
        except NotFound as error:
            self._fail(work, str(error))
        except StudioError as error:
            self._fail(work, str(error))
        except Exception:
            if not self._ended.is_set():
                # A bug, but one that must not leave every other project without suggestions.
                _log.exception("The suggester failed at project %s", project_id)
            self._fail(work, mark("Suggestions broke off; the studio's log says why."))
        return False

    def _fail(self, work: _Work, words: str) -> None:
        work.asked = False
        work.wait_until = time.monotonic() + _RETRY_SECONDS
        work.status = Status(words, problem=True)

    def _vectors(self, project: Project, work: _Work) -> bool:
        """Bring vectors and the diverse order up to date where they are wanted; whether there was anything to do."""
        settings = project.settings
        wanted = work.asked or settings.suggest == ENCODER or settings.order in ("diverse", "uncertain")
        version = self._db.version(project.id)
        if not wanted or work.called_off or work.version == version:
            return False
        missing = count_missing(self._db, project.id)
        if missing.texts > 0:
            self._embed(project.id, work)
        if work.asked or not missing.complete:
            work.status = Status(mark("Putting the most diverse examples first"), 1.0)
            order_by_diversity(self._db, project.id)
            work.trained, work.learned_from = None, 0
            work.status = Status(mark("Vectors and the diverse order are up to date."))
        work.version = self._db.version(project.id)
        asked, work.asked = work.asked, False
        return asked or not missing.complete

    def _embed(self, project_id: str, work: _Work) -> None:
        def on_progress(done: int, total: int) -> None:
            sentence, values = mark("Vectors of {done:,} of {total:,} examples"), {"done": done, "total": total}
            work.status = Status(sentence, done / max(1, total), values=values)

        work.status = Status(mark("Loading the encoder"), 0.0)
        embed_project(
            self._db, self._workspace, project_id, on_progress, lambda: work.called_off or self._ended.is_set()
        )

    def _learn(self, project: Project, work: _Work) -> bool:
        """Train the encoder's classifier when labels have grown; whether it was trained."""
        wanted = project.settings.suggest == ENCODER or project.settings.order == "uncertain"
        now = time.monotonic()
        if not wanted or project.task not in LABEL_TASKS or now - work.looked_at < _LEARN_SECONDS:
            return False
        work.looked_at = now
        labels = count_labeled(self._db, project.id)
        if not is_due(labels, work.learned_from):
            return False
        work.status = Status(mark("Learning from the labels so far"))
        work.trained, work.learned_from = order_by_uncertainty(self._db, project), labels
        work.version = self._db.version(project.id)
        if work.trained:
            learned = mark("The encoder has learned from {labels:,} labels.")
            work.status = Status(learned, values={"labels": work.trained.labels})
        return work.trained is not None

    def _suggest(self, project: Project, work: _Work) -> bool:
        """Suggestions for the next examples that lack one; whether any were made."""
        source = project.settings.suggest
        if not source:
            return False
        since = work.trained.made_at if source == ENCODER and work.trained else None
        ahead = [one for one in self._peek(project.id, AHEAD) if (source, one) not in work.passed]
        lacking = without_suggestion(self._db, source, ahead, since)
        batch = [one for one in ahead if one in lacking][: AHEAD if source == ENCODER else _BATCH]
        if not batch or (reason := self._why_wait(project, source, work)):
            if batch:
                work.status = Status(reason)
            return False
        examples = {example.id: example for example in get_examples(self._db, batch)}
        made = self._draft(project, [examples[one] for one in batch if one in examples], source, work)
        add_suggestions(self._db, project.id, made)
        work.passed |= {(source, one) for one in set(batch) - {suggestion.example_id for suggestion in made}}
        if source != ENCODER and project.settings.order == "uncertain":
            order_by_entropy(self._db, project.id, source)
            work.version = self._db.version(project.id)
        work.status = _told(len(lacking) - len(batch), len(made), len(batch))
        return True

    def _draft(self, project: Project, examples: Sequence[Example], source: str, work: _Work) -> list[NewSuggestion]:
        if source != ENCODER:
            asking = mark("Asking the model about {number} examples")
            work.status = Status(asking, values={"number": len(examples)})
            return draft(self._workspace, self._engines, project, examples, source, held_by(self._db, source))
        answers = work.trained.answers([example.id for example in examples]) if work.trained else {}
        return [
            NewSuggestion(example_id, source, said.response, "", said.uncertainty)
            for example_id, said in answers.items()
            if said.response
        ]

    def _why_wait(self, project: Project, source: str, work: _Work) -> str:
        """Why nobody is asked now, or ''."""
        if source == ENCODER:
            waits = mark("The encoder suggests labels after the first ten answers of two kinds.")
            return "" if work.trained else waits
        if source == ENDPOINT:
            return ""
        if list_active_runs(self._db):
            return mark("A run is training: suggestions go on when it has ended.")
        if not self._engines.is_free_for(*held_by(self._db, source)):
            return mark("The model's process answers somebody else: suggestions go on in two minutes.")
        return ""


def draft(
    workspace: Workspace, engines: Engines, project: Project, examples: Sequence[Example], source: str, held: Held
) -> list[NewSuggestion]:
    """Ask a run, the starter or the endpoint for answers to some examples of a project; those that are answers.
    `held` is from `held_by`; the database is not needed while a model answers.

    Raises BadInput for a source that cannot answer this task, BadModel, JobFailed.
    """
    check_source(project.task, source)
    asked = [(one, turns) for one in examples if (turns := messages_for(project, one, source))]
    limit = token_limit(project.task)
    if source == ENDPOINT:
        endpoint = load_endpoint(workspace)
        if endpoint is None:
            raise BadInput("No endpoint is named: an admin names one in the Team tab.")
        replies = ask_endpoint(endpoint, [turns for _, turns in asked], limit)
    else:
        adapter = source.removeprefix(RUN_PREFIX) if source.startswith(RUN_PREFIX) else None
        questions = [Question(turns, adapter, Sampling(max_tokens=limit)) for _, turns in asked]
        given = engines.get(*held).answer_many(questions, parallel=_BATCH)
        replies = [Reply(answer.text, answer.entropy) for answer in given]
    made = (suggestion_of(project, one, source, reply) for (one, _), reply in zip(asked, replies, strict=True))
    return [suggestion for suggestion in made if suggestion]


def _told(left: int, made: int, asked: int) -> Status:
    if made < asked:
        all_made = mark("{made} suggestions made; {without} had no usable answer.")
        more = mark("{made} suggestions made; {without} had no usable answer, {left} to come.")
    else:
        all_made, more = mark("{made} suggestions made."), mark("{made} suggestions made, {left} to come.")
    values = {"made": made, "without": asked - made, "left": left}
    return Status(all_made if left <= 0 else more, values=values)
