"""The same row twice, nearly the same row twice, one input with different answers, and inputs that two splits share.

Within a split they are duplicates, across splits leaks. What it leaves out: paraphrases in other words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from studio.contract.nearness import normal
from studio.contract.preflight import Severity
from studio.preflight.found import Beat, Checked, Found, are, of
from studio.preflight.near import near_clusters
from studio.preflight.rows import Rows, answer_turn, digest, plain

_GROUPS_SHOWN = 20
_HELD_OUT = ("test", "validation")


def check_duplicates(rows: Rows, beat: Beat) -> Checked:
    """Exact duplicates, near-duplicates, conflicts and leaks."""
    whole, asked, said, looks = _keys(rows)
    exact = _repeats(list(zip(rows.splits, whole, strict=True)))
    again = {row for group in exact for row in group[1:]}
    near = _near(rows, looks, beat)
    found = [
        _found_repeats(rows, "exact-duplicates", exact, "the same as an earlier row, word for word"),
        _found_repeats(rows, "near-duplicates", _near_groups(rows, near, asked, again), "nearly the same as another"),
        _found_conflicts(rows, asked, said, again),
        _found_leaks(rows, near),
    ]
    return Checked([one for one in found if one is not None])


def _keys(rows: Rows) -> tuple[list[bytes], list[bytes], list[bytes], list[tuple[str, str]]]:
    """By row: a hash of all of it, of what is asked, of what is answered; and the texts to compare: turns, context."""
    whole, asked, said, looks = [], [], [], []
    contexts = ["\n".join(text for name, text in fields if name == "context") for _, fields in rows.fields()]
    for row, (turns, rejected, tools) in enumerate(rows.conversations()):
        at = answer_turn(turns)
        shown = [[turn["role"], turn["content"] or "", turn.get("extra") or ""] for turn in turns]
        answer = turns[at]["content"] or "" if at < len(turns) else ""
        choices = sorted((plain(answer), plain(rejected))) if rejected else []
        whole.append(digest(shown, [bool(turn.get("train")) for turn in turns], rejected, tools))
        asked.append(digest([[role, plain(text), extra] for role, text, extra in shown[:at]], choices, tools))
        said.append(digest(plain(answer), [turn.get("extra") or "" for turn in turns[at:]]))
        question = rows.inputs[row].replace(f"{contexts[row]}\n\n", "", 1) if contexts[row] else rows.inputs[row]
        looks.append((normal("\n".join((question, *choices))), normal(contexts[row])))
    return whole, asked, said, looks


def _near(rows: Rows, looks: Sequence[tuple[str, str]], beat: Beat) -> list[Hashable]:
    """The cluster of each row: turns nearly the same, and contexts nearly the same. Rows without words have their
    own."""
    number: dict[str, int] = {}
    for pair in looks:
        for text in pair:
            number.setdefault(text, len(number))
    clusters = near_clusters(list(number), beat)
    return [
        (clusters[number[one]], clusters[number[other]]) if one or other else ("empty", row)
        for row, (one, other) in enumerate(looks)
    ]


def _repeats(keys: Sequence[Hashable]) -> list[list[int]]:
    """Rows with one key, where there are several."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[key].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _near_groups(rows: Rows, near: Sequence[Hashable], asked: Sequence[bytes], again: set[int]) -> list[list[int]]:
    """Groups of near-duplicates in a split: the first row, then those that ask nearly, but not wholly, the same."""
    groups = []
    for group in _repeats(list(zip(rows.splits, near, strict=True))):
        others = [row for row in group[1:] if row not in again and asked[row] != asked[group[0]]]
        if others:
            groups.append([group[0], *others])
    return groups


def _found_repeats(rows: Rows, check: str, groups: list[list[int]], words: str) -> Found | None:
    """A finding that names all but the first of each group: those that can go."""
    named = [(row, number) for number, group in enumerate(groups) for row in group[1:]]
    if not named:
        return None
    many = f"{len(groups):,} {'group' if len(groups) == 1 else 'groups'}"
    details: dict[str, Any] = {"groups": len(groups), "examples": _shown(rows, groups)}
    if rows.has_labels:
        details["groups_with_different_labels"] = sum(len({rows.labels[row] for row in one}) > 1 for one in groups)
    text = f"{of(len(named), len(rows))} {are(len(named))} {words}, in {many}."
    numbers = [number for _, number in named]
    return Found(check, "warning", text, [row for row, _ in named], ("drop", "back"), details, numbers)


def _found_conflicts(rows: Rows, asked: Sequence[bytes], said: Sequence[bytes], again: set[int]) -> Found | None:
    groups = []
    for group in _repeats(asked):
        kept = [row for row in group if row not in again]
        if len({said[row] for row in kept}) > 1:
            groups.append(kept)
    named = [(row, number) for number, group in enumerate(groups) for row in group]
    if not named:
        return None
    inputs = "1 input has" if len(groups) == 1 else f"{len(groups):,} inputs have"
    text = f"{of(len(named), len(rows))} contradict each other: {inputs} different answers."
    details = {"groups": len(groups), "examples": _shown(rows, groups)}
    severity: Severity = "warning" if rows.has_labels or rows.task == "preference" else "note"
    return Found(
        "conflicts", severity, text, [row for row, _ in named], ("back", "drop"), details, [group for _, group in named]
    )


def _found_leaks(rows: Rows, near: Sequence[Hashable]) -> Found | None:
    """Rows of training (or of validation, where test has them too) whose input another split has."""
    named: list[tuple[int, int]] = []
    pairs: dict[str, int] = defaultdict(int)
    groups: list[list[int]] = []
    for group in _repeats(near):
        splits = {rows.splits[row] for row in group} - {""}
        held = next((split for split in _HELD_OUT if split in splits), "")
        if len(splits) < 2 or not held:
            continue
        for row in group:
            if rows.splits[row] not in ("", held):
                named.append((row, len(groups)))
                pairs[f"{rows.splits[row]} and {held}"] += 1
        groups.append(group)
    if not named:
        return None
    text = (
        f"{of(len(named), len(rows))} {are(len(named))} also in a held-out split, word for word or nearly, so scores "
        "on it would be too good."
    )
    details = {"groups": len(groups), "pairs": dict(pairs), "examples": _shown(rows, groups)}
    numbers = [number for _, number in named]
    return Found("leaks", "error", text, [row for row, _ in named], ("drop", "back"), details, numbers)


def _shown(rows: Rows, groups: Sequence[Sequence[int]]) -> list[list[str]]:
    """The ids of a few groups, the kept row first."""
    return [[rows.ids[row] for row in group[:_GROUPS_SHOWN]] for group in groups[:_GROUPS_SHOWN]]
