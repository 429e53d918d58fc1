"""Labels needed by the studio's uncertain + diverse order against random order, to reach the same held-out accuracy.

    python tests/bench/bench_active.py [--seeds 3] [--labels 2600] [--short]

BANKING77, a simulated annotator who knows every label, the starter encoder, the studio's own classifier and orders:
studio.labeling.diversity until there are two labels a class, then studio.labeling.uncertainty, trained anew whenever
the labels have grown by a tenth. Random order gets the same classifier, and its labels are shuffled anew for each seed.
Held-out labels are used to measure only. `--short` takes made-up clusters in place of texts: a second, no meaning.
Vectors are kept in $STUDIO_BENCH_VECTORS (default: the temporary folder).
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from studio.labeling.classifier import train_classifier  # noqa: E402
from studio.labeling.diversity import Floats, Ints, diversity_scores  # noqa: E402
from studio.labeling.uncertainty import batch_size, enough_to_begin, is_due, uncertain_scores  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
KEPT = Path(os.environ.get("STUDIO_BENCH_VECTORS", tempfile.gettempdir()))
TARGETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88)
FIRST = 20
"""Labels at which the first accuracy is taken."""

Curve = list[tuple[int, float]]
"""Accuracy by number of labels."""


@dataclass(frozen=True)
class Task:
    """Pool and held-out rows: vectors of length 1 and their labels."""

    pool: Floats
    pool_labels: list[str]
    test: Floats
    test_labels: list[str]

    def accuracy(self, chosen: Sequence[int]) -> float:
        """Held-out accuracy of the classifier that has seen these rows' labels."""
        labels = [self.pool_labels[row] for row in chosen]
        classifier = train_classifier(self.pool[list(chosen)], labels, labels, several=False)
        if classifier is None:
            return 0.0
        given = [prediction.response for prediction in classifier.predict(self.test)]
        return float(np.mean([a == b for a, b in zip(given, self.test_labels, strict=True)]))


def random_curve(task: Task, most: int, seed: int) -> Curve:
    """Random order, measured after the same numbers of labels as ours."""
    order = np.random.default_rng(seed).permutation(len(task.pool))
    return [(count, task.accuracy(order[:count])) for count in checkpoints(most)]


def our_curve(task: Task, most: int, seed: int) -> Curve:
    """The order of a project set to "most uncertain first", as the app makes it."""
    classes = len(set(task.pool_labels))
    first: Ints = np.argsort(-diversity_scores(task.pool, seed=seed))
    begin = next(count for count in range(len(first) + 1) if enough_to_begin(count, classes))
    chosen = [int(row) for row in first[:begin]]
    curve = [(count, task.accuracy(chosen[:count])) for count in checkpoints(begin)]
    while len(chosen) < most:
        labels = [task.pool_labels[row] for row in chosen]
        classifier = train_classifier(task.pool[chosen], labels, labels, several=False)
        rest = np.setdiff1d(np.arange(len(task.pool)), chosen)
        if classifier is None or not len(rest):
            break
        scores = uncertain_scores(classifier, task.pool[rest], batch_size(len(chosen)), seed)
        trained_on = len(chosen)
        for row in rest[np.argsort(-scores, kind="stable")]:
            chosen.append(int(row))
            if is_due(len(chosen), trained_on):
                break
        curve.append((len(chosen), task.accuracy(chosen)))
    return curve


def checkpoints(most: int) -> list[int]:
    """Numbers of labels after which accuracy is taken: each a tenth more than the one before."""
    found, count = [], FIRST
    while count < most:
        found.append(count)
        count += batch_size(count)
    return [*found, most]


def labels_needed(curve: Curve, accuracy: float) -> float | None:
    """Labels at which a curve first reaches an accuracy, between two measurements in proportion; None where never."""
    before = (0, 0.0)
    for count, reached in curve:
        if reached >= accuracy:
            return before[0] + (count - before[0]) * (accuracy - before[1]) / (reached - before[1])
        before = (count, max(reached, before[1]))
    return None


def report(ours: Sequence[Curve], others: Sequence[Curve], targets: Sequence[float]) -> list[float]:
    """Print labels needed and their ratio by target accuracy; the ratios."""
    print("accuracy   ours  random  ratio   (ratio of each seed)")
    ratios = []
    for target in targets:
        pairs = [(labels_needed(a, target), labels_needed(b, target)) for a, b in zip(ours, others, strict=True)]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if len(known) < len(pairs):
            print(f"{target:8.2f}   not reached by every seed of both")
            continue
        each = [a / b for a, b in known]
        ratios.append(float(np.mean(each)))
        means = np.mean(known, axis=0)
        print(f"{target:8.2f} {means[0]:6.0f} {means[1]:7.0f} {ratios[-1]:6.2f}   {' '.join(f'{r:.2f}' for r in each)}")
    print(f"mean ratio of labels needed: {np.mean(ratios):.3f} (expected: at most 0.7); worst {max(ratios):.2f}")
    return ratios


def banking77() -> Task:
    """The data with vectors of the starter encoder, made once."""
    parts = [_split(name) for name in ("train", "test")]
    return Task(*parts[0], *parts[1])


def _split(name: str) -> tuple[Floats, list[str]]:
    with (DATA / f"banking77_{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
    kept = KEPT / f"banking77-{name}-minilm.npy"
    if not kept.exists():
        from studio.models.encoders import load_encoder

        np.save(kept, load_encoder().encode([text for text, _ in rows]))
    return np.load(kept), [label for _, label in rows]


def made_up(seed: int = 0, classes: int = 12, rows: int = 900) -> Task:
    """Clusters of unequal size in place of texts."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(classes, 384))
    shares = random.dirichlet(np.full(classes, 0.7))
    parts = []
    for count, share in ((rows, shares), (rows // 2, np.full(classes, 1 / classes))):
        member = random.choice(classes, count, p=share)
        vectors = centers[member] + 1.4 * random.normal(size=(count, 384))
        parts.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [f"label {c}" for c in member]))
    return Task(*parts[0], *parts[1])


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=2600)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    task = made_up() if options.short else banking77()
    most = 300 if options.short else options.labels
    ours = [our_curve(task, most, seed) for seed in range(options.seeds)]
    others = [random_curve(task, most, seed) for seed in range(options.seeds)]
    print(f"{len(task.pool)} pool rows, {len(task.test)} held out, {len(set(task.pool_labels))} labels")
    report(ours, others, (0.5, 0.7) if options.short else TARGETS)


if __name__ == "__main__":
    main()
