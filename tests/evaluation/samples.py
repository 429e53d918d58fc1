"""Samples for the interval tests: a mean over rows and a corpus F1, small stand-ins for scoring's Scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Means:
    """A metric that is the mean of its rows."""

    rows: Any

    @property
    def value(self) -> float:
        return float(np.mean(self.rows))

    @property
    def each(self) -> Any:
        return self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def resampled(self, indices: Any) -> Any:
        return self.rows[indices].mean(axis=-1)

    def joined(self, other: Means) -> Means:
        return Means(np.concatenate([self.rows, other.rows]))


@dataclass(frozen=True)
class CorpusF1:
    """F1 of one class, from each row's (true positive, error)."""

    parts: Any
    rows: None = None
    each: None = None

    @property
    def value(self) -> float:
        return float(f1(self.parts.sum(axis=0)))

    def __len__(self) -> int:
        return len(self.parts)

    def resampled(self, indices: Any) -> Any:
        return f1(drawn(indices, len(self.parts)) @ self.parts)

    def joined(self, other: CorpusF1) -> CorpusF1:
        return CorpusF1(np.concatenate([self.parts, other.parts]))


@dataclass(frozen=True)
class Whole:
    """A mean that gives no rows away, as a metric of the whole set does."""

    parts: Any
    rows: None = None
    each: None = None

    @property
    def value(self) -> float:
        return float(np.mean(self.parts))

    def __len__(self) -> int:
        return len(self.parts)

    def resampled(self, indices: Any) -> Any:
        return self.parts[indices].mean(axis=-1)

    def joined(self, other: Whole) -> Whole:
        return Whole(np.concatenate([self.parts, other.parts]))


def drawn(indices: Any, rows: int) -> Any:
    """How often each row was drawn: (B, m) row numbers to counts (B, rows)."""
    flat = indices + rows * np.arange(len(indices))[:, None]
    return np.bincount(flat.ravel(), minlength=rows * len(indices)).reshape(len(indices), rows).astype(np.float64)


def f1(sums: Any) -> Any:
    """2 TP / (2 TP + FP + FN), 0 where there is nothing to find."""
    return 2 * sums[..., 0] / np.maximum(2 * sums[..., 0] + sums[..., 1], 1e-12)


def answered(truth: Any, predicted: Any) -> CorpusF1:
    """The F1 sample of boolean predictions."""
    return CorpusF1(np.stack([truth & predicted, truth ^ predicted], axis=1).astype(np.float64))
