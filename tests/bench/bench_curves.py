"""How often the intervals of studio.evaluation.curves hold the score that a run then has.

    python tests/bench/bench_curves.py [--curves 100] [--data ../shared/data/banking77] [--embeddings FOLDER]

Made-up curves: exponents, heights and noise drawn at random, four nested parts up to a half, the whole predicted;
beside it the interval of a least-squares fit with a parametric bootstrap. Then banking77, where its files are: a ridge
classifier on TF-IDF (or on `banking77-{train,test}-minilm.npy` in FOLDER) is trained on 1/8, 1/4, 3/8 and 1/2 of 1,000,
3,000 and all rows, each in several orders, and its accuracy on the whole is predicted.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from studio.evaluation.curves import Noise, Point, fitted, more_labels, predicted  # noqa: E402

PARTS = np.array([0.125, 0.25, 0.375, 0.5])
NOISE = Noise(0.004, 0.3)


def made_up(rng: Any, labels: int = 8000) -> tuple[list[Point], float, float]:
    """Four points of a random curve with noise carried along, the score then measured on all, and the true one."""
    while True:
        exponent, first, last = rng.uniform(0.2, 1.2), rng.uniform(0.3, 0.6), rng.uniform(0.7, 0.93)
        at = np.append(PARTS, 1.0) * labels
        scale = (last - first) / (at[0] ** -exponent - at[-1] ** -exponent)
        ceiling = last + scale * at[-1] ** -exponent
        if ceiling <= 1:
            break
    true = ceiling - scale * at**-exponent
    taken = np.cumsum(rng.normal(size=5) * np.sqrt(np.diff(at, prepend=0))) / at
    scores = true + NOISE.labels * taken + NOISE.training * rng.normal(size=5)
    points = [Point(int(n), float(score)) for n, score in zip(at[:4], scores[:4], strict=True)]
    return points, float(scores[4]), float(true[4])


def covered(curves: int, seed: int) -> float:
    """The share of made-up curves whose interval holds the score that was then measured."""
    rng, held = np.random.default_rng(seed), []
    for _ in range(curves):
        points, measured, _ = made_up(rng)
        found = predicted(fitted(points, noise=NOISE), 8000)
        held.append(found.low <= measured <= found.high)
    return float(np.mean(held))


def least_squares(points: Sequence[Point], rng: Any, labels: int, draws: int = 60) -> tuple[float, float]:
    """The interval of a least-squares fit by parametric bootstrap, with noise for the new score added."""
    from scipy.optimize import curve_fit

    at = np.array([point.labels for point in points], dtype=np.float64)
    scores = np.array([point.score for point in points])
    errors = np.array([NOISE.at(n) for n in at])

    def law(n: Any, ceiling: float, rise: float, exponent: float) -> Any:
        return ceiling - rise * (n / at[0]) ** -exponent

    def fit(values: Any) -> Any:
        bounds = ([0, 0, 0.1], [1, 5, 2])
        return curve_fit(law, at, values, (0.95, 0.5, 0.5), errors, bounds=bounds, max_nfev=400)[0]

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = law(at, *fit(scores))
        for _ in range(draws):
            try:
                found.append(law(float(labels), *fit(best + errors * rng.normal(size=len(at)))))
            except RuntimeError:
                continue
    new = np.array(found) + NOISE.at(labels) * rng.normal(size=len(found))
    low, high = np.quantile(new, [0.025, 0.975])
    return float(low), float(high)


def show_made_up(curves: int) -> None:
    """Print what both ways hold and how wide they are."""
    rng, rows = np.random.default_rng(1), []
    for _ in range(curves):
        points, measured, true = made_up(rng)
        found = predicted(fitted(points, noise=NOISE), 8000)
        low, high = least_squares(points, rng, 8000)
        rows.append((found.low <= measured <= found.high, found.high - found.low, low <= measured <= high, high - low))
        rows[-1] = (*rows[-1], abs(found.score - true))
    held, width, others, other_width, error = np.mean(rows, axis=0)
    print(f"made-up curves, {curves}: holds {100 * held:.1f} % (width {100 * width:.1f} points, off by ", end="")
    print(f"{100 * error:.1f}); least squares with bootstrap {100 * others:.1f} % ({100 * other_width:.1f} points)")


def banking(folder: Path, embeddings: Path | None) -> tuple[Any, Any, Any, Any]:
    """Features and label numbers of train and test."""
    tables = []
    for part in ("train", "test"):
        with (folder.parent / f"{folder.name}_{part}.csv").open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.reader(file))[1:])
    names = {name: number for number, name in enumerate(sorted({row[-1] for row in tables[0]}))}
    labels = [np.array([names[row[-1]] for row in table]) for table in tables]
    if embeddings:
        features = [np.load(embeddings / f"{folder.name}-{part}-minilm.npy") for part in ("train", "test")]
    else:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit([row[0] for row in tables[0]])
        small = TruncatedSVD(300, random_state=0).fit(words.transform([row[0] for row in tables[0]]))
        features = [small.transform(words.transform([row[0] for row in table])) for table in tables]
    return features[0], labels[0], features[1], labels[1]


def right(features: Any, labels: Any, test: Any, truth: Any) -> Any:
    """1 for each test row that a ridge classifier gets right."""
    from sklearn.linear_model import RidgeClassifier

    return (RidgeClassifier(alpha=1.0).fit(features, labels).predict(test) == truth) * 1.0


def show_banking(folder: Path, embeddings: Path | None, orders: int) -> None:
    """Print for each size how often the whole's accuracy lay in the interval, and how far the prediction was off."""
    features, labels, test, truth = banking(folder, embeddings)
    for size in (1000, 3000, len(labels)):
        rows = []
        for order in range(orders):
            chosen = np.random.default_rng(order).permutation(len(labels))[:size]
            points = []
            for part in PARTS:
                some = chosen[: int(part * size)]
                scores = right(features[some], labels[some], test, truth)
                points.append(Point(len(some), float(scores.mean()), scores))
            whole = float(right(features[chosen], labels[chosen], test, truth).mean())
            curve = fitted(points)
            found = predicted(curve, size)
            rows.append((found.low <= whole <= found.high, abs(found.score - whole), found.high - found.low))
        held, off, width = np.mean(rows, axis=0)
        most = 100 * max(row[1] for row in rows)
        print(f"banking77, {size:>6,} rows, {orders} orders: holds {100 * held:.0f} %, off by {100 * off:.1f} ", end="")
        print(f"(most {most:.1f}) points, width {100 * width:.1f}; {more_labels(curve).sentence}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=100)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "banking77")
    parser.add_argument("--embeddings", type=Path)
    options = parser.parse_args(arguments)
    show_made_up(options.curves)
    if (options.data.parent / f"{options.data.name}_train.csv").exists():
        show_banking(options.data, options.embeddings, options.orders)
    else:
        print("banking77: not here, left out")


if __name__ == "__main__":
    main()
