"""From vectors in the database to the orders "most diverse first" and "most uncertain first" in it.

Heavy (seconds at 100,000 examples), so it runs in the suggester's thread and never in a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from storage.database import Database, aware, now
from storage.records import Project
from storage.suggestions import list_uncertainties
from storage.vectors import Missing, count_missing, load_vectors, write_diversity, write_uncertainty
from studio.labeling.classifier import Classifier, Prediction, train_classifier
from studio.labeling.diversity import Floats, diversity_scores
from studio.labeling.uncertainty import batch_size, enough_to_begin, entropy_scores, uncertain_scores

__all__ = [
    "LABEL_TASKS",
    "Missing",
    "Trained",
    "Vectors",
    "order_by_diversity",
    "order_by_entropy",
    "order_by_uncertainty",
    "read_vectors",
    "vectors_of",
]

LABEL_TASKS = ("classification", "multi-label")


@dataclass(frozen=True)
class Vectors:
    """A project's examples that have a vector: ids, which wait for a label, the labels that stand, vectors of length 1
    (shape (examples, 384))."""

    ids: Sequence[str]
    waits: np.ndarray
    responses: Sequence[str | None]
    vectors: Floats

    @property
    def labeled(self) -> np.ndarray:
        """Row numbers of labeled examples."""
        return np.array([row for row, response in enumerate(self.responses) if response is not None], dtype=np.int64)


@dataclass(frozen=True)
class Trained:
    """A classifier, the number of labels it has seen, the vectors it was made from, and when (UTC)."""

    classifier: Classifier
    labels: int
    known: Vectors
    made_at: datetime

    def answers(self, ids: Sequence[str]) -> dict[str, Prediction]:
        """What it would answer to those of some examples that have a vector."""
        wanted = set(ids)
        rows = [row for row, example_id in enumerate(self.known.ids) if example_id in wanted]
        if not rows:
            return {}
        given = self.classifier.predict(self.known.vectors[rows])
        return {self.known.ids[row]: prediction for row, prediction in zip(rows, given, strict=True)}


def vectors_of(db: Database, project_id: str) -> Missing:
    """How far a project's vectors and places in the diverse order are."""
    return count_missing(db, project_id)


def read_vectors(db: Database, project_id: str) -> Vectors:
    """All vectors of a project (1.5 KB an example)."""
    table = load_vectors(db, project_id)
    column = table["vector"].combine_chunks()
    flat = np.asarray(column.flatten(), dtype=np.float32)
    vectors = flat.reshape(len(table), -1) if len(table) else np.zeros((0, 0), dtype=np.float32)
    waits = np.array([status == "todo" for status in table["status"].to_pylist()], dtype=bool)
    return Vectors(table["example_id"].to_pylist(), waits, table["response"].to_pylist(), vectors)


def order_by_diversity(db: Database, project_id: str) -> int:
    """Give every example with a vector its place in the diverse order; how many. Labeled ones count as covered."""
    known = read_vectors(db, project_id)
    with _one_thread():
        scores = diversity_scores(known.vectors)
    write_diversity(db, project_id, pa.array(known.ids, pa.string()), pa.array(scores, pa.float64()))
    return len(known.ids)


def order_by_uncertainty(db: Database, project: Project) -> Trained | None:
    """Train the classifier on the labels so far and score what waits; None while there are too few labels.

    With too few labels for uncertainty to teach more than diversity, the classifier answers but scores nothing.
    """
    moment = aware(now())
    known = read_vectors(db, project.id)
    rows = known.labeled
    labels = [label.name for label in project.settings.labels]
    responses = [known.responses[row] or "" for row in rows]
    names = labels or sorted({name for response in responses for name in response.split("\n")})
    with _one_thread():
        classifier = train_classifier(known.vectors[rows], responses, names, project.task == "multi-label")
    if classifier is None:
        return None
    if enough_to_begin(len(rows), len(names)):
        _score(db, project.id, classifier, known, batch_size(len(rows)))
    return Trained(classifier, len(rows), known, moment)


def order_by_entropy(db: Database, project_id: str, source: str) -> int:
    """Put the examples first that a source's suggestions so far are least sure of; how many of them were scored."""
    found = list_uncertainties(db, project_id, source)
    scores = entropy_scores([entropy for _, entropy in found])
    ids = pa.array([example_id for example_id, _ in found], pa.string())
    write_uncertainty(db, project_id, ids, pa.array(scores, pa.float64()))
    return len(found)


def _score(db: Database, project_id: str, classifier: Classifier, known: Vectors, take: int) -> None:
    waiting = np.flatnonzero(known.waits)
    if not len(waiting):
        return
    with _one_thread():
        scores = uncertain_scores(classifier, known.vectors[waiting], take)
    ids = pa.array([known.ids[int(row)] for row in waiting], pa.string())
    write_uncertainty(db, project_id, ids, pa.array(scores, pa.float64()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Leave the other cores to those who label: a matrix product takes all it can get."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
