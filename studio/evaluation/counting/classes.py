"""Labels: how often each is right, given and true in a row; F1 of their sums; the table of classes; confusions

A prediction that is no label is None: it is never right, counts for no class as given, and has a column of its own in
the confusion matrix. A class that occurs neither in the references nor in the predictions is left out of the macro
mean (as scikit-learn does without `labels`), in a resample too. What it leaves out: finding the label in an answer
(studio.evaluation.matching).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.evaluation.counting.parts import Floats, Ints, Sums

UNMATCHED = "(no label)"
"""The column of answers that name no label."""

Labels = frozenset[str]


@dataclass(frozen=True)
class ClassRow:
    """One class: shares from 0 to 1; `support` rows have it, `predicted` rows were given it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Confusion:
    """Rows by what they are and what they were called: `counts` [labels, labels + 1], the last column UNMATCHED."""

    labels: tuple[str, ...]
    counts: Ints

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the columns."""
        return (*self.labels, UNMATCHED)


def occurring(
    predictions: Iterable[str | None], references: Iterable[str], labels: Sequence[str] = ()
) -> tuple[str, ...]:
    """The classes that occur, those of `labels` in its order first and any others by name."""
    found = {label for label in (*predictions, *references) if label is not None}
    return (*(label for label in dict.fromkeys(labels) if label in found), *sorted(found - set(labels)))


def codes(values: Sequence[str | None], classes: Sequence[str]) -> Ints:
    """Values as their places in `classes`, -1 for None."""
    place: dict[str | None, int] = {label: at for at, label in enumerate(classes)}
    return np.array([-1 if value is None else place[value] for value in values], dtype=np.int64)


def class_sums(predictions: Sequence[Labels], references: Sequence[Labels], of: str) -> Sums:
    """For each row and class: right, given, true (three columns a class). `of`: macro, weighted or micro F1."""
    from scipy import sparse

    keys = tuple(sorted(frozenset().union(*predictions, *references)))
    place = {label: 3 * at for at, label in enumerate(keys)}
    cells: list[tuple[int, int]] = []
    for row, (given, true) in enumerate(zip(predictions, references, strict=True)):
        cells += [(row, place[label]) for label in given & true]
        cells += [(row, place[label] + 1) for label in given]
        cells += [(row, place[label] + 2) for label in true]
    at = np.array(cells, dtype=np.int64).reshape(-1, 2)
    table = sparse.csr_matrix(
        (np.ones(len(at)), (at[:, 0], at[:, 1])), shape=(len(references), 3 * len(keys)), dtype=np.float64
    )
    return Sums(table, {"macro": macro_f1, "weighted": weighted_f1, "micro": micro_f1}[of], keys)


def macro_f1(sums: Floats) -> Floats:
    """Mean F1 of the classes that occur: sums [B, 3K] to [B]; 0 where none does."""
    f1, _, present = _f1(sums)
    return np.where(present, f1, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)


def weighted_f1(sums: Floats) -> Floats:
    """Mean F1 of the classes, each as heavy as it is frequent in the references."""
    f1, true, _ = _f1(sums)
    return (f1 * true).sum(axis=1) / np.maximum(true.sum(axis=1), 1)


def micro_f1(sums: Floats) -> Floats:
    """F1 of all labels of all rows together."""
    right, given, true = _thirds(sums)
    return 2 * right.sum(axis=1) / np.maximum(given.sum(axis=1) + true.sum(axis=1), 1)


def class_table(
    predictions: Sequence[str | None], references: Sequence[str], labels: Sequence[str] = ()
) -> tuple[ClassRow, ...]:
    """Precision, recall and F1 of each class that occurs (scikit-learn; a share without cases is 0)."""
    from sklearn.metrics import precision_recall_fscore_support

    classes = occurring(predictions, references, labels)
    given, true = codes(predictions, classes), codes(references, classes)
    places = np.arange(len(classes))
    shares = precision_recall_fscore_support(true, given, labels=places, zero_division=0)
    counts = np.bincount(given[given >= 0], minlength=len(classes))
    return tuple(
        ClassRow(
            label, float(shares[0][at]), float(shares[1][at]), float(shares[2][at]), int(shares[3][at]), int(counts[at])
        )
        for at, label in enumerate(classes)
    )


def confusion(predictions: Sequence[str | None], references: Sequence[str], labels: Sequence[str] = ()) -> Confusion:
    """How often each class was called what (scikit-learn), over the classes that occur."""
    from sklearn.metrics import confusion_matrix

    classes = occurring(predictions, references, labels)
    given, true = codes(predictions, classes), codes(references, classes)
    given = np.where(given < 0, len(classes), given)
    counts = confusion_matrix(true, given, labels=np.arange(len(classes) + 1))
    return Confusion(classes, np.asarray(counts[:-1], dtype=np.int64))


def _thirds(sums: Floats) -> tuple[Floats, Floats, Floats]:
    return sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]


def _f1(sums: Floats) -> tuple[Floats, Floats, np.ndarray]:
    right, given, true = _thirds(sums)
    cases = given + true
    return 2 * right / np.maximum(cases, 1), true, cases > 0
