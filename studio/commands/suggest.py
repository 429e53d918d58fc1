"""`python -m studio suggest`: a model's drafts for the next examples of a project, without a browser.

The database is held only while it is read or written, never while a model answers.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

from storage.database import Database
from storage.examples import get_examples
from storage.projects import find_project, update_settings
from storage.records import Example, Project
from storage.suggestions import NewSuggestion, add_suggestions
from storage.vectors import count_missing
from studio.commands import Outcome, opened
from studio.errors import BadInput
from studio.jobs.drafts import ENCODER, RUN_PREFIX
from studio.jobs.embedding import embed_project
from studio.jobs.engine import Engines
from studio.jobs.sources import check_source, held_by
from studio.jobs.suggesting import draft
from studio.labeling.ordering import order_by_diversity, order_by_entropy, order_by_uncertainty
from studio.labeling.queue import Queues
from studio.settings import Workspace

_BATCH = 16
_MOST = 100_000


def suggest(workspace: Workspace, flags: Namespace) -> Outcome:
    """`suggest NAME --run RUN | --source S [--limit N]`: suggestions for the next examples, kept and counted."""
    # `run` is the command itself, as the parser keeps it.
    source = f"{RUN_PREFIX}{flags.run_id.removeprefix(RUN_PREFIX)}" if flags.run_id else flags.source
    if not 1 <= flags.limit <= _MOST:
        raise BadInput(f"--limit is a number of examples from 1 to {_MOST:,}.")
    started = time.monotonic()
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        check_source(project.task, source)
        examples = _next(db, project, flags.limit)
        if source == ENCODER:
            made = _encoded(db, workspace, project, examples)
            add_suggestions(db, project.id, made)
    if source != ENCODER:
        made = _asked(workspace, project, examples, source)
    unsure = [one.uncertainty for one in made if one.uncertainty is not None]
    data = {
        "project": project.name,
        "source": source,
        "examples": len(examples),
        "suggestions": len(made),
        "without_answer": len(examples) - len(made),
        "mean_uncertainty": sum(unsure) / len(unsure) if unsure else None,
        "seconds": round(time.monotonic() - started, 2),
    }
    return Outcome(data, _shown(workspace, project, source))


def _next(db: Database, project: Project, limit: int) -> list[Example]:
    """The next examples of the queue, in its order."""
    ids = list(Queues(db).peek(project.id, limit))
    if not ids:
        raise BadInput(f"Nothing waits for a label in {project.name}: import examples first.")
    found = {example.id: example for example in get_examples(db, ids)}
    return [found[one] for one in ids if one in found]


def _encoded(db: Database, workspace: Workspace, project: Project, examples: Sequence[Example]) -> list[NewSuggestion]:
    if not count_missing(db, project.id).complete:
        embed_project(db, workspace, project.id, lambda done, total: _say(f"Vectors of {done} of {total} examples"))
        order_by_diversity(db, project.id)
    trained = order_by_uncertainty(db, project)
    if trained is None:
        raise BadInput("The encoder learns from labels, and there are none of two kinds yet: label some first.")
    answers = trained.answers([example.id for example in examples])
    return [
        NewSuggestion(one, ENCODER, said.response, "", said.uncertainty)
        for one, said in answers.items()
        if said.response
    ]


def _asked(workspace: Workspace, project: Project, examples: Sequence[Example], source: str) -> list[NewSuggestion]:
    """Answers in batches, each kept as it comes."""
    made: list[NewSuggestion] = []
    with opened(workspace) as db:
        held = held_by(db, source)
    engines = Engines(workspace)
    try:
        for begin in range(0, len(examples), _BATCH):
            batch = examples[begin : begin + _BATCH]
            given = draft(workspace, engines, project, batch, source, held)
            with opened(workspace) as db:
                add_suggestions(db, project.id, given)
                if project.settings.order == "uncertain":
                    order_by_entropy(db, project.id, source)
            made += given
            _say(f"Asked about {begin + len(batch)} of {len(examples)} examples: {len(made)} suggestions")
    finally:
        engines.close()
    return made


def _shown(workspace: Workspace, project: Project, source: str) -> str:
    """Have the project show them where it shows none yet; what to tell of it."""
    if project.settings.suggest == source:
        return ""
    if project.settings.suggest:
        return f"{project.name} shows suggestions of {project.settings.suggest}: choose {source} there to see these."
    with opened(workspace) as db:
        update_settings(db, project.id, replace(project.settings, suggest=source))
    return f"{project.name} shows the suggestions of {source} from now on."


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
