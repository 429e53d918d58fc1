"""Whether prompts of today are like those that were trained on: meaning, length, languages, and topics that are new.

Meaning is compared by the energy distance of the prompts' vectors (Székely and Rizzo 2013, "Energy statistics: a class
of statistics based on distances", J. Statistical Planning and Inference 143, 1249-1272) with a permutation p-value,
which is exact whatever the vectors are like; length by Kolmogorov and Smirnov's test, languages by the distance of
their shares, permuted too. The three p-values are one by Bonferroni, so that one in a hundred looks at equal prompts
alerts at p < 0.01, not three. What it leaves out: where texts and vectors come from (studio.deploy.drifting).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PERMUTATIONS = 999
ALPHA = 0.01
"""A p-value below this is drift."""

_BLOCK = 64
_FAR_QUANTILE = 0.99
_TOPIC_DISTANCE = 0.6
_LEAST_TOPIC = 3
_MOST_FAR = 1000
_MOST_TOPICS = 20
_LEAST_LETTERS = 24
_READ = 400
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Topic:
    """Prompts that are like one another and like nothing that was trained on: `rows` of the window (indices), the ones
    nearest to their middle first; `share` of the window."""

    rows: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class Drift:
    """What two samples of prompts have apart. `p` is of all tests together; `distance` is the energy distance as a
    share of the mean distance between both (0 equal, 1 nothing alike); lengths in characters (medians); `languages`:
    shares before and now; `p_languages` None where texts are too short to tell."""

    p: float
    p_meaning: float
    distance: float
    p_length: float
    length_before: float
    length_now: float
    p_languages: float | None
    languages: dict[str, tuple[float, float]]
    topics: tuple[Topic, ...]

    @property
    def drifted(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p < ALPHA


def compare(before: Floats, now: Floats, texts_before: Sequence[str], texts_now: Sequence[str], seed: int = 0) -> Drift:
    """Hold the prompts of a window against those trained on: vectors of length 1, shapes (m, width) and (n, width),
    and their texts. Both samples should hold each text once: repeated ones are no independent draws."""
    distance, p_meaning = energy_test(before, now, seed=seed)
    long_before, long_now = (np.array([len(text) for text in texts]) for texts in (texts_before, texts_now))
    p_length = _length_test(long_before, long_now)
    languages, p_languages = _language_test(texts_before, texts_now, seed)
    given = [p_meaning, p_length, *([] if p_languages is None else [p_languages])]
    return Drift(
        *(min(1.0, len(given) * min(given)), p_meaning, distance, p_length),
        *(float(np.median(long_before)), float(np.median(long_now)), p_languages, languages),
        unseen_topics(before, now),
    )


def energy_test(before: Floats, now: Floats, permutations: int = PERMUTATIONS, seed: int = 0) -> tuple[float, float]:
    """The energy distance of two samples, as a share of the mean distance between both, and its permutation p-value:
    the share of ways to deal the same rows into two samples that lie as far apart, the observed one included."""
    both = np.concatenate([before, now]).astype(np.float32)
    apart = _distances(both, both)
    rows, first = len(both), len(before)
    totals, whole = apart.sum(axis=1, dtype=np.float64), float(apart.sum(dtype=np.float64))
    rng = np.random.default_rng(seed)
    values = np.empty(permutations + 1)
    mean_between = 1.0
    for start in range(0, permutations + 1, _BLOCK):
        count = min(_BLOCK, permutations + 1 - start)
        dealt = np.zeros((count, rows), np.float32)
        for at in range(count):
            chosen = np.arange(first) if start + at == 0 else rng.permutation(rows)[:first]
            dealt[at, chosen] = 1.0
        inner = ((dealt @ apart) * dealt).sum(axis=1, dtype=np.float64)
        touched = dealt.astype(np.float64) @ totals
        between = (touched - inner) / (first * (rows - first))
        outer = (whole - 2 * touched + inner) / (rows - first) ** 2
        values[start : start + count] = 2 * between - inner / first**2 - outer
        if start == 0:
            mean_between = max(float(between[0]), 1e-12)
    as_far = int((values[1:] >= values[0] - 1e-9 * mean_between).sum())
    return max(0.0, float(values[0]) / (2 * mean_between)), (1 + as_far) / (permutations + 1)


def unseen_topics(before: Floats, now: Floats) -> tuple[Topic, ...]:
    """Groups of prompts that are farther from all that was trained on than 99 of 100 trained prompts are from one
    another, and near each other; the largest first."""
    if len(before) < 2 or not len(now):
        return ()
    own = _distances(before, before)
    np.fill_diagonal(own, np.inf)
    limit = float(np.quantile(own.min(axis=1), _FAR_QUANTILE))
    nearest = _distances(now, before).min(axis=1)
    far = np.flatnonzero(nearest > limit)
    if len(far) < _LEAST_TOPIC:
        return ()
    far = far[np.argsort(-nearest[far], kind="stable")][:_MOST_FAR]
    groups = _groups(now[far])
    found = []
    for group in range(int(groups.max()) + 1):
        members = far[groups == group]
        if len(members) >= _LEAST_TOPIC:
            middle = now[members].mean(axis=0)
            order = np.argsort(-(now[members] @ middle), kind="stable")
            found.append(Topic(tuple(int(row) for row in members[order]), len(members) / len(now)))
    return tuple(sorted(found, key=lambda topic: -len(topic.rows))[:_MOST_TOPICS])


def _groups(vectors: Floats) -> NDArray[np.int64]:
    """The group of each row (n,), from 0: by average linkage of cosine distances."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    apart = np.clip(1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0.0, 2.0)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform((apart + apart.T) / 2, checks=False), "average")
    return np.asarray(fcluster(tree, _TOPIC_DISTANCE, "distance"), np.int64) - 1


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances of rows of length 1: (len(a), len(b))."""
    found: Floats = np.sqrt(np.clip(2.0 - 2.0 * (a @ b.T), 0.0, None)).astype(np.float32)
    return found


def _length_test(before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    from scipy.stats import ks_2samp

    return float(ks_2samp(before, now, method="asymp").pvalue)


def _language_test(
    before: Sequence[str], now: Sequence[str], seed: int
) -> tuple[dict[str, tuple[float, float]], float | None]:
    """Shares of the languages of both samples, and the p-value of their distance; None where too few can be told."""
    told = [[one for text in texts if (one := language_of(text))] for texts in (before, now)]
    if min(map(len, told)) < 10:
        return {}, None
    names = sorted({*told[0], *told[1]})
    counts = [Counter(one) for one in told]
    shares = {name: (counts[0][name] / len(told[0]), counts[1][name] / len(told[1])) for name in names}
    codes = np.array([names.index(one) for part in told for one in part])
    first, rng = len(told[0]), np.random.default_rng(seed)

    def apart(order: NDArray[np.int64]) -> float:
        a, b = (np.bincount(codes[part], minlength=len(names)) for part in (order[:first], order[first:]))
        return float(np.abs(a / first - b / (len(codes) - first)).sum())

    observed = apart(np.arange(len(codes)))
    as_far = sum(apart(rng.permutation(len(codes))) >= observed - 1e-12 for _ in range(PERMUTATIONS))
    return shares, (1 + as_far) / (PERMUTATIONS + 1)


def language_of(text: str) -> str:
    """The likeliest language of a text (ISO 639-1), '' where it is too short to tell."""
    words = _LETTERS.findall(text[:_READ])
    wide = any(ord(word[0]) > 0x24F for word in words)
    if sum(map(len, words)) < (_LEAST_LETTERS // 3 if wide else _LEAST_LETTERS):
        return ""
    import py3langid

    return str(py3langid.classify(" ".join(words))[0])
