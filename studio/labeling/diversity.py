"""Orders made of vectors alone: the most diverse examples first, and uncertain ones without near-duplicates in a row.

Both take the most typical example of each of many clusters. Farthest-first (k-center greedy) was tried and left out: it
begins with the outliers, and 100 labels so chosen taught a classifier of BANKING77 less than 100 random ones, those of
clusters nearly twice as much (tests/bench/results/active.md).
All vectors have length 1, so a scalar product is a similarity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

_SAMPLE = 10_000
_ROUNDS = 6
_CHUNK = 16_384


def diversity_scores(vectors: Floats, first: int = 1000, seed: int = 0) -> Floats:
    """A score for each row of `vectors` (shape (rows, width)): higher comes first, between 0 and 1, no two the same.

    The first `first` (about) are the most typical ones of ever more clusters (16, 32, 64, …), so that any beginning of
    the order covers what there is; the rest follow by their distance from those, the least covered first.
    """
    rows = len(vectors)
    if rows == 0:
        return np.zeros(0)
    chosen = typical_order(vectors, min(first, rows), seed)
    rest = np.setdiff1d(np.arange(rows), chosen)
    order = np.concatenate([chosen, rest[np.argsort(_nearest(vectors, rest, vectors[chosen])[0], kind="stable")]])
    scores = np.empty(rows)
    scores[order] = 1.0 - np.arange(rows) / rows
    return scores


def typical_order(vectors: Floats, count: int, seed: int = 0) -> Ints:
    """At most `count` row numbers: of each cluster that has none yet the most central row, large clusters first; then
    the same with twice as many clusters."""
    random = np.random.default_rng(seed)
    rows, size = len(vectors), 16
    if rows <= size:
        return np.arange(rows)[:count]
    chosen: list[int] = []
    taken = np.zeros(rows, dtype=bool)
    while len(chosen) < count:
        size = min(size, count)
        near, member = _nearest(vectors, np.arange(rows), _centers(vectors, size, random))
        fresh = [_most_central(group, near) for group in _by_size(member, size) if not taken[group].any()]
        chosen += fresh[: count - len(chosen)]
        taken[chosen] = True
        if size == count:
            break
        size *= 2
    return np.array(chosen, dtype=np.int64)


def spread(scores: Floats, vectors: Floats, take: int, seed: int = 0) -> Ints:
    """Row numbers of the `take` rows to ask next: high in `scores` (0 or more), and no two of a kind.

    The 10 x `take` highest are put into `take` clusters, a row weighing as much as its score; of each the most central
    one is taken, those of the highest score first. ("Cluster-margin" with k-means in place of a linkage.)
    """
    top = np.argsort(-scores, kind="stable")[: 10 * take]
    if len(top) <= take:
        return top
    near, member = _nearest(vectors, top, _centers(vectors[top], take, np.random.default_rng(seed), scores[top]))
    picked = np.array([top[_most_central(group, near)] for group in _by_size(member, take)])
    return picked[np.argsort(-scores[picked], kind="stable")]


def _centers(vectors: Floats, count: int, random: np.random.Generator, weights: Floats | None = None) -> Floats:
    """Spherical k-means on a sample: unit vectors, shape (count, width)."""
    rows = np.arange(len(vectors))
    if len(rows) > max(_SAMPLE, 8 * count):
        rows = np.sort(random.choice(rows, max(_SAMPLE, 8 * count), replace=False))
    sample = vectors[rows]
    weight = np.ones(len(rows), dtype=np.float32) if weights is None else weights[rows].astype(np.float32) + 1e-6
    centers = sample[random.choice(len(sample), count, replace=False)]
    for _ in range(_ROUNDS):
        _, member = _nearest(sample, np.arange(len(sample)), centers)
        sums = _sums(sample * weight[:, None], member, count)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        # An empty cluster keeps its place.
        centers = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centers)
    return centers


def _sums(vectors: Floats, member: Ints, count: int) -> Floats:
    """Sum of the vectors of each cluster."""
    order = np.argsort(member, kind="stable")
    present, begins = np.unique(member[order], return_index=True)
    sums = np.zeros((count, vectors.shape[1]), dtype=vectors.dtype)
    sums[present] = np.add.reduceat(vectors[order], begins, axis=0)
    return sums


def _nearest(vectors: Floats, rows: Ints, centers: Floats) -> tuple[Floats, Ints]:
    """Similarity to the nearest center and its number, of each of `rows`; in chunks, so that memory stays small."""
    near = np.empty(len(rows), dtype=np.float32)
    member = np.empty(len(rows), dtype=np.int64)
    for begin in range(0, len(rows), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        similar = vectors[rows[part]] @ centers.T
        member[part] = similar.argmax(1)
        near[part] = similar[np.arange(len(similar)), member[part]]
    return near, member


def _by_size(member: Ints, count: int) -> Iterator[Ints]:
    """Row numbers of each cluster that has any, the largest cluster first."""
    order = np.argsort(member, kind="stable")
    sizes = np.bincount(member, minlength=count)
    ends = np.cumsum(sizes)
    for cluster in np.argsort(-sizes, kind="stable"):
        if sizes[cluster]:
            yield order[ends[cluster] - sizes[cluster] : ends[cluster]]


def _most_central(group: Ints, near: Floats) -> int:
    return int(group[near[group].argmax()])
