"""Which labels of a classification project are likely wrong: confident learning over the starter encoder's vectors.

Each example's probabilities come from a logistic regression that did not see it (five folds); cleanlab compares them
with the given labels (Northcutt et al. 2021, "Confident Learning"). What it leaves out: multi-label projects, and
labels that fewer than five examples have, because no fold could learn them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import Database
from storage.projects import get_project
from storage.quality import count_embedded, read_labeled
from storage.records import User
from storage.reviews import send_again
from studio.errors import BadInput, Cancelled
from studio.language import tr

FOLDS = 5
MOST_EXAMPLES = 20_000
"""Examples that are looked at; of more, as many drawn by a hash of their ids."""

MOST_ISSUES = 200
AGAIN = "Look again: this label may be wrong."

Progress = Callable[[float, str], bool]
"""Told how far it is (0 to 1) and what it does; answers whether to go on."""


@dataclass(frozen=True)
class Suspect:
    """A label that is likely wrong. `score` is the probability that the model gives the label, 0 to 1."""

    example_id: str
    text: str
    annotator: str
    given: str
    likely: str
    score: float


@dataclass(frozen=True)
class QualityReport:
    """Suspects, worst first: `found` of the `looked_at` examples, of which at most MOST_ISSUES are listed. `accuracy`:
    share of held-out examples whose label the model gives too, which says how far to trust the list.
    """

    suspects: tuple[Suspect, ...]
    found: int
    looked_at: int
    labeled: int
    accuracy: float
    left_out: tuple[str, ...]


def embedded(db: Database, project_id: str) -> tuple[int, int]:
    """Labeled examples of a project, and how many of them have a vector."""
    return count_embedded(db, project_id)


def find_suspects(db: Database, project_id: str, on_progress: Progress) -> QualityReport:
    """Look through a project's labels: seconds to a minute, so on a thread of its own.

    Raises BadInput with what is missing, and Cancelled when `on_progress` says so.
    """
    if get_project(db, project_id).task != "classification":
        raise BadInput("Label quality is for classification projects with one label an example.")
    labeled, _ = count_embedded(db, project_id)
    table = read_labeled(db, project_id, MOST_EXAMPLES)
    names = [str(name) for name in table["label"].to_pylist()]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    kept = [row for row, name in enumerate(names) if counts[name] >= FOLDS]
    left_out = tuple(sorted(name for name, count in counts.items() if count < FOLDS))
    if len({names[row] for row in kept}) < 2:
        few = tr(
            "At least two labels with {count} embedded examples each are needed: label more, or embed the examples.",
            count=FOLDS,
        )
        raise BadInput(few)
    table = table.take(kept)
    return _report(table, [names[row] for row in kept], labeled, left_out, on_progress)


def _report(
    table: Any, names: Sequence[str], labeled: int, left_out: tuple[str, ...], on_progress: Progress
) -> QualityReport:
    import numpy as np
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    classes, codes = np.unique(np.array(names), return_inverse=True)
    vectors = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(names), -1)
    probabilities = _held_out(vectors, codes, len(classes), on_progress)
    # n_jobs=1: its worker processes would be forks of the app, which holds the database open.
    wrong = find_label_issues(codes, probabilities, n_jobs=1)
    scores = get_label_quality_scores(codes, probabilities)
    likely = probabilities.argmax(axis=1)
    worst = [int(row) for row in np.argsort(scores) if wrong[row]]
    chosen = table.take(worst[:MOST_ISSUES])
    suspects = tuple(
        Suspect(example, _text(prompt), annotator, names[row], str(classes[likely[row]]), float(scores[row]))
        for example, prompt, annotator, row in zip(
            *(chosen[name].to_pylist() for name in ("example_id", "prompt", "annotator")), worst, strict=False
        )
    )
    accuracy = float((likely == codes).mean())
    return QualityReport(suspects, len(worst), len(names), labeled, accuracy, left_out)


def _held_out(vectors: Any, codes: Any, classes: int, on_progress: Progress) -> Any:
    """Class probabilities (n, classes) of a model that did not see the example. Raises Cancelled."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    probabilities = np.zeros((len(codes), classes))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1).split(vectors, codes)
    for number, (train, test) in enumerate(folds):
        words = tr("Learning the labels, fold {number} of {all}", number=number + 1, all=FOLDS)
        if not on_progress(number / FOLDS, words):
            raise Cancelled("Cancelled: nothing was changed.")
        # Vectors have length 1: with the default C of 1 the model would hardly leave the middle.
        model = LogisticRegression(C=20, max_iter=300, tol=1e-3).fit(vectors[train], codes[train])
        probabilities[test] = model.predict_proba(vectors[test])
    on_progress(1.0, tr("Comparing with the labels given"))
    return probabilities


def look_again(db: Database, user: User, project_id: str, example_ids: Sequence[str]) -> int:
    """Put labeled examples back into the queue, for anybody; their answers stay as revisions. How many."""
    if not example_ids:
        raise BadInput("Choose the labels to look at again first.")
    return send_again(db, user.name, project_id, example_ids, AGAIN)


def _text(prompt: str) -> str:
    turns = json.loads(prompt)
    return str(turns[-1][1]) if turns else ""
