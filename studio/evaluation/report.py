"""From two models' answers to the report: metrics with intervals, the verdict, slices, classes, wins and losses.

What it leaves out: how the answers come about (studio.evaluation.running), and the ways without fine-tuning (ways.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studio.contract.evaluation import (
    ROWS_FILE,
    ClassReport,
    ConfusionReport,
    EvalSpec,
    MetricReport,
    SliceReport,
    VerdictReport,
)
from studio.contract.held_out import HELD_OUT_FILE
from studio.errors import StudioError
from studio.evaluation.counting.classes import class_table, confusion
from studio.evaluation.forms import Form
from studio.evaluation.held_rows import HeldRow
from studio.evaluation.intervals import paired
from studio.evaluation.scoring import MEASURES, Scored, matched, metrics_for, scored, scored_by, scored_losses
from studio.evaluation.verdict import concluded, outcomes

HUB = "hub:"
"""Before the name of a metric that is not in the workspace but on the Hugging Face Hub."""

LEAST_ROWS = 5
"""Rows of a slice that is shown."""

MOST_CLASSES = 100
"""Classes of a confusion matrix that is kept: more cannot be read."""


@dataclass(frozen=True)
class Sides:
    """Both models' answers to the same rows, with what they are held against."""

    rows: Sequence[HeldRow]
    base: Sequence[str]
    tuned: Sequence[str]
    labels: Sequence[str]

    @property
    def references(self) -> list[str]:
        """The right answers."""
        return [row.reference for row in self.rows]


@dataclass(frozen=True)
class Pairs:
    """A metric of both models."""

    title: str
    base: Scored
    tuned: Scored


def measured(spec: EvalSpec, sides: Sides) -> dict[str, Pairs]:
    """The metrics of the task, the leading one first, and whether answers have the expected form. Raises BadInput."""
    form = Form(spec.form_kind, spec.form) if spec.form_kind else None
    names = [*metrics_for(spec.task), *(["form"] if form else [])]
    return {
        name: Pairs(
            MEASURES[name].title,
            scored(name, sides.base, sides.references, sides.labels, form),
            scored(name, sides.tuned, sides.references, sides.labels, form),
        )
        for name in names
    }


def own_metrics(spec: EvalSpec) -> dict[str, Any]:
    """The metrics of the project's own by name: a file's, or `hub:owner/name`, which is downloaded and run as the admin
    asked who wrote it there. What cannot be loaded is the StudioError that says so."""
    from studio.evaluation.metrics.own import load_from_hub, load_own

    found: dict[str, Any] = {}
    cache = spec.answers.parent / "metrics-cache"
    for name in spec.own:
        try:
            if name.startswith(HUB):
                found[name] = load_from_hub(name[len(HUB) :], cache, fetch=True)
            else:
                found[name] = load_own(spec.metrics, name, cache)
        except StudioError as error:
            found[name] = error
    return found


def measured_by(sides: Sides, name: str, metric: Any) -> Pairs:
    """One of `own_metrics`. Raises BadFile, BadInput."""
    from studio.evaluation.metrics.own import score_with

    if isinstance(metric, StudioError):
        raise metric
    score, higher = score_with(metric), not getattr(metric, "less_is_better", False)
    both = (scored_by(name, score, said, sides.references, higher) for said in (sides.base, sides.tuned))
    return Pairs(name, *both)


def losses(spec: EvalSpec) -> tuple[dict[str, Pairs], dict[int, tuple[float, float]]]:
    """Held-out loss and perplexity as the run's own training measured them, and both losses by row number.

    Nothing where the run measured another split or none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(spec.runs / spec.run / HELD_OUT_FILE)
        split = (table.schema.metadata or {}).get(b"split", b"").decode()
        columns = {name: table[name].to_pylist() for name in ("row", "base_loss", "tuned_loss", "target_tokens")}
    except (OSError, KeyError, pa.ArrowException):
        return {}, {}
    if split != spec.split or len(columns["row"]) == 0:
        return {}, {}
    base, tuned = (scored_losses(columns[name], columns["target_tokens"]) for name in ("base_loss", "tuned_loss"))
    pairs = {one.metric: Pairs(MEASURES[one.metric].title, one, other) for one, other in zip(base, tuned, strict=True)}
    each = zip(columns["base_loss"], columns["tuned_loss"], strict=True)
    return pairs, dict(zip(columns["row"], each, strict=True))


def metric_reports(pairs: Mapping[str, Pairs], seed: int) -> dict[str, MetricReport]:
    """Each metric with the interval and p-value of its difference."""
    return {name: _metric(one, seed) for name, one in pairs.items()}


def _metric(pair: Pairs, seed: int) -> MetricReport:
    found = paired(pair.base, pair.tuned, seed)
    return MetricReport(title=pair.title, higher=pair.base.higher, **asdict(found))


def verdict_report(name: str, pair: Pairs, seed: int) -> VerdictReport:
    """The sentence on top, by one metric."""
    found = paired(pair.base, pair.tuned, seed)
    told = concluded(found, pair.base, pair.tuned, pair.title, pair.base.higher)
    return VerdictReport(metric=name, **asdict(told))


def slice_reports(pair: Pairs, members: Mapping[str, Sequence[str]], seed: int) -> tuple[SliceReport, ...]:
    """The metric's mean a row on parts of the rows; kinds of fewer than two parts of five rows say nothing."""
    found: list[SliceReport] = []
    for kind, groups in members.items():
        parts = [(name, [at for at, one in enumerate(groups) if one == name]) for name in sorted(set(groups) - {""})]
        large = [(name, places) for name, places in parts if len(places) >= LEAST_ROWS]
        if len(large) > 1:
            found += sorted((_slice(kind, *one, pair, seed) for one in large), key=lambda one: one.difference)
    return tuple(found)


