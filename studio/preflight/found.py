"""What a check hands back, and the few words that all of its sentences share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.contract.preflight import Repair, Severity

Beat = Callable[[int, int], None]
"""Called now and then with how much of how many a check has done."""


@dataclass(frozen=True)
class Proposal:
    """A text that a repair would write to a field of a row; `before_hash` is the SHA-256 (hex) of what stands there."""

    row: int
    field: str
    before_hash: str
    after: str
    copy: int = 0


@dataclass(frozen=True)
class Found:
    """A finding by row numbers, the worst or first first; `clusters` as long as `rows`, or empty."""

    check: str
    severity: Severity
    text: str
    rows: Sequence[int]
    repairs: tuple[Repair, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    clusters: Sequence[int] = ()
    proposals: Sequence[Proposal] = ()


@dataclass(frozen=True)
class Checked:
    """What one family of checks found, and its tables for the screen."""

    found: Sequence[Found] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


def proposal(row: int, name: str, before: str, after: str, copy: int = 0) -> Proposal:
    """A proposal that does not keep what it replaces."""
    return Proposal(row, name, hashlib.sha256(before.encode("utf-8", "replace")).hexdigest(), after, copy)


def of(count: int, total: int) -> str:
    """Such as "12 of 400 rows (3 %)", at the head of a sentence."""
    return f"{count:,} of {total:,} {'row' if total == 1 else 'rows'} ({percent(count / max(1, total))})"


def percent(share: float) -> str:
    """A share as people read it: "3 %", "0.4 %", "under 0.1 %"."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.01 or 0.99 < share < 1 else f"{100 * share:.0f} %"


def have(count: int) -> str:
    """The verb that goes with a count of rows."""
    return "has" if count == 1 else "have"


def are(count: int) -> str:
    """The verb that goes with a count of rows."""
    return "is" if count == 1 else "are"
