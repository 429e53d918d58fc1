"""Labels far rarer than others, and answers of no or one word where the others are sentences.

What it leaves out: labels that look wrong (flipped.py).
"""

from __future__ import annotations

import re
import statistics
from collections import Counter

from studio.preflight.found import Beat, Checked, Found, of
from studio.preflight.rows import Rows

RARE = 0.1
"""A label is rare below this share of the most frequent one's rows."""

_MOST_OF_TWO, _MOST_OF_MANY = 0.8, 0.5
_SENTENCE_WORDS = 5
_USUAL_SHARE = 0.2
_WORD = re.compile(r"\w+")


def check_labels(rows: Rows, beat: Beat) -> Checked:
    """Label imbalance; empty and one-word answers."""
    counts = Counter(name for names in rows.labels for name in names)
    table = [{"label": name, "rows": count, "share": count / len(rows)} for name, count in counts.most_common()]
    found = [one for one in (_imbalance(rows, counts), _short(rows)) if one is not None]
    return Checked(found, {"labels": table} if table else {})


def _imbalance(rows: Rows, counts: Counter[str]) -> Found | None:
    """Names the rows of rare labels, or, where one label has most rows, of all others."""
    if len(counts) < 2:
        return None
    (top, most), (least_name, least) = counts.most_common()[0], counts.most_common()[-1]
    rare = {name for name, count in counts.items() if count < RARE * most}
    ruling = most / sum(counts.values()) > (_MOST_OF_TWO if len(counts) == 2 else _MOST_OF_MANY)
    if not rare and not ruling:
        return None
    weak = rare or set(counts) - {top}
    named = [row for row, names in enumerate(rows.labels) if weak & set(names)]
    many = f"{len(weak):,} of {len(counts):,} labels" if len(weak) > 1 else f"The label '{least_name[:60]}'"
    verb = "have" if len(weak) > 1 else "has"
    text = f"{many} {verb} few rows: '{top[:60]}' has {most:,}, '{least_name[:60]}' {least:,}."
    details = {"most": most, "least": least, "ratio": round(most / least, 1), "rare": sorted(rare)[:50]}
    return Found("imbalance", "warning" if least < 5 or most > 50 * least else "note", text, named, ("back",), details)


def _short(rows: Rows) -> Found | None:
    """Empty answers always, one-word answers where they are few and the usual answer is a sentence."""
    words = [len(_WORD.findall(answer)) for answer in rows.answers]
    empty = [row for row, answer in enumerate(rows.answers) if not answer.strip() and row not in rows.calls]
    one = [row for row, count in enumerate(words) if count == 1]
    if (
        rows.has_labels
        or not words
        or len(one) > _USUAL_SHARE * len(words)
        or statistics.median(words) < _SENTENCE_WORDS
    ):
        one = []
    named = [*empty, *one]
    if not named:
        return None
    kinds = [f"{len(empty):,} empty"] * bool(empty) + [f"{len(one):,} of one word"] * bool(one)
    text = f"{of(len(named), len(rows))} {'has' if len(named) == 1 else 'have'} next to no answer: {', '.join(kinds)}."
    details = {"empty": len(empty), "one_word": len(one)}
    return Found("short-answers", "warning" if empty else "note", text, named, ("back", "drop", "edit"), details)
