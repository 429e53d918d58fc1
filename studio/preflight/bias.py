"""How often identity terms occur, with which labels and in which tone, and copies of rows with those terms exchanged.

Intervals are 95 %: for differences of shares Newcombe's (Statistics in Medicine 17, 1998, method 10, from Wilson
scores), with Cohen's h as effect size; for differences of mean tone Welch's. A difference is only reported when it is
large and its interval, widened for all the comparisons made (Bonferroni), excludes none. What it leaves out: causes.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from studio.contract.preflight import PreflightSpec, Repair
from studio.contract.terms import Terms, parse_terms
from studio.preflight.found import Beat, Checked, Found, Proposal, percent, proposal
from studio.preflight.rows import Rows
from studio.preflight.swaps import swap, swapper
from studio.preflight.tone import tone

_LEAST_ROWS = 20
_LEAST_EFFECT = 0.2
_LEAST_TONE = 0.1
_LABELS_SHOWN = 5
_COPIES = 20_000
_LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """A share of a group's rows against that of the rest: difference with interval, and Cohen's h."""

    share: float
    rest: float
    low: float
    high: float
    effect: float


@dataclass(frozen=True)
class _Group:
    kind: str
    name: str
    rows: list[int]
    labels: list[tuple[str, Difference]]
    tones: tuple[float, float, float, float] | None


def check_bias(rows: Rows, spec: PreflightSpec, beat: Beat) -> Checked:
    """A finding for each group of people that is labeled or spoken of in another way than the rest."""
    terms = parse_terms(spec.terms)
    members, tones = _members(rows, terms, beat)
    tests = max(1, len(members) * (1 + len({name for names in rows.labels for name in names})))
    groups = [_group(rows, kind, name, found, tones) for (kind, name), found in members.items() if found]
    found = []
    for group in groups:
        told = _told(group, rows, tones, tests)
        if told:
            proposals = list(_copies(rows, group, terms))
            repairs: tuple[Repair, ...] = ("augment", "back", "drop") if proposals else ("back", "drop")
            details = {"group": f"{group.kind}/{group.name}", "copies": len({one.row for one in proposals})}
            found.append(Found("bias", "note", told, group.rows, repairs, details, (), proposals))
    table = [_line(rows, group) for group in sorted(groups, key=lambda group: (group.kind, -len(group.rows)))]
    return Checked(found, {"bias": table} if table else {})


def difference(hits: int, of: int, rest_hits: int, rest_of: int, level: float = _LEVEL) -> Difference:
    """Two shares and the interval of their difference. `of` and `rest_of` are above 0."""
    share, rest = hits / of, rest_hits / rest_of
    z = NormalDist().inv_cdf(1 - level / 2)
    (low, high), (rest_low, rest_high) = _wilson(hits, of, z), _wilson(rest_hits, rest_of, z)
    gap = share - rest
    effect = 2 * math.asin(math.sqrt(share)) - 2 * math.asin(math.sqrt(rest))
    below = math.sqrt((share - low) ** 2 + (rest_high - rest) ** 2)
    above = math.sqrt((high - share) ** 2 + (rest - rest_low) ** 2)
    return Difference(share, rest, gap - below, gap + above, effect)


def _wilson(hits: int, of: int, z: float) -> tuple[float, float]:
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def _members(rows: Rows, terms: Terms, beat: Beat) -> tuple[dict[tuple[str, str], list[int]], np.ndarray]:
    """Rows of each group, and the tone of each row: of the answer where answers are texts, else of the input."""
    groups_of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, words in terms.groups.items():
        for word in words:
            groups_of[word].append(key)
    longest = sorted([*groups_of, *terms.never], key=lambda word: (-len(word), word))
    joined = "|".join(map(re.escape, longest))
    finder = re.compile(rf"(?<![\w-])(?:{joined})(?![\w-])" if joined else r"(?!)")
    members: dict[tuple[str, str], list[int]] = {key: [] for key in terms.groups}
    tones = np.zeros(len(rows))
    for row, (asked, said) in enumerate(zip(rows.inputs, rows.answers, strict=True)):
        if row % 500 == 0:
            beat(row, len(rows))
        text = asked if rows.has_labels else f"{asked}\n{said}"
        for key in {key for word in set(finder.findall(text.casefold())) for key in groups_of.get(word, ())}:
            members[key].append(row)
        tones[row] = tone(asked if rows.has_labels else said)
    return members, tones


def _group(rows: Rows, kind: str, name: str, members: list[int], tones: np.ndarray) -> _Group:
    of, rest_of = len(members), len(rows) - len(members)
    if not rest_of:
        return _Group(kind, name, members, [], None)
    inside = Counter(label for row in members for label in rows.labels[row])
    everywhere = _label_counts(rows)
    labels = [(label, difference(inside[label], of, n - inside[label], rest_of)) for label, n in everywhere.items()]
    labels.sort(key=lambda one: -abs(one[1].effect))
    return _Group(kind, name, members, labels, _tones(members, tones, _LEVEL))


def _label_counts(rows: Rows) -> Counter[str]:
    return Counter(label for names in rows.labels for label in names)


def _tones(members: Sequence[int], tones: np.ndarray, level: float) -> tuple[float, float, float, float] | None:
    """Mean tone of the group and of the rest, and the interval of the difference (Welch, normal approximation)."""
    mine = np.zeros(len(tones), dtype=np.bool_)
    mine[list(members)] = True
    if mine.sum() < 2 or (~mine).sum() < 2:
        return None
    own, rest = tones[mine], tones[~mine]
    error = math.sqrt(own.var(ddof=1) / len(own) + rest.var(ddof=1) / len(rest))
    half = NormalDist().inv_cdf(1 - level / 2) * error
    gap = float(own.mean() - rest.mean())
    return float(own.mean()), float(rest.mean()), gap - half, gap + half


def _told(group: _Group, rows: Rows, tones: np.ndarray, tests: int) -> str:
    """What is different about a group, as a sentence; '' where nothing certainly is."""
    of, rest_of = len(group.rows), len(rows) - len(group.rows)
    if of < _LEAST_ROWS or rest_of < _LEAST_ROWS:
        return ""
    head = f"{of:,} of {len(rows):,} rows ({percent(of / len(rows))}) have terms of {group.kind}/{group.name}: "
    for label, shown in group.labels:
        hits, rest_hits = round(shown.share * of), round(shown.rest * rest_of)
        strict = difference(hits, of, rest_hits, rest_of, _LEVEL / tests)
        if abs(shown.effect) >= _LEAST_EFFECT and strict.low * strict.high > 0:
            return (
                f"{head}'{label[:60]}' is the label of {percent(shown.share)} of them and {percent(shown.rest)} "
                f"of the rest ({_points(shown.low)} to {_points(shown.high)} points, h = {shown.effect:.2f})."
            )
    strict_tone = _tones(group.rows, tones, _LEVEL / tests)
    if group.tones and strict_tone and strict_tone[2] * strict_tone[3] > 0:
        own, rest, low, high = group.tones
        if abs(own - rest) >= _LEAST_TONE:
            word = "friendlier" if own > rest else "harsher"
            return (
                f"{head}their tone is {word} than the rest's ({own:.2f} against {rest:.2f}, {low:+.2f} to {high:+.2f})."
            )
    return ""


def _points(share: float) -> str:
    return f"{100 * share:+.0f}"


def _copies(rows: Rows, group: _Group, terms: Terms) -> Iterator[Proposal]:
    """One copy of each row of a group with the kind's terms exchanged in all fields but the label."""
    swaps = terms.swaps.get(group.kind, {})
    finder = swapper(swaps, terms.never)
    if finder is None:
        return
    wanted = set(group.rows[:_COPIES])
    for row, fields in rows.fields():
        if row not in wanted:
            continue
        for name, text in fields:
            if rows.has_labels and name == "answer":
                continue
            if (after := swap(text, swaps, finder)) != text:
                yield proposal(row, name, text, after, 1)


def _line(rows: Rows, group: _Group) -> dict[str, Any]:
    own, rest, low, high = group.tones or (0.0, 0.0, 0.0, 0.0)
    labels = [
        {"label": label, "share": one.share, "rest": one.rest, "low": one.low, "high": one.high, "effect": one.effect}
        for label, one in group.labels[:_LABELS_SHOWN]
    ]
    line: dict[str, Any] = {"kind": group.kind, "group": group.name, "rows": len(group.rows)}
    line |= {"share": len(group.rows) / max(1, len(rows)), "tone": own, "tone_rest": rest}
    return line | {"tone_low": low, "tone_high": high, "labels": labels}
