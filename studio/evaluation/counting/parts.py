"""What a metric keeps of each row, so that its value over any resample of the rows is a sum away.

Three kinds: `Means` (the metric is a mean of one number a row), `Sums` (a function of sums over rows: F1, BLEU, chrF,
perplexity) and `Recomputed` (nothing is known of the metric: it is called again, slowly). What it leaves out: which
metric counts what (classes, texts, ngrams).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 2_000_000
"""Resampled rows that are held at once; a block of weights is 16 MB."""


class Parts(Protocol):
    """The rows of one metric over one set of answers."""

    def __len__(self) -> int:
        """Rows."""

    def values(self, indices: Ints) -> Floats:
        """The metric [B] over rows `indices` [B, m]; rows may repeat."""

    def joined(self, other: Any) -> Self:
        """These rows and then those of another set of answers, scored by the same metric."""


@dataclass(frozen=True, eq=False)
class Means:
    """One number a row, [n]; the metric is their mean."""

    rows: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def values(self, indices: Ints) -> Floats:
        """The mean [B] over rows `indices` [B, m]."""
        return _by_block(indices, lambda block: self.rows[block].mean(axis=1))

    def joined(self, other: Means) -> Means:
        """Both sets of rows."""
        return Means(np.concatenate([self.rows, other.rows]))


@dataclass(frozen=True, eq=False)
class Sums:
    """Counts a row, [n, k], dense or sparse (scipy CSR), and the metric `of` their sums: [B, k] to [B].

    `keys`: what the columns count, k / len(keys) columns each, where two sets of answers can have different ones.
    """

    table: Any
    of: Callable[[Floats], Floats]
    keys: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.shape[0])

    def values(self, indices: Ints) -> Floats:
        """The metric [B] over rows `indices` [B, m]."""
        return _by_block(indices, lambda block: self.of(self._sums(block)), len(self))

    def whole(self) -> float:
        """The metric over every row once."""
        return float(self.of(np.asarray(self.table.sum(axis=0), dtype=np.float64).reshape(1, -1))[0])

    def joined(self, other: Sums) -> Sums:
        """Both sets of rows; columns of keys that only one has are 0 in the other."""
        keys = tuple(dict.fromkeys((*self.keys, *other.keys)))
        tables = [_spread(one, keys) for one in (self, other)]
        if isinstance(self.table, np.ndarray):
            return replace(self, table=np.concatenate(tables), keys=keys)
        from scipy import sparse

        return replace(self, table=sparse.vstack(tables, format="csr"), keys=keys)

    def _sums(self, indices: Ints) -> Floats:
        samples, n = len(indices), len(self)
        flat = (indices + n * np.arange(samples, dtype=np.int64)[:, None]).ravel()
        weights = np.bincount(flat, minlength=samples * n).reshape(samples, n)
        return np.asarray(weights.astype(np.float64) @ self.table)


@dataclass(frozen=True, eq=False)
class Recomputed:
    """A metric of which nothing is known: `score` of predictions and references, called once a resample."""

    score: Callable[[Sequence[Any], Sequence[Any]], float]
    predictions: Sequence[Any]
    references: Sequence[Any]

    def __len__(self) -> int:
        return len(self.references)

    def values(self, indices: Ints) -> Floats:
        """The metric [B] over rows `indices` [B, m]."""
        drawn = indices.tolist()
        return np.array([self.score(_take(self.predictions, one), _take(self.references, one)) for one in drawn], float)

    def joined(self, other: Recomputed) -> Recomputed:
        """Both sets of rows."""
        predictions = [*self.predictions, *other.predictions]
        return replace(self, predictions=predictions, references=[*self.references, *other.references])


def _take(values: Sequence[Any], rows: Sequence[int]) -> list[Any]:
    return [values[row] for row in rows]


def _by_block(indices: Ints, value: Callable[[Ints], Floats], rows: int = 0) -> Floats:
    """`value` of a few resamples at a time, so that neither they nor their weights [B, rows] fill the memory."""
    indices = np.atleast_2d(np.asarray(indices, dtype=np.int64))
    if not indices.shape[1]:
        raise ValueError("a resample of no rows has no value")
    return np.concatenate([value(block) for block in _blocks(indices, max(indices.shape[1], rows))] or [np.empty(0)])


def _blocks(indices: Ints, width: int) -> Iterator[Ints]:
    step = max(1, BLOCK // width)
    for start in range(0, len(indices), step):
        yield indices[start : start + step]


def _spread(parts: Sums, keys: tuple[str, ...]) -> Any:
    """The table of `parts` with columns for all `keys`."""
    if parts.keys == keys:
        return parts.table
    width = parts.table.shape[1] // len(parts.keys)
    place = {key: at for at, key in enumerate(keys)}
    to = np.array([place[key] * width + column for key in parts.keys for column in range(width)])
    from scipy import sparse

    coo = sparse.coo_matrix(parts.table)
    return sparse.csr_matrix((coo.data, (coo.row, to[coo.col])), shape=(len(parts), width * len(keys)))
