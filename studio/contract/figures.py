"""How figures are written wherever they stand: three digits that count, a sign of its own, chance, counts, durations.

A screen and a page made of the same report must say the same, so both come through here.
"""

from __future__ import annotations


def figure(value: float | None) -> str:
    """A value with three digits that count; '' for None."""
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{figure(abs(value))}"


def between(low: float | None, high: float | None) -> str:
    """The interval of a difference; '' where there is none."""
    return "" if low is None or high is None else f"{signed(low)} to {signed(high)}"


def chance(p: float | None) -> str:
    """How likely such a difference is by chance; '' where nobody can say."""
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3:05 min, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """1 row, 2 rows."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
