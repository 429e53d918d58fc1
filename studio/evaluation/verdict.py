"""What the figures say, in one plain sentence, and which rows are wins, ties and losses.

The sentence claims a difference only where interval and permutation test both show one; else it says how many more
held-out examples would be likely to. What it leaves out: how the interval comes about (studio.evaluation.intervals).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from studio.evaluation.intervals import LEVEL, Difference, Sample, paired
from studio.evaluation.power import interval_rows, paired_rows, sign_test_rows

Outcome = Literal["win", "tie", "loss"]
Kind = Literal["better", "worse", "unshown", "same", "unknown"]
"""`unshown`: a difference is there but may be chance; `same`: no row differs; `unknown`: the data cannot say."""

_EQUAL = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """The sentence on top of an evaluation and what it rests on.

    `share`, `low` and `high` are of the rows on which the tuned model did better (worse, where `kind` is "worse"),
    with a 95 % interval; None for a metric without rows. `needed` is how many held-out examples more would be likely
    (80 %) to show a difference as large as the one observed; None where that is no question or there is no number.
    """

    kind: Kind
    sentence: str
    rows: int
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    share: float | None = None
    low: float | None = None
    high: float | None = None
    needed: int | None = None


class Rated(Sample, Protocol):
    """A sample that can also say how good each answer is on its own."""

    @property
    def each(self) -> Floats | None:
        """A number per row (n,) to call a win by, also where the value is not its mean; None: there is none."""


def outcomes(base: Floats, tuned: Floats, higher_better: bool = True) -> tuple[Outcome, ...]:
    """What each row is for the tuned model; differences up to 1e-9 are ties."""
    gaps = _gaps(base, tuned, higher_better)
    return tuple("tie" if abs(gap) <= _EQUAL else "win" if gap > 0 else "loss" for gap in gaps)


def verdict(base: Rated, tuned: Rated, name: str = "the metric", higher_better: bool = True, seed: int = 0) -> Verdict:
    """The verdict on two models that answered the same held-out rows, by one metric called `name`.

    Raises BadInput where the two have different numbers of rows.
    """
    return concluded(paired(base, tuned, seed), base, tuned, name, higher_better)


def concluded(found: Difference, base: Rated, tuned: Rated, name: str, higher_better: bool = True) -> Verdict:
    """The verdict from a difference already computed."""
    if base.each is None or tuned.each is None:
        return _of_sets(found, name, higher_better)
    gaps = _gaps(base.each, tuned.each, higher_better)
    wins, losses = int((gaps > _EQUAL).sum()), int((gaps < -_EQUAL).sum())
    kind = _kind(found, higher_better, wins + losses)
    share, low, high = wilson(losses if kind == "worse" else wins, len(gaps))
    more = _missing(found, gaps if base.rows is not None else None) if kind == "unshown" else None
    if kind in ("better", "worse"):
        sentence = _shown_sentence(kind, found, wins, losses, (share, low, high), name)
    else:
        sentence = _unshown_sentence(kind, found, more)
    ties = len(gaps) - wins - losses
    return Verdict(kind, sentence, len(gaps), wins, ties, losses, share, low, high, more)


def wilson(count: int, rows: int) -> tuple[float, float, float]:
    """A share and its 95 % interval (Wilson 1927, "Probable inference", JASA 22, 209-212); (0, 0, 1) of no rows."""
    from scipy.stats import binomtest

    if rows == 0:
        return 0.0, 0.0, 1.0
    found = binomtest(count, rows).proportion_ci(LEVEL, method="wilson")
    return count / rows, float(found.low), float(found.high)


def _gaps(base: Floats, tuned: Floats, higher_better: bool) -> Floats:
    """Per row, positive where the tuned model did better."""
    gaps = np.asarray(tuned, np.float64) - np.asarray(base, np.float64)
    return gaps if higher_better else -gaps


def _kind(found: Difference, higher_better: bool, differing: int | None) -> Kind:
    if found.p is None:
        return "unknown"
    if differing == 0 or (differing is None and abs(found.difference) <= _EQUAL):
        return "same"
    if not found.shown:
        return "unshown"
    return "better" if (found.difference > 0) == higher_better else "worse"


def _missing(found: Difference, gaps: Floats | None) -> int | None:
    """Held-out rows still missing: by the sign test where all differences have one size, else by the paired mean, and
    from the interval for a metric of the whole set (`gaps` None)."""
    if gaps is None:
        ends = (found.low, found.high)
        rows = None if None in ends else interval_rows(found.difference, *ends, found.rows)  # type: ignore[arg-type]
    elif np.ptp(sizes := np.abs(gaps[np.abs(gaps) > _EQUAL])) <= _EQUAL and len(sizes):
        rows = sign_test_rows(int((gaps > _EQUAL).sum()), int((gaps < -_EQUAL).sum()), len(gaps))
    else:
        mean = float(gaps.mean())
        rows = paired_rows(mean if abs(mean) > _EQUAL else 0.0, float(gaps.std(ddof=1)))
    return None if rows is None else max(1, rows - found.rows)


def _of_sets(found: Difference, name: str, higher_better: bool) -> Verdict:
    """The verdict by a metric that has no rows of its own."""
    kind = _kind(found, higher_better, None)
    if kind in ("better", "worse"):
        return Verdict(kind, f"{kind.capitalize()} {_by(found, name)} on {_answers(found.rows)}.", found.rows)
    more = _missing(found, None) if kind == "unshown" else None
    return Verdict(kind, _unshown_sentence(kind, found, more), found.rows, needed=more)


def _shown_sentence(
    kind: Kind, found: Difference, wins: int, losses: int, share: tuple[float, float, float], name: str
) -> str:
    """Shares of rows, unless the average goes one way and most rows the other: then both are said."""
    other, less, more = ("worse", losses, wins) if kind == "better" else ("better", wins, losses)
    rest = f"{other} on {percent(less / found.rows)}"
    if less > more:
        return f"{kind.capitalize()} {_by(found, name)}, yet {rest} of {_answers(found.rows)} and {kind} on only " + (
            f"{percent(more / found.rows)}."
        )
    between = f"({round(100 * share[1])}–{round(100 * share[2])} %)"
    return f"{kind.capitalize()} on {percent(share[0])} of {_answers(found.rows)} {between}, {rest}."


def _unshown_sentence(kind: Kind, found: Difference, more: int | None) -> str:
    if kind == "unknown":
        return found.reason or "No difference can be shown from these answers."
    if kind == "same":
        return f"No difference: base and tuned model did equally well on each of {_answers(found.rows)}."
    if more is None:
        return "No difference can be shown, and no number of held-out examples is likely to show one."
    return f"No difference can be shown; {_examples(more)} would be needed."


def _by(found: Difference, name: str) -> str:
    if found.low is None or found.high is None:
        return f"by {number(abs(found.difference))} in {name}"
    ends = sorted((abs(found.low), abs(found.high)))
    return f"by {number(abs(found.difference))} ({number(ends[0])} to {number(ends[1])}) in {name}"


def _answers(rows: int) -> str:
    return f"{rows:,} held-out answers"


def _examples(more: int) -> str:
    return "1 more held-out example" if more == 1 else f"{more:,} more held-out examples"


def percent(share: float) -> str:
    """A share as a whole percentage; one that is neither 0 nor 1 is never written as if it were."""
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{round(100 * share)} %"


def number(value: float) -> str:
    """A figure with three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
