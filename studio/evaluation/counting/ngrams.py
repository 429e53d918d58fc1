"""BLEU and chrF of any set of rows from what each row adds: sacrebleu counts the n-grams, the formulas are here for
many sums at once (held against sacrebleu by the tests).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from studio.evaluation.counting.parts import Floats, Sums
from studio.evaluation.counting.words import UNSPACED, Reference, every, mostly

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff]")
_ORDERS = 4
_CHARACTER_ORDERS = 6
_BETA = 2


def tokenizer_for(references: Sequence[Reference]) -> str:
    """sacrebleu's tokenizer for the language of the references: "zh" for Chinese, "char" for other scripts without
    spaces (its own for Japanese needs MeCab), else "13a", its default."""
    texts = [text for reference in references for text in every(reference)]
    if not mostly(texts, UNSPACED):
        return "13a"
    return "zh" if mostly(texts, _HAN) and not any(_KANA.search(text) for text in texts) else "char"


def bleu_sums(predictions: Sequence[str], references: Sequence[Reference]) -> Sums:
    """Counts [n, 10] of each row: its length, its reference's, n-grams that are right and n-grams, n from 1 to 4."""
    from sacrebleu.metrics import BLEU

    return Sums(_counted(BLEU(tokenize=tokenizer_for(references)), predictions, references), bleu)


def chrf_sums(predictions: Sequence[str], references: Sequence[Reference]) -> Sums:
    """Counts [n, 18] of each row: n-grams of characters, of its reference, and in both, n from 1 to 6."""
    from sacrebleu.metrics import CHRF

    return Sums(_counted(CHRF(), predictions, references), chrf)


def by_set(references: Sequence[Reference]) -> list[list[Any]]:
    """References as sacrebleu's corpus scores take them: the first of every row, the second of every row, …, None where
    a row has fewer."""
    rows = [every(reference) for reference in references]
    return [[row[at] if at < len(row) else None for row in rows] for at in range(max(map(len, rows)))]


def bleu(sums: Floats, effective: bool = False) -> Floats:
    """BLEU (Papineni et al. 2002), 0 to 100, with sacrebleu's default smoothing "exp": sums [B, 10] to [B].

    `effective`: only the orders that a short text has, which is how one sentence is scored.
    """
    said, wanted = sums[:, 0], sums[:, 1]
    right, total = sums[:, 2 : 2 + _ORDERS], sums[:, 2 + _ORDERS :]
    missed = (right == 0) & (total > 0)
    smooth = np.where(missed, 1 / 2.0 ** np.cumsum(missed, axis=1), right)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(total > 0, np.log(100 * smooth / total), 0.0 if effective else -np.inf)
        brief = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
    orders = np.maximum((total > 0).sum(axis=1), 1) if effective else _ORDERS
    score = np.where(said > 0, brief, 0.0) * np.exp(logs.sum(axis=1) / orders)
    return np.where(right.any(axis=1), score, 0.0)


def chrf(sums: Floats) -> Floats:
    """chrF2 (Popović 2015), 0 to 100, means over the orders that both sides have: sums [B, 18] to [B]."""
    counts = sums.reshape(len(sums), _CHARACTER_ORDERS, 3)
    said, wanted, both = counts[..., 0], counts[..., 1], counts[..., 2]
    has = (said > 0) & (wanted > 0)
    orders = np.maximum(has.sum(axis=1), 1)
    precision = np.where(has, both / np.maximum(said, 1), 0.0).sum(axis=1) / orders
    recall = np.where(has, both / np.maximum(wanted, 1), 0.0).sum(axis=1) / orders
    below = _BETA**2 * precision + recall
    return np.where(below > 0, 100 * (1 + _BETA**2) * precision * recall / np.where(below > 0, below, 1), 0.0)


def _counted(metric: Any, predictions: Sequence[str], references: Sequence[Reference]) -> Floats:
    """What sacrebleu counts in each row. These methods are its own hooks for metrics, named with an underscore; its
    version is pinned and a test holds the sums against its corpus score."""
    rows = []
    for prediction, reference in zip(predictions, references, strict=True):
        wanted = metric._extract_reference_info([metric._preprocess_segment(text) for text in every(reference)])
        rows.append(metric._compute_segment_statistics(metric._preprocess_segment(prediction), wanted))
    return np.array(rows, dtype=np.float64)
