"""Clusters of near-duplicates as studio.contract.nearness defines them: MinHash bands, then proof pair by pair.

Each text of a bucket is compared with the bucket's first, what is not near it with the first of the rest, a few rounds
long: time stays linear in the texts, however crowded a bucket is. What it leaves out: near pairs that share no band.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from studio.contract.nearness import (
    BAND_ROWS,
    BANDS,
    PERMUTATIONS,
    SEED,
    SHINGLE,
    is_near,
    numbers,
    template_shingles,
)
from studio.preflight.found import Beat
from studio.preflight.rows import digest

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint16]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0x100000001B3)
_BATCH = 5000
_SAMPLE = 5000
_BLOCK = 1 << 15
_ROUNDS = 6
_ALIKE = 0.4
"""Share of a signature that has to agree before two texts are compared in full: far below that of near ones."""


def near_clusters(texts: Sequence[str], beat: Beat = lambda done, total: None) -> list[int]:
    """The number of each text's cluster: the place of its first text. `texts` are in `normal` form, each different."""
    found, marks = _signatures(texts, beat)
    ignored = template_shingles(texts)
    parent = list(range(len(texts)))
    seen: set[int] = set()
    for band in range(BANDS):
        beat(len(texts) // 2 + (band * len(texts)) // (2 * BANDS), len(texts))
        for one, other in _candidates(found, marks, band):
            _join(texts, parent, seen, ignored, one, other)
    return [_root(parent, place) for place in range(len(texts))]


def _join(
    texts: Sequence[str], parent: list[int], seen: set[int], ignored: Collection[str], one: int, other: int
) -> None:
    """Make two clusters one if the pair is near; no pair is proved twice."""
    first, last = sorted((_root(parent, one), _root(parent, other)))
    key = min(one, other) * len(texts) + max(one, other)
    if first == last or key in seen:
        return
    seen.add(key)
    if is_near(texts[one], texts[other], ignored):
        parent[last] = first


def _root(parent: list[int], place: int) -> int:
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place


def _signatures(texts: Sequence[str], beat: Beat) -> tuple[Signatures, Hashes]:
    """The low 16 bits of each MinHash value [texts, PERMUTATIONS], and a hash of each text's numbers."""
    from rensa import RMinHash

    template = _template(texts)
    found = np.empty((len(texts), PERMUTATIONS), dtype=np.uint16)
    marks = np.empty(len(texts), dtype=np.uint64)
    for at in range(0, len(texts), _BATCH):
        beat(at // 2, len(texts))
        part = texts[at : at + _BATCH]
        tokens, offsets = _shingles(part, template)
        rows = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets, PERMUTATIONS, SEED).to_rows()
        found[at : at + len(part)] = np.array(rows, dtype=np.uint32).reshape(len(part), PERMUTATIONS)
        # A text of which the template leaves nothing is near to none, so it gets a mark of its own.
        empty = offsets[1:] == offsets[:-1]
        told = [f"none {at + place}" if empty[place] else numbers(text) for place, text in enumerate(part)]
        marks[at : at + len(part)] = [int.from_bytes(digest(one)[:8], "little") for one in told]
    return found, marks


def _shingles(texts: Sequence[str], template: Hashes) -> tuple[Hashes, Hashes]:
    """Hashes of all shingles in one row, and where each text's begin; the last number is where all end."""
    padded = [text.ljust(SHINGLE) for text in texts]
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    width = len(codes) - SHINGLE + 1
    windows = np.zeros(max(width, 0), dtype=np.uint64)
    for place in range(SHINGLE):
        windows = (windows ^ codes[place : place + width]) * _STEP
    windows ^= windows >> np.uint64(29)
    windows *= _MIX
    inside = np.ones(len(codes), dtype=np.bool_)
    for back in range(1, SHINGLE):
        inside[np.cumsum(lengths) - back] = False  # these windows reach into the next text
    if len(template):
        inside[:width] &= ~np.isin(windows, template)
    kept = np.concatenate([[0], np.cumsum(inside)])
    return windows[inside[:width]], kept[np.concatenate([[0], np.cumsum(lengths)])].astype(np.uint64)


def _template(texts: Sequence[str]) -> Hashes:
    """Shingles that more than half of the texts have, by the rule of `template_shingles`."""
    if len(texts) < 50:
        return np.zeros(0, dtype=np.uint64)
    sample = texts[:: -(-len(texts) // _SAMPLE)]
    none = np.zeros(0, dtype=np.uint64)
    pieces = np.concatenate([np.unique(_shingles([text], none)[0]) for text in sample])
    found, counts = np.unique(pieces, return_counts=True)
    return found[2 * counts > len(sample)]


def _candidates(found: Signatures, marks: Hashes, band: int) -> Iterator[tuple[int, int]]:
    """Pairs of one bucket of a band whose signatures are alike."""
    part = found[:, band * BAND_ROWS : (band + 1) * BAND_ROWS].astype(np.uint64)
    key = marks.copy()
    for place in range(BAND_ROWS):
        key = (key ^ part[:, place]) * _MIX
        key ^= key >> np.uint64(31)
    left = np.argsort(key, kind="stable")
    buckets = key[left]
    for _ in range(_ROUNDS):
        if not len(left):
            return
        first = np.concatenate([[True], buckets[1:] != buckets[:-1]])
        leader = left[np.maximum.accumulate(np.where(first, np.arange(len(left)), 0))]
        behind = ~first
        one, other, alike = left[behind], leader[behind], _alike(found, left[behind], leader[behind])
        yield from zip(one[alike].tolist(), other[alike].tolist(), strict=True)
        left, buckets = one[~alike], buckets[behind][~alike]


def _alike(found: Signatures, one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
    least = _ALIKE * PERMUTATIONS
    blocks = [
        np.count_nonzero(found[one[at : at + _BLOCK]] == found[other[at : at + _BLOCK]], axis=1) >= least
        for at in range(0, len(one), _BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.bool_)
