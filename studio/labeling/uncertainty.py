"""Most uncertain first, without asking near-duplicates in a row: when to train, how many to ask, the scores of all.

The scores are what `examples.uncertainty` holds and the queue sorts by: above 1 the next ones to ask, in their order;
from 0 to 1 the classifier's 1 - margin of all others. The benchmark tests/bench/bench_active.py runs this very code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.labeling.classifier import Classifier
from studio.labeling.diversity import Floats, spread

_LABELS_EACH = 2
"""Until there are so many labels a class, diverse examples teach more than uncertain ones."""
_LEAST = 10


def enough_to_begin(labeled: int, classes: int) -> bool:
    """Whether uncertainty may take over from diversity. `classes`: the size of the project's label set."""
    return labeled >= max(_LEAST, _LABELS_EACH * classes)


def batch_size(labeled: int) -> int:
    """How many to ask between two trainings: a tenth of the labels so far."""
    return max(_LEAST, labeled // 10)


def is_due(labeled: int, trained_on: int) -> bool:
    """Whether so many labels are new that training again is worth it."""
    return labeled - trained_on >= batch_size(trained_on)


def uncertain_scores(classifier: Classifier, vectors: Floats, take: int, seed: int = 0) -> Floats:
    """A score for each unlabeled row of `vectors`; the `take` rows to ask next are above 1, in that order."""
    scores = np.asarray(classifier.uncertainty(vectors), dtype=np.float64)
    chosen = spread(scores, vectors, take, seed)
    scores[chosen] = 2.0 - np.arange(len(chosen)) / max(1, len(chosen))
    return scores


def entropy_scores(entropies: Sequence[float]) -> list[float | None]:
    """Scores from the mean token entropies (nats) of suggestions so far, which only some examples have.

    The upper half keeps its entropy and comes first; the others get None, so that what a model is sure of waits with
    what it has not seen yet instead of coming before it.
    """
    if not entropies:
        return []
    middle = float(np.median(entropies))
    return [value if value > middle else None for value in entropies]
