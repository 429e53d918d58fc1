"""Which rows go to train, validation and test: seeded, stratified, whole groups, and a test split that only grows.

A group is a prompt with all that must not be parted from it. What was once tested on stays in test whatever the seed
and the fractions are (the held-out set is sticky), so that runs stay comparable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from studio.errors import BadInput
from studio.language import tr

SPLITS = ("train", "validation", "test")


def assign_splits(
    groups: Mapping[str, int],
    validation: float,
    test: float,
    seed: int,
    strata: Mapping[str, str] | None = None,
    held: Collection[str] = (),
) -> dict[str, str]:
    """The split of each group, given its number of rows; `held` groups are in test before anything is chosen.

    Groups stand in the order of a seeded hash of their key, so neither the order of import nor other groups' content
    moves them. Within each stratum the test split is taken from the front, until it has its share, and validation from
    the back. Raises BadInput for fractions out of 0 to 0.9 or of 1 and more together.
    """
    check_fractions(validation, test)
    order = sorted(groups, key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode()).digest())
    assigned = dict.fromkeys(groups, "train")
    assigned.update((key, "test") for key in held)
    members: dict[str, list[str]] = {}
    for key in order:
        members.setdefault(strata[key] if strata else "", []).append(key)
    sizes = {name: sum(groups[key] for key in keys) for name, keys in members.items()}
    enough = len(order) >= 3
    for split, fraction in (("test", test), ("validation", validation)):
        targets = _targets(fraction, sizes, enough)
        for name, keys in members.items():
            _fill(assigned, split, targets[name], keys if split == "test" else keys[::-1], groups)
    if order and "train" not in assigned.values():
        _free_one(assigned, order, held)
    return assigned


def check_fractions(validation: float, test: float) -> None:
    """Raises BadInput when these are no fractions of one dataset."""
    for name, value in (("validation", validation), ("test", test)):
        if not 0 <= value <= 0.9:
            told = {"split": tr(name), "value": value}
            raise BadInput(tr("The {split} fraction must lie between 0 and 0.9; {value:g} does not.", **told))
    if validation + test >= 1:
        raise BadInput("Validation and test take everything: their fractions must add up to less than 1.")


def joined(links: Iterable[Sequence[str]], keys: Iterable[str]) -> dict[str, str]:
    """Keys made one where a link names them together: each key's name is the least of those it is joined with, so it
    depends on nothing but the content. Linear up to a logarithm."""
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for one, *others in links:
        for other in others:
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    return {key: root(key) for key in parent}


def _targets(fraction: float, sizes: Mapping[str, int], enough: bool) -> dict[str, int]:
    """Rows of a split by stratum: each its share, rounded so that they add up to the share of all."""
    total = max(round(fraction * sum(sizes.values())), 1 if fraction and enough else 0)
    exact = {name: fraction * size for name, size in sizes.items()}
    made = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (made[name] - exact[name], -sizes[name], name))
    for name in rest[: max(0, total - sum(made.values()))]:
        made[name] += 1
    return made


def _fill(
    assigned: dict[str, str], split: str, target: int, sequence: Sequence[str], groups: Mapping[str, int]
) -> None:
    taken = sum(groups[key] for key in sequence if assigned[key] == split)
    for key in sequence:
        if taken >= target:
            return
        limit = target if taken else 2 * target  # the first group may be too large, but not by much
        if assigned[key] == "train" and taken + groups[key] <= limit:
            assigned[key] = split
            taken += groups[key]


def _free_one(assigned: dict[str, str], order: Sequence[str], held: Collection[str]) -> None:
    """Something has to be trained on: the free group nearest to the middle, between test's side and validation's."""
    middle = len(order) // 2
    kept = frozenset(held)
    free = [place for place, key in enumerate(order) if key not in kept]
    if free:
        assigned[order[min(free, key=lambda place: abs(place - middle))]] = "train"


def majority(labels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The stratum of each group of (group, label) rows: its most frequent label, of equals the first by name."""
    counts: dict[str, Counter[str]] = {}
    for group, label in labels:
        counts.setdefault(group, Counter())[label] += 1
    return {group: min(found, key=lambda label: (-found[label], label)) for group, found in counts.items()}
