"""A first classifier on the starter encoder's vectors: logistic regression, trained in a second, good enough to say
which label it would give and how sure it is. What it leaves out: fine-tuning (studio.training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio.labeling.diversity import Floats

_STRENGTH = 50.0
"""scikit-learn's C. Vectors of length 1 want it weak: on BANKING77 50 beat 1, 5 and 20 below 2,000 labels."""
_STEPS = 300
_TOLERANCE = 1e-3
_SURE = 0.5


@dataclass(frozen=True)
class Prediction:
    """What the classifier would answer (label names joined by line breaks; '' for none) and its `uncertainty`, 0 to 1:
    1 - margin, which is the distance of the two likeliest labels, or of the least sure label from one half."""

    response: str
    uncertainty: float


@dataclass(frozen=True)
class Classifier:
    """`weights` has shape (classes, width), `bias` (classes,). `several`: each label is a yes or no of its own."""

    classes: tuple[str, ...]
    weights: Floats
    bias: Floats
    several: bool

    def probabilities(self, vectors: Floats) -> Floats:
        """Shape (rows, classes); rows add up to 1 unless `several`."""
        scores = vectors @ self.weights.T + self.bias
        if self.several:
            return 1.0 / (1.0 + np.exp(-scores))
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def uncertainty(self, vectors: Floats) -> Floats:
        """1 - margin of each row (see Prediction)."""
        return _uncertainty(self.probabilities(vectors), self.several)

    def predict(self, vectors: Floats) -> list[Prediction]:
        """The answer to each row."""
        chances = self.probabilities(vectors)
        unsure = _uncertainty(chances, self.several)
        return [Prediction(self._answer(row), float(u)) for row, u in zip(chances, unsure, strict=True)]

    def _answer(self, chances: Floats) -> str:
        if self.several:
            return "\n".join(name for name, chance in zip(self.classes, chances, strict=True) if chance >= _SURE)
        return self.classes[int(chances.argmax())]


def train_classifier(
    vectors: Floats, responses: Sequence[str], labels: Sequence[str], several: bool
) -> Classifier | None:
    """Learn from labeled rows; `labels` is the project's label set, in its order, and answers outside of it are passed
    over. None where there is nothing to tell apart yet (fewer than two classes).
    """
    known = set(labels)
    given = [[name for name in response.split("\n") if name in known] for response in responses]
    rows = [index for index, names in enumerate(given) if names]
    vectors, given = vectors[rows], [given[index] for index in rows]
    return _several(vectors, given, labels) if several else _single(vectors, [names[0] for names in given])


def _single(vectors: Floats, names: Sequence[str]) -> Classifier | None:
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        return None
    weights, bias = _fit(vectors, np.array([classes.index(name) for name in names]))
    if len(classes) == 2:  # scikit-learn keeps one line for two classes
        weights, bias = np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return Classifier(classes, weights, bias, False)


def _several(vectors: Floats, given: Sequence[Sequence[str]], labels: Sequence[str]) -> Classifier | None:
    classes, weights, bias = [], [], []
    for name in labels:
        has = np.array([name in names for names in given], dtype=int)
        if not len(has) or has.min() == has.max():
            continue
        line, offset = _fit(vectors, has)
        classes.append(name)
        weights.append(line[0])
        bias.append(offset[0])
    if not classes:
        return None
    return Classifier(tuple(classes), np.array(weights), np.array(bias), True)


def _fit(vectors: Floats, classes: np.ndarray) -> tuple[Floats, Floats]:
    import warnings

    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # not converged: close enough; many classes: so it is
        model = LogisticRegression(C=_STRENGTH, max_iter=_STEPS, tol=_TOLERANCE).fit(vectors, classes)
    return np.asarray(model.coef_), np.asarray(model.intercept_)


def _uncertainty(chances: Floats, several: bool) -> Floats:
    if several:
        return 1.0 - np.abs(2.0 * chances - 1.0).min(axis=1)
    best = np.partition(chances, -2, axis=1)[:, -2:]
    return 1.0 - (best[:, 1] - best[:, 0])
