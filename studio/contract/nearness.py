"""What counts as a near-duplicate, said once for the preflight that reports them and the splits that join them.

Candidates come from MinHash (rensa) over shingles of SHINGLE characters, cut into BANDS bands of BAND_ROWS; each pair
is then proved by the true Jaccard similarity of shingles of PROOF_SHINGLE characters. Short shingles bear a typo
better, long ones find fewer strangers: hence two lengths. Two texts whose numbers differ are never near: "What is 12 +
5?" is another question than "What is 13 + 5?". What it leaves out: paraphrases, and the MinHash itself."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

SHINGLE = 5
PROOF_SHINGLE = 3
BANDS = 40
BAND_ROWS = 4
PERMUTATIONS = BANDS * BAND_ROWS
SEED = 20_261_122
THRESHOLD = 0.7
"""Least Jaccard similarity of near-duplicates. Of single edits (typo, two words swapped, a word left out, a greeting
put before) to questions of banking77, 98 % stay above it; of its unrelated questions 3 % have another one as near."""

_TEMPLATE_ROWS = 50
_TEMPLATE_SAMPLE = 5000
_NO_WORD = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+")


def normal(text: str) -> str:
    """A text as it is compared: compatibility form, no case, one space for whatever is no letter or digit."""
    return _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def numbers(normalised: str) -> list[str]:
    """The numbers of a text in `normal` form, in order of size as text."""
    return sorted(_NUMBER.findall(normalised))


def shingles(normalised: str, size: int = PROOF_SHINGLE) -> set[str]:
    """All pieces of `size` characters of a text in `normal` form; a shorter text is its own piece, '' has none."""
    if len(normalised) <= size:
        return {normalised} if normalised else set()
    return {normalised[at : at + size] for at in range(len(normalised) - size + 1)}


def template_shingles(normalised: Sequence[str], size: int = PROOF_SHINGLE) -> frozenset[str]:
    """Pieces that more than half of the texts have, such as those of one instruction put before all of them: they say
    nothing about likeness. Counted on at most 5,000 texts, spread evenly; none for fewer than 50 texts."""
    if len(normalised) < _TEMPLATE_ROWS:
        return frozenset()
    sample = normalised[:: -(-len(normalised) // _TEMPLATE_SAMPLE)]
    counts: Counter[str] = Counter()
    for text in sample:
        counts.update(shingles(text, size))
    return frozenset(piece for piece, count in counts.items() if 2 * count > len(sample))


def is_near(a: str, b: str, ignored: Collection[str] = frozenset()) -> bool:
    """Whether two texts in `normal` form are near-duplicates; `ignored` are shingles of PROOF_SHINGLE characters."""
    if a == b:
        return True
    if numbers(a) != numbers(b):
        return False
    one, other = shingles(a).difference(ignored), shingles(b).difference(ignored)
    both = len(one & other)
    return both >= THRESHOLD * (len(one) + len(other) - both) and both > 0
