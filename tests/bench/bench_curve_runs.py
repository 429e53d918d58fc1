"""Is a learning curve right about the runs that come? BANKING77 with the starter encoder, a curve up to a half.

    python tests/bench/bench_curve_runs.py [--rows N] [--save] [--short]

In a workspace of its own, as a person would: the 10,003 training rows are imported and frozen, and a learning curve is
run on 1/8, 1/4, 3/8, 1/2 and all of the train split with the settings that the planner gives such a run. What the
studio foretells from the first four is held against the accuracy that the run on all rows then has, on the same
held-out rows. `--short` takes a tiny random model: seconds, and no meaning.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from storage.database import connect  # noqa: E402
from storage.projects import create_project  # noqa: E402
from studio.contract.curve import CurveReport  # noqa: E402
from studio.data.importing import import_file  # noqa: E402
from studio.data.snapshots import freeze  # noqa: E402
from studio.jobs.curve import follow_curve, start_curve  # noqa: E402
from studio.jobs.curves import LearningCurve, foretell  # noqa: E402
from studio.settings import Workspace  # noqa: E402
from tests import tiny  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.bench_banking import DATA, ENCODER, MODELS  # noqa: E402

FRACTIONS = (0.125, 0.25, 0.375, 0.5, 1.0)


@dataclass(frozen=True)
class Foretold:
    """The score foretold for all rows with its interval, and the one measured; `points` are (labels, score)."""

    score: float
    low: float
    high: float
    measured: float
    points: tuple[tuple[int, float], ...]

    @property
    def held(self) -> bool:
        """Whether the measured score lies in the interval."""
        return self.low <= self.measured <= self.high


def main(arguments: Sequence[str] | None = None) -> Foretold:
    """Run the curve, hold the foretold score against the measured one, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        curve = run_curve(Path(folder), options)
        found = held_against(curve)
    lines = told(found, (time.perf_counter() - began) / 60)
    print("\n".join(lines))
    if options.save:
        saved.save("curve-cpu", "bench_curve_runs", f"--rows {options.rows}" if options.rows else "", lines, 2)
    return found


def run_curve(folder: Path, options: argparse.Namespace) -> LearningCurve:
    """The curve, run to its end. Raises AssertionError when a part of it failed."""
    rows = (
        [(f"{text} {n}", label) for n, (text, label) in enumerate(tiny.labeled(60))]
        if options.short
        else banking()[: options.rows]
    )
    workspace = Workspace(folder / "workspace")
    if not options.short:
        workspace.models.parent.mkdir(parents=True, exist_ok=True)
        workspace.models.symlink_to(MODELS)
    base = str(tiny.make_model(folder / "base", "bert")) if options.short else "starter-encoder"
    with closing(connect(workspace.database, workspace.backups)) as db:
        project = create_project(db, "Curve", "classification")
        import_file(db, project.id, written(folder / "rows.csv", rows))
        snapshot = freeze(db, workspace, project.id).snapshot
        settings = {**ENCODER, "epochs": "1" if options.short else ENCODER["epochs"]}
        curve = start_curve(db, workspace, snapshot.id, base, settings, fractions=FRACTIONS)
    ended = follow_curve(workspace, curve.id, lambda look: None)
    assert ended.report.done == len(FRACTIONS), ended.standing.words
    foretell(ended.folder, ended.report)
    return ended


def held_against(curve: LearningCurve) -> Foretold:
    """What the first points foretell for all rows, and what the last one then was."""
    *first, last = curve.report.points
    ahead = foretell(curve.folder, CurveReport(points=tuple(first))).ahead
    assert ahead is not None and last.score is not None, "the answers were not scored"
    points = tuple((point.labels, point.score or 0.0) for point in curve.report.points)
    return Foretold(ahead.score, ahead.low, ahead.high, last.score, points)


def told(found: Foretold, minutes: float) -> list[str]:
    """What is printed."""
    points = ", ".join(f"{labels}: {score:.3f}" for labels, score in found.points)
    off = 100 * (found.score - found.measured)
    return [
        f"accuracy by training rows: {points} ({minutes:.0f} minutes in all)",
        f"foretold from the first {len(found.points) - 1}: {found.score:.3f} ({found.low:.3f} to {found.high:.3f}); "
        f"measured {found.measured:.3f}",
        f"measured is {'inside' if found.held else 'OUTSIDE'} the interval; foretold is off by {off:+.1f} points",
    ]


def banking() -> list[tuple[str, str]]:
    """Text and category of every training row."""
    with (DATA / "banking77_train.csv").open(newline="", encoding="utf-8") as file:
        return [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]


def made_up() -> list[tuple[str, str]]:
    """Sixty short texts of a few labels, none of them twice."""
    return [(f"{text} {number}", label) for number, (text, label) in enumerate(tiny.labeled(60))]


def written(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """A CSV of text and label."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


if __name__ == "__main__":
    main()
