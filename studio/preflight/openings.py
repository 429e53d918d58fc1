"""Answers that refuse, and answers that begin like many others: what a model picks up first.

What it leaves out: refusals in other words than the usual ones, and endings.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from studio.contract.refusals import head_of, refuses
from studio.preflight.found import Beat, Checked, Found, are, of, percent
from studio.preflight.rows import Rows

_LEAST_WORDS, _MOST_WORDS = 4, 8
_LEAST_ROWS, _LEAST_SHARE = 12, 0.03
_STOCK_ROWS, _STOCK_SHARE = 5, 0.01
_SHOWN = 10

_STOCK = re.compile(
    r"^\W*(?:(?:sure|certainly|absolutely|of course|gladly|great question|good question|excellent question"
    r"|i'd be happy to|i would be happy to|i'm happy to|happy to help"
    r"|thank you for (?:your question|reaching out|asking)"
    r"|thanks for (?:asking|reaching out)|as an? (?:ai|large language|language) (?:\w+ )?model|as an ai"
    r"|here(?:'s| is| are) (?:a|an|the|your|some)\b)[^\w]?)"
)
"""Openings that chat models are known for."""

_TOKEN = re.compile(r"\S+")


def check_openings(rows: Rows, beat: Beat) -> Checked:
    """Refusals and boilerplate openings, where answers are texts."""
    if rows.has_labels:
        return Checked()
    heads = [head_of(answer) for answer in rows.answers]
    refusing = [row for row, answer in enumerate(rows.answers) if refuses(answer)]
    beat(1, 2)
    found = [one for one in (_refusals(rows, refusing), _boilerplate(rows, heads, set(refusing))) if one is not None]
    return Checked(found)


def _refusals(rows: Rows, named: Sequence[int]) -> Found | None:
    if not named:
        return None
    text = f"{of(len(named), len(rows))} {are(len(named))} answered with a refusal, which a model learns fast."
    return Found("refusals", "warning", text, named, ("drop", "back", "edit"))


def _boilerplate(rows: Rows, heads: Sequence[str], refusing: set[int]) -> Found | None:
    """Rows that begin with words that many begin with, the most usual opening first."""
    openings: dict[str, list[int]] = {}
    stock: dict[str, list[int]] = defaultdict(list)
    for row, head in enumerate(heads):
        if row not in refusing and (match := _STOCK.match(head)):
            stock[match.group().strip(" \t\n,.!:;*\"'")].append(row)
    if sum(map(len, stock.values())) >= max(_STOCK_ROWS, _STOCK_SHARE * len(rows)):
        openings.update(stock)
    openings.update(_repeated(heads, refusing))
    named = dict.fromkeys(row for _, group in sorted(openings.items(), key=lambda one: -len(one[1])) for row in group)
    if not named:
        return None
    top = max(openings, key=lambda one: len(openings[one]))
    text = f"{of(len(named), len(rows))} begin like many others: {len(openings[top]):,} with “{top[:80]}”."
    listed = [{"opening": one[:120], "rows": len(group)} for one, group in openings.items()]
    details: dict[str, Any] = {"openings": sorted(listed, key=lambda one: -int(str(one["rows"])))[:_SHOWN]}
    share = len(named) / len(rows)
    details["share"] = percent(share)
    return Found("boilerplate", "note", text, list(named), ("back", "edit", "drop"), details)


def _repeated(heads: Sequence[str], refusing: set[int]) -> dict[str, list[int]]:
    """First words that many rows share: of each family of openings the longest that still has nearly all of its
    rows."""
    words = [_TOKEN.findall(head)[: _MOST_WORDS + 1] for head in heads]
    least = max(_LEAST_ROWS, _LEAST_SHARE * len(heads))
    counts: Counter[tuple[str, ...]] = Counter()
    said: set[str] = set()
    for row, first in enumerate(words):
        if row not in refusing and heads[row] not in said:
            said.add(heads[row])  # one answer many times over is a duplicate, not an opening
            counts.update(tuple(first[:n]) for n in range(_LEAST_WORDS, min(_MOST_WORDS, len(first) - 1) + 1))
    usual = {opening: count for opening, count in counts.items() if count >= least}
    longest = {
        opening
        for opening, count in usual.items()
        if not any(
            longer[: len(opening)] == opening and usual[longer] > 0.8 * count
            for longer in usual
            if len(longer) > len(opening)
        )
    }
    found: dict[str, list[int]] = defaultdict(list)
    for row, first in enumerate(words):
        if row in refusing:
            continue
        for n in range(_LEAST_WORDS, _MOST_WORDS + 1):
            if tuple(first[:n]) in longest and len(first) > n:
                found[" ".join(first[:n])].append(row)
                break
    return found