def _slice(kind: str, name: str, places: Sequence[int], pair: Pairs, seed: int) -> SliceReport:
    base, tuned = (_Part(one.each[list(places)]) for one in (pair.base, pair.tuned))
    found = paired(base, tuned, seed, swaps=1)
    return SliceReport(
        kind=kind,
        name=name,
        rows=len(places),
        base=found.base,
        tuned=found.tuned,
        difference=found.difference,
        low=found.low,
        high=found.high,
    )


class _Part:
    """Some rows' own scores as a sample whose value is their mean."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = np.asarray(rows, np.float64)

    @property
    def value(self) -> float:
        return float(self.rows.mean())

    def __len__(self) -> int:
        return len(self.rows)

    def resampled(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self.rows[indices].mean(axis=-1))

    def joined(self, other: _Part) -> _Part:
        return _Part(np.concatenate([self.rows, other.rows]))


def class_reports(
    sides: Sides, task: str
) -> tuple[tuple[ClassReport, ...], ConfusionReport | None, tuple[int, int] | None]:
    """Per-class figures, the confusion matrix, and how many answers of base and tuned name no label; for tasks with one
    label an answer."""
    if task not in ("classification", "rating") or not sides.labels:
        return (), None, None
    given = [[one.label for one in matched(said, sides.labels)] for said in (sides.base, sides.tuned)]
    occurring = list(dict.fromkeys([*sides.labels, *sides.references]))
    tables = [{row.label: row for row in class_table(said, sides.references, occurring)} for said in given]
    right = {label: sides.references.count(label) for label in occurring}
    classes = tuple(
        ClassReport(label=label, rows=right[label], base=_shares(tables[0], label), tuned=_shares(tables[1], label))
        for label in occurring
        if right[label]
    )
    unmatched = (given[0].count(None), given[1].count(None))
    return classes, _confusion(given, sides.references, occurring), unmatched


def _shares(table: Mapping[str, object], label: str) -> tuple[float, float, float]:
    row = table.get(label)
    if row is None:
        return (0.0, 0.0, 0.0)
    return tuple(float(getattr(row, name)) for name in ("precision", "recall", "f1"))  # type: ignore[return-value]


def _confusion(
    given: Sequence[Sequence[str | None]], references: Sequence[str], labels: Sequence[str]
) -> ConfusionReport | None:
    """Both matrices over the classes that occur in any of the three."""
    seen = {label for side in (*given, references) for label in side if label is not None}
    classes = [label for label in labels if label in seen]
    if not 2 <= len(classes) <= MOST_CLASSES:
        return None
    # Rows and columns of labels that only the other model names are added, so that both have one shape.
    both = [_square(confusion(said, references, classes), classes) for said in given]
    return ConfusionReport(labels=tuple(classes), base=both[0], tuned=both[1])


def _square(found: object, classes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    own, counts = list(getattr(found, "labels")), getattr(found, "counts")  # noqa: B009
    place = {label: at for at, label in enumerate(own)}
    table = []
    for true in classes:
        row = counts[place[true]] if true in place else np.zeros(len(own) + 1, int)
        table.append((*(int(row[place[said]]) if said in place else 0 for said in classes), int(row[-1])))
    return tuple(table)


def write_rows(folder: Path, sides: Sides, pair: Pairs, by_row: Mapping[int, tuple[float, float]]) -> None:
    """Every row with both answers and who did better, as a whole or not at all. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    none = (None, None)
    table = pa.table(
        {
            "row": pa.array([row.number for row in sides.rows], pa.int64()),
            "example_id": pa.array([row.example_id for row in sides.rows], pa.string()),
            "prompt": pa.array([row.prompt for row in sides.rows], pa.string()),
            "reference": pa.array(sides.references, pa.string()),
            "base": pa.array(list(sides.base), pa.string()),
            "tuned": pa.array(list(sides.tuned), pa.string()),
            "base_score": pa.array(pair.base.each.tolist(), pa.float64()),
            "tuned_score": pa.array(pair.tuned.each.tolist(), pa.float64()),
            "outcome": pa.array(outcomes(pair.base.each, pair.tuned.each, pair.base.higher), pa.string()),
            "base_loss": pa.array([by_row.get(row.number, none)[0] for row in sides.rows], pa.float64()),
            "tuned_loss": pa.array([by_row.get(row.number, none)[1] for row in sides.rows], pa.float64()),
        }
    )
    path = folder / ROWS_FILE
    whole = path.with_suffix(".tmp")
    pq.write_table(table, whole)
    whole.replace(path)
