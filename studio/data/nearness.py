"""Which texts are nearly the same, by the definition of studio.contract.nearness, in time linear in the texts.

Texts wait on the disk, so memory holds their MinHash signatures alone (2 bytes a value). What is linked does not depend
on the order in which the texts came. What it leaves out: pairs that share no band, or a bucket with a nearer one only.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from studio.contract.nearness import (
    BAND_ROWS,
    BANDS,
    PERMUTATIONS,
    SEED,
    SHINGLE,
    is_near,
    normal,
    numbers,
    template_shingles,
)

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_ALIKE = 0.45
"""Share of a signature that has to agree before two texts are compared in full: far below that of near ones."""

_ROUNDS = 8
_BLOCK = 1 << 15
_BATCH = 5000
_SAMPLE = 5000


class NearTexts:
    """Texts in a file that is read at random, compared once all are there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offsets = array("q", [0])

    def add(self, text: str) -> None:
        """Take a text up."""
        stored = normal(text).encode("utf-8", "replace")
        self._file.write(stored)
        self._offsets.append(self._offsets[-1] + len(stored))

    def links(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Texts that are nearly the same, as pairs of their keys: each with the first of its cluster.

        `keys` (a hash of each text) decide what is compared with what. Near texts and what is near to them are one
        cluster. A text without any word is near to none.
        """
        self._file.flush()
        order = np.argsort(np.array(keys, dtype=np.bytes_), kind="stable").tolist()
        sample = [self._text(place) for place in order[:: max(1, -(-len(order) // _SAMPLE))]]
        found, marks = self._signatures(_template(sample))
        clusters = _Clusters(len(order))
        ignored = template_shingles(sample)
        for band in range(BANDS):
            for one, other in _candidates(found, marks, np.array(order, dtype=np.int64), band):
                if clusters.fresh(one, other) and is_near(self._text(one), self._text(other), ignored):
                    clusters.join(one, other)
        return [(keys[first], keys[other]) for first, other in clusters.pairs(order)]

    def _text(self, place: int) -> str:
        start = self._offsets[place]
        return os.pread(self._file.fileno(), self._offsets[place + 1] - start, start).decode("utf-8")

    def _signatures(self, template: Words) -> tuple[npt.NDArray[np.uint16], Words]:
        """MinHash signatures [texts, PERMUTATIONS], the low 16 bits of each value (alike by chance in 1 of 65,536), and
        a hash of each text's numbers."""
        from rensa import RMinHash

        count = len(self._offsets) - 1
        found = np.empty((count, PERMUTATIONS), dtype=np.uint16)
        marks = np.empty(count, dtype=np.uint64)
        for at in range(0, count, _BATCH):
            texts = [self._text(place) for place in range(at, min(at + _BATCH, count))]
            tokens, offsets = _shingles(texts, template)
            rows = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets, PERMUTATIONS, SEED).to_rows()
            found[at : at + len(texts)] = np.array(rows, dtype=np.uint32).astype(np.uint16)
            marks[at : at + len(texts)] = [_mark(text, at + place) for place, text in enumerate(texts)]
        return found, marks


class _Clusters:
    """Which texts are one cluster so far, and which pairs were looked at."""

    def __init__(self, count: int) -> None:
        self._parent = array("q", range(count))
        self._seen: set[int] = set()

    def fresh(self, one: int, other: int) -> bool:
        """Whether this pair can tell anything new."""
        if self._root(one) == self._root(other):
            return False
        key = min(one, other) * len(self._parent) + max(one, other)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def join(self, one: int, other: int) -> None:
        """Make two clusters one."""
        self._parent[self._root(one)] = self._root(other)

    def pairs(self, order: Sequence[int]) -> list[tuple[int, int]]:
        """The first of each cluster, in an order, with each of its others."""
        first: dict[int, int] = {}
        found = [(first.setdefault(self._root(place), place), place) for place in order]
        return [(one, other) for one, other in found if one != other]

    def _root(self, place: int) -> int:
        parent = self._parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place


def _mark(text: str, place: int) -> int:
    """Texts with other numbers are never near; one without any word gets a mark of its own."""
    told = repr(numbers(text)) if text else f"none {place}"
    return int.from_bytes(blake2b(told.encode(), digest_size=8).digest(), "little")


def _template(sample: Sequence[str]) -> Words:
    """Shingles that more than half of some texts have; none for fewer than 50, as in `template_shingles`."""
    if len(sample) < 50:
        return np.zeros(0, dtype=np.uint64)
    pieces = np.concatenate([np.unique(_shingles([text], None)[0]) for text in sample])
    values, counts = np.unique(pieces, return_counts=True)
    return np.asarray(values[2 * counts > len(sample)], dtype=np.uint64)


def _shingles(texts: Sequence[str], template: Words | None) -> tuple[Words, Words]:
    """The shingles (SHINGLE bytes) of all texts as numbers in a row, and where each text's begin and the last's end."""
    encoded = [text.encode("utf-8").ljust(SHINGLE) for text in texts]
    lengths = np.array([len(one) for one in encoded], dtype=np.int64)
    flat = np.frombuffer(b"".join(encoded), dtype=np.uint8).astype(np.uint64)
    width = len(flat) - SHINGLE + 1
    windows = np.zeros(width, dtype=np.uint64)
    for place in range(SHINGLE):
        windows |= flat[place : place + width] << np.uint64(8 * place)
    windows *= _MIX
    windows ^= windows >> np.uint64(29)
    inside = np.ones(len(flat), dtype=np.bool_)
    for back in range(1, SHINGLE):
        inside[np.cumsum(lengths) - back] = False  # these windows reach into the next text
    inside = inside[:width]
    owners = np.repeat(np.arange(len(texts)), lengths)[:width]
    if template is not None and len(template):
        inside &= ~np.isin(windows, template)
    sizes = np.bincount(owners[inside], minlength=len(texts))
    return windows[inside], np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)


def _candidates(found: Any, marks: Words, order: Ints, band: int) -> Iterator[tuple[int, int]]:
    """Pairs that share a band and their numbers, and whose signatures agree far enough.

    In each bucket every text meets the first by key; those that are not like it begin again among themselves.
    """
    key = marks[order]
    for place in range(band * BAND_ROWS, (band + 1) * BAND_ROWS):
        key = (key ^ found[order, place].astype(np.uint64)) * _MIX
        key ^= key >> np.uint64(31)
    by_key = np.argsort(key, kind="stable")
    left, buckets = order[by_key], key[by_key]
    for _ in range(_ROUNDS):
        if not len(left):
            return
        first = np.concatenate([[True], buckets[1:] != buckets[:-1]])
        leader = left[np.maximum.accumulate(np.where(first, np.arange(len(left)), 0))]
        followers = np.flatnonzero(~first)
        alike = _alike(found, left[followers], leader[followers])
        yield from zip(left[followers[alike]].tolist(), leader[followers[alike]].tolist(), strict=True)
        left, buckets = left[followers[~alike]], buckets[followers[~alike]]


def _alike(found: Any, one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
    least = _ALIKE * PERMUTATIONS
    blocks = [
        np.count_nonzero(found[one[at : at + _BLOCK]] == found[other[at : at + _BLOCK]], axis=1) >= least
        for at in range(0, len(one), _BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.bool_)
