"""One number a row for answers in words: exact match and token F1 as SQuAD has them, ROUGE-1, ROUGE-2 and ROUGE-L."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from studio.evaluation.counting.parts import Floats
from studio.evaluation.counting.words import Reference, answer_tokens, every, normal_answer, words


def exact_rows(predictions: Sequence[str], references: Sequence[Reference]) -> Floats:
    """1 where an answer is the reference but for case, punctuation, articles and white space (SQuAD 1.1), else 0."""
    return _each(lambda said, wanted: float(normal_answer(said) == normal_answer(wanted)), predictions, references)


def token_f1_rows(predictions: Sequence[str], references: Sequence[Reference]) -> Floats:
    """F1 of the words that answer and reference share (SQuAD 1.1), 0 to 1; 1 where both have none (SQuAD 2.0)."""
    return _each(lambda said, wanted: _overlap(answer_tokens(said), answer_tokens(wanted)), predictions, references)


def rouge_rows(predictions: Sequence[str], references: Sequence[Reference], kind: str) -> Floats:
    """F-measure of ROUGE (Lin 2004), 0 to 1; `kind` is rouge1, rouge2 or rougeL. No stemming.

    ROUGE-1 and -2 are rouge_score's. ROUGE-L takes the length of the longest common subsequence from `common_length`,
    a hundred times faster on long texts than rouge_score's table.
    """
    if kind == "rougeL":
        return _each(lambda said, wanted: _rouge_l(words(said), words(wanted)), predictions, references)
    scorer = rouge_scorer([kind])
    return _each(lambda said, wanted: float(scorer.score(wanted, said)[kind].fmeasure), predictions, references)


def rouge_scorer(kinds: Sequence[str]) -> Any:
    """rouge_score's scorer over the words of every script."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(kinds), tokenizer=_Words())


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, 64 cells and more at a time (Hyyrö 2004: bit-parallel, in whole
    numbers of any length)."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    mask = (1 << len(one)) - 1
    row = mask
    for word in other:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & mask
    return len(one) - row.bit_count()


class _Words:
    """The interface that rouge_score wants of a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return words(text)


def _each(score: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[Reference]) -> Floats:
    """`score` of each answer with the reference that suits it best."""
    pairs = zip(predictions, references, strict=True)
    return np.array([max(score(said, text) for text in every(wanted)) for said, wanted in pairs], np.float64)


def _overlap(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return float(list(said) == list(wanted))
    same = (Counter(said) & Counter(wanted)).total()
    return 2 * same / (len(said) + len(wanted))


def _rouge_l(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return 0.0
    return 2 * common_length(said, wanted) / (len(said) + len(wanted))
