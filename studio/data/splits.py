"""Which rows go to train, validation and test: seeded, the same for the same content, one prompt in one split only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from studio.errors import BadInput

SPLITS = ("train", "validation", "test")


def assign_splits(groups: Mapping[str, int], validation: float, test: float, seed: int) -> dict[str, str]:
    """The split of each group, given its number of rows.

    Groups stand in the order of a seeded hash of their key, so neither the order of import nor other groups' content
    moves them. The test split is taken from the front and validation from the back: when a project grows, the front
    mostly stays the front, and a prompt once tested on rarely becomes one trained on. Raises BadInput for fractions
    out of 0 to 0.9 or of 1 and more together.
    """
    check_fractions(validation, test)
    rows = sum(groups.values())
    order = sorted(groups, key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode()).digest())
    assigned = dict.fromkeys(groups, "train")
    enough = len(order) >= 3
    for split, fraction, sequence in (("test", test, order), ("validation", validation, order[::-1])):
        _fill(assigned, split, _target(fraction, rows, enough), sequence, groups)
    if order and "train" not in assigned.values():
        assigned[order[len(order) // 2]] = "train"
    return assigned


def check_fractions(validation: float, test: float) -> None:
    """Raises BadInput when these are no fractions of one dataset."""
    for name, value in (("validation", validation), ("test", test)):
        if not 0 <= value <= 0.9:
            raise BadInput(f"The {name} fraction must lie between 0 and 0.9; {value:g} does not.")
    if validation + test >= 1:
        raise BadInput("Validation and test take everything: their fractions must add up to less than 1.")


def _target(fraction: float, rows: int, enough: bool) -> int:
    return max(round(fraction * rows), 1 if fraction and enough else 0)


def _fill(assigned: dict[str, str], split: str, target: int, sequence: list[str], groups: Mapping[str, int]) -> None:
    taken = 0
    for key in sequence:
        if taken >= target:
            return
        limit = target if taken else 2 * target  # the first group may be too large, but not by much
        if assigned[key] == "train" and taken + groups[key] <= limit:
            assigned[key] = split
            taken += groups[key]
