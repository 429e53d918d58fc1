"""A look at the prompts of a project: those served lately against those that the model in production was trained on.

What it found is kept, so that the page, the rules and "Label these" read it without looking again. Only requests whose
texts are kept can be looked at. What it leaves out: the tests themselves (studio.deploy.drift).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import numpy as np

from storage.database import Database
from storage.deployments import in_production
from storage.projects import get_project
from storage.records import Turn
from storage.runs import get_run
from storage.served_prompts import TrainedPrompt, as_served, trained_prompts
from storage.serving_records import KeptDrift, KeptRequest
from storage.snapshots import list_snapshots
from storage.traffic import list_kept
from storage.vectors import encoder_text
from storage.watches import add_drift, newest_drift
from studio.deploy import sentences
from studio.deploy.drift import Drift, Floats, compare
from studio.deploy.vectors import embed_texts
from studio.errors import BadInput, NotFound
from studio.language import tr
from studio.settings import Workspace

__all__ = ["DriftReport", "KeptDrift", "TopicFound", "look_for_drift", "newest_drift"]

WINDOW = timedelta(days=7)
LEAST = 30
"""Different prompts on each side that a look needs."""

MOST = 1000
"""Different prompts of each side that are looked at, drawn by chance."""

_SHOWN = 5
_SHOWN_LETTERS = 300

Embed = Callable[[Workspace, str, Sequence[str]], Floats]


@dataclass(frozen=True)
class TopicFound:
    """A topic that is new: how many of the prompts, some of them (shortened), and all of its requests."""

    share: float
    prompts: tuple[str, ...]
    requests: tuple[str, ...]


@dataclass(frozen=True)
class DriftReport:
    """What a look found. `before` and `now`: prompts on each side; `window`: (start, end), ISO 8601; the rest as in
    studio.deploy.drift.Drift. `sentence` says it for people."""

    sentence: str
    drifted: bool
    snapshot: str
    window: tuple[str, str]
    before: int
    now: int
    p: float
    p_meaning: float
    distance: float
    p_length: float
    length_before: float
    length_now: float
    p_languages: float | None
    languages: dict[str, tuple[float, float]]
    topics: tuple[TopicFound, ...]


def look_for_drift(
    db: Database,
    workspace: Workspace,
    project_id: str,
    now: datetime,
    window: timedelta = WINDOW,
    embed: Embed = embed_texts,
    seed: int = 0,
) -> DriftReport:
    """Compare the prompts of the window with the training split of what is in production, and keep what is found.

    Takes as long as the vectors of at most 2,000 texts (a minute on a CPU), so it is for a thread of its own. Raises
    BadInput where there are too few prompts or no snapshot, NotFound, Cancelled, JobFailed.
    """
    get_project(db, project_id)
    snapshot = _snapshot(db, project_id)
    before = _different_trained(trained_prompts(db, project_id, snapshot, MOST, seed))
    served = _different_served(list_kept(db, project_id, now - window, now, 4 * MOST, seed))
    if len(before) < LEAST or len(served) < LEAST:
        told = tr(
            "A look for drift needs {least} different prompts on each side: there are {before} in the snapshot and "
            "{served} with their text kept in the last {days} days.",
            **{"least": LEAST, "before": len(before), "served": len(served), "days": window.days},
        )
        raise BadInput(told)
    texts_before, texts_now = list(before), list(served)
    made = embed(
        workspace, f"drift-{project_id}", [*(text for text in texts_before if before[text].vector is None), *texts_now]
    )
    vectors_before, vectors_now = _joined(before, made)
    found = compare(vectors_before, vectors_now, texts_before, texts_now, seed)
    report = _report(found, snapshot, (now - window, now), texts_before, texts_now, served)
    add_drift(db, project_id, snapshot, report.drifted, asdict(report), now)
    return report


def _snapshot(db: Database, project_id: str) -> str:
    """The snapshot that the run in production was trained on; the newest one where nothing is."""
    try:
        return get_run(db, in_production(db, project_id)).snapshot_id
    except NotFound:
        snapshots = list_snapshots(db, project_id)
    if not snapshots:
        raise BadInput("There is no snapshot to hold the prompts against: freeze the project on Datasets.")
    return snapshots[0].id


def _different_trained(prompts: Sequence[TrainedPrompt]) -> dict[str, TrainedPrompt]:
    return {text: one for one in prompts if (text := _text(one.prompt))}


def _different_served(requests: Sequence[KeptRequest]) -> dict[str, list[KeptRequest]]:
    found: dict[str, list[KeptRequest]] = {}
    for one in requests:
        text = _text(as_served(one.prompt, ""))
        if text and (text in found or len(found) < MOST):
            found.setdefault(text, []).append(one)
    return found


def _text(prompt: Sequence[Turn]) -> str:
    return encoder_text(prompt, "").strip()


def _joined(before: dict[str, TrainedPrompt], made: Floats) -> tuple[Floats, Floats]:
    """Vectors that are stored and those that were just made, in the order of the texts."""
    rows, at = np.zeros((len(before), made.shape[1]), np.float32), 0
    for place, one in enumerate(before.values()):
        if one.vector is None:
            rows[place], at = made[at], at + 1
        else:
            rows[place] = one.vector
    return rows, made[at:]


def _report(
    found: Drift,
    snapshot: str,
    window: tuple[datetime, datetime],
    before: Sequence[str],
    now: Sequence[str],
    served: dict[str, list[KeptRequest]],
) -> DriftReport:
    topics = []
    for topic in found.topics:
        texts = [now[row] for row in topic.rows]
        ids = tuple(request.id for text in texts for request in served[text])
        topics.append(TopicFound(topic.share, tuple(text[:_SHOWN_LETTERS] for text in texts[:_SHOWN]), ids))
    start, end = (moment.isoformat(timespec="seconds") for moment in window)
    return DriftReport(
        *(_sentence(found), found.drifted, snapshot, (start, end), len(before), len(now)),
        *(found.p, found.p_meaning, found.distance, found.p_length, found.length_before, found.length_now),
        *(found.p_languages, found.languages, tuple(topics)),
    )


def _sentence(found: Drift) -> str:
    if not found.drifted:
        return sentences.ALIKE
    share = sum(topic.share for topic in found.topics)
    if found.topics:
        told = sentences.TOPICS if len(found.topics) > 1 else sentences.ONE_TOPIC
        return told.format(count=len(found.topics), share=round(100 * share))
    return sentences.DIFFER
