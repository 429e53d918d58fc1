"""How often the 95 % intervals of studio.evaluation.intervals hold a difference that is known.

    python tests/bench/bench_intervals.py [--rows 20,50,240] [--evaluations 200] [--seed 1] [--only "corpus F1"]

Each world makes base and tuned answers to the same rows, with a difference that follows from the world's own chances
on paper. Printed per world and number of rows: of the evaluations that have an interval, the share in which it holds
that difference (200 evaluations at a true 95 % come out between 92 and 98 % in 95 of 100 tries); how often a difference
is shown, which with equal models is the rate of false alarms; how often there is no interval; and what SciPy's plain
percentile bootstrap and BCa hold of the same evaluations.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from studio.evaluation.intervals import paired  # noqa: E402
from tests.evaluation.samples import Means, answered  # noqa: E402

World = tuple[float, Callable[[Any, int], tuple[Any, Any]]]
"""The true difference, and a maker of base and tuned samples of so many rows."""


def right_or_wrong(wins: float, losses: float) -> World:
    """Scores of 0 and 1; the shares of rows on which the tuned model wins and loses."""

    def made(rng: Any, rows: int) -> tuple[Any, Any]:
        kinds = rng.choice(4, size=rows, p=[wins, losses, 0.6 * (1 - wins - losses), 0.4 * (1 - wins - losses)])
        return Means(np.isin(kinds, (1, 2)) * 1.0), Means(np.isin(kinds, (0, 2)) * 1.0)

    return wins - losses, made


def graded(ties: float) -> World:
    """Scores between 0 and 1, some answers the same; base is Beta(2, 2), tuned Beta(2.5, 2)."""

    def made(rng: Any, rows: int) -> tuple[Any, Any]:
        base, tuned = rng.beta(2, 2, size=rows), rng.beta(2.5, 2, size=rows)
        return Means(base), Means(np.where(rng.random(rows) < ties, base, tuned))

    return (1 - ties) * (2.5 / 4.5 - 0.5), made


def corpus_f1(base: tuple[float, float], tuned: tuple[float, float], share: float = 0.3) -> World:
    """F1 of a class of 30 %; a model is its (recall, false alarms); seven rows of ten are as hard for both."""

    def made(rng: Any, rows: int) -> tuple[Any, Any]:
        truth, hard, other = rng.random(rows) < share, rng.random(rows), rng.random(rows)
        second = np.where(rng.random(rows) < 0.7, hard, other)
        called = [hardness < np.where(truth, *model) for hardness, model in ((hard, base), (second, tuned))]
        return answered(truth, called[0]), answered(truth, called[1])

    def true(recall: float, alarms: float) -> float:
        return 2 * share * recall / (share * recall + share + (1 - share) * alarms)

    return true(*tuned) - true(*base), made


SHARES = np.array([0.35, 0.25, 0.2, 0.12, 0.08])


def macro_f1(base: float, tuned: float) -> World:
    """Macro F1 of five classes, as the studio scores it; a model guesses blindly on its share of the rows."""
    from studio.evaluation.scoring import scored

    names = [f"class {number}" for number in range(len(SHARES))]

    def made(rng: Any, rows: int) -> tuple[Any, Any]:
        truth, hard = rng.choice(len(SHARES), size=rows, p=SHARES), rng.random(rows)
        references = [names[number] for number in truth]
        answers = [np.where(hard < blind, rng.integers(len(SHARES), size=rows), truth) for blind in (base, tuned)]
        sides = [scored("macro_f1", [names[number] for number in side], references, names) for side in answers]
        return sides[0], sides[1]

    def true(blind: float) -> float:
        right, called = SHARES * (1 - blind + blind / 5), SHARES * (1 - blind) + blind / 5
        return float(np.mean(2 * right / (SHARES + called)))

    return true(tuned) - true(base), made


WORLDS: dict[str, World] = {
    "right or wrong": right_or_wrong(0.20, 0.10),
    "right or wrong, few differ": right_or_wrong(0.05, 0.02),
    "right or wrong, equal": right_or_wrong(0.12, 0.12),
    "graded": graded(0.0),
    "graded, mostly ties": graded(0.7),
    "corpus F1": corpus_f1((0.60, 0.10), (0.72, 0.08)),
    "corpus F1, equal": corpus_f1((0.65, 0.10), (0.65, 0.10)),
    "macro F1, five classes": macro_f1(0.40, 0.30),
}
KINDS = ("right or wrong", "graded", "corpus F1")
"""The worlds of the test's short form."""


def covered(name: str, rows: int, evaluations: int, seed: int) -> float:
    """The share of evaluations whose interval holds the true difference."""
    return measured(name, rows, evaluations, seed)[0]


def measured(name: str, rows: int, evaluations: int, seed: int, others: bool = False) -> tuple[float, ...]:
    """Shares: our interval holds the truth where there is one, a difference is shown, there is no interval; with
    `others` plain percentile and BCa hold the truth where there is one of ours.
    """
    true, made = WORLDS[name]
    rng = np.random.default_rng(seed)
    held, shown, none = [], [], []
    for number in range(evaluations):
        base, tuned = made(rng, rows)
        found = paired(base, tuned, seed=number, swaps=499 if others else 49)
        shown.append(found.shown)
        none.append(found.low is None or found.high is None)
        if found.low is not None and found.high is not None:
            ours = found.low <= true <= found.high
            held.append((ours, *(plain(base, tuned, true, number, how) for how in METHODS if others)))
    shares = [float(share) for share in np.mean(held, axis=0)]
    return shares[0], float(np.mean(shown)), float(np.mean(none)), *shares[1:]


METHODS = ("percentile", "BCa")


def plain(base: Any, tuned: Any, true: float, seed: int, method: str) -> bool:
    """Whether SciPy's own interval holds the truth; one that is no number does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (np.arange(len(base)),),
            lambda chosen, axis: gap(base, tuned, chosen),
            vectorized=True,
            method=method,
            n_resamples=999,
            batch=200,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return bool(found.low <= true <= found.high)


def gap(base: Any, tuned: Any, chosen: Any) -> Any:
    """The difference of the metric over rows, in the shape that SciPy asks for."""
    rows = np.atleast_2d(chosen)
    return (tuned.resampled(rows) - base.resampled(rows)).reshape(chosen.shape[:-1])


def main(arguments: Sequence[str] | None = None) -> dict[tuple[str, int], tuple[float, ...]]:
    """Print the table; shares by world and rows: held, shown, none, percentile, BCa."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: [int(word) for word in text.split(",")], default=[20, 50, 240])
    parser.add_argument("--evaluations", type=int, default=200, help="of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="worlds whose name has this in it")
    options = parser.parse_args(arguments)
    print(f"{'':30}{'rows':>6}{'holds %':>9}{'shown %':>9}{'none %':>8}{'percentile %':>14}{'BCa %':>8}")
    found = {}
    for name in (name for name in WORLDS if options.only in name):
        for rows in options.rows:
            shares = measured(name, rows, options.evaluations, options.seed, others=True)
            found[name, rows] = shares
            print(
                f"{name:30}{rows:>6}"
                + "".join(f"{100 * s:>{w}.1f}" for s, w in zip(shares, (9, 9, 8, 14, 8), strict=True))
            )
    return found


if __name__ == "__main__":
    main()
