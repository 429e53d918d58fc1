"""The learning curves of a workspace as their folders tell: how each stands, its points, and what they foretell.

Nothing of it is in the database, so an app that was closed or killed finds it as it is. What it leaves out: starting
and stopping (studio.jobs.curve), and the fit (studio.evaluation.curves).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.curve import SCORES_FOLDER, CurvePoint, CurveReport, CurveSpec, place, read_curve_spec, read_report
from studio.contract.evaluation import ROWS_FILE
from studio.contract.held_out import HELD_OUT_FILE
from studio.contract.sweep import TRIALS_FOLDER
from studio.errors import BadInput, NotFound, StudioError
from studio.evaluation.curves import Curve, More, Point, Prediction, fitted, more_labels, predicted
from studio.evaluation.scoring import MEASURES
from studio.jobs import job_folders
from studio.jobs.job_folders import Standing
from studio.jobs.processes import is_alive
from studio.jobs.sayings import retold
from studio.language import mark, reader, tr, trn
from studio.settings import Workspace

AHEAD = 2.0
"""How far a curve is drawn and foretold: times the labels of its last point."""

_ABOUT_FILE = "about.json"
_STEPS = 33
_SCORE_GAIN, _LOSS_GAIN = 0.02, 0.05
"""For which gain the missing labels are counted: of the best score there can be, or of the loss so far."""


@dataclass(frozen=True)
class About:
    """What a curve is of: written once, before it starts. `number` counts a project's curves from 1."""

    project_id: str
    number: int
    snapshot_id: str
    base_model: str
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


@dataclass(frozen=True)
class Foretold:
    """What the points of a curve say. `measure` names their score ("Accuracy", "Held-out loss"); `best` is the best one
    there can be; `line` are predictions from the first point to twice the last, `ahead` is the last of them; None with
    fewer than three points, where `sentence` says so."""

    measure: str
    higher_better: bool
    best: float
    points: tuple[tuple[int, float], ...]
    line: tuple[Prediction, ...] = ()
    more: More | None = None
    sentence: str = ""

    @property
    def ahead(self) -> Prediction | None:
        """The prediction that lies farthest out."""
        return self.line[-1] if self.line else None


@dataclass(frozen=True)
class LearningCurve:
    """A learning curve as it stands."""

    folder: Path
    about: About
    spec: CurveSpec
    standing: Standing
    report: CurveReport

    @property
    def id(self) -> str:
        """Its name, which is its folder's."""
        return self.folder.name

    @property
    def foretold(self) -> Foretold:
        """What its points say."""
        return foretell(self.folder, self.report)

    @property
    def project_id(self) -> str:
        """The project it belongs to."""
        return self.about.project_id

    @property
    def started_at(self) -> datetime:
        """When it was started."""
        return datetime.fromisoformat(self.about.started_at)

    @property
    def active(self) -> bool:
        """Whether a process works on it."""
        return self.standing.alive

    @property
    def resumable(self) -> bool:
        """Whether it can be gone on with."""
        return self.standing.state in ("stopped", "failed")


def list_curves(workspace: Workspace, project_id: str | None = None, snapshot_id: str = "") -> list[LearningCurve]:
    """The curves of a project, or all, newest first; a folder that cannot be read is passed over."""
    found = [curve for folder in workspace.curves.glob("curve-*") if (curve := _look(folder))]
    mine = [curve for curve in found if project_id is None or curve.project_id == project_id]
    mine = [curve for curve in mine if not snapshot_id or curve.about.snapshot_id == snapshot_id]
    return sorted(mine, key=lambda curve: curve.about.started_at, reverse=True)


def get_curve(workspace: Workspace, curve_id: str) -> LearningCurve:
    """One curve. Raises NotFound."""
    curve = _look(curve_folder(workspace, curve_id))
    if curve is None:
        raise NotFound(tr("The folder of learning curve '{curve}' cannot be read.", curve=curve_id))
    return curve


def curve_folder(workspace: Workspace, curve_id: str) -> Path:
    """Where a curve lies. Raises NotFound for what is no curve of this workspace."""
    folder = workspace.curves / curve_id
    if not curve_id.startswith("curve-") or folder.parent != workspace.curves or not folder.is_dir():
        told = {"curve": curve_id[:60], "folder": workspace.curves}
        raise NotFound(tr("There is no learning curve '{curve}' in {folder}.", **told))
    return folder


def curve_at_work(workspace: Workspace) -> About | None:
    """The curve that trains now."""
    alive = (about for folder in workspace.curves.glob("curve-*") if is_alive(folder) and (about := _about(folder)))
    return next(alive, None)


def write_about(folder: Path, about: About) -> None:
    """Say what a curve's folder is of. Raises OSError."""
    (folder / _ABOUT_FILE).write_text(json.dumps(asdict(about)), encoding="utf-8")


def foretell(folder: Path, report: CurveReport) -> Foretold:
    """What the points so far say: of the metric where answers were scored, else of the held-out loss."""
    return _foretold(folder, report, reader())


@lru_cache(maxsize=64)
def _foretold(folder: Path, report: CurveReport, language: str) -> Foretold:
    """The same; `language`: that of the words in it, so that none is kept for readers of another."""
    done = [(number, point) for number, point in enumerate(report.points) if point.state == "done"]
    by_score = bool(done) and all(point.score is not None for _, point in done)
    points = [_scored(folder, number, point) if by_score else _lost(folder, number, point) for number, point in done]
    measure = MEASURES.get(done[-1][1].metric if by_score else "loss", MEASURES["loss"])
    scores = tuple((point.labels, point.score) for point in points)
    told = Foretold(tr(measure.title), measure.higher, measure.best, scores)
    try:
        curve = fitted(_comparable(points), measure.best, measure.higher)
    except BadInput:
        sentence = trn(
            "{count} more part until a curve can be fitted.",
            "{count} more parts until a curve can be fitted.",
            3 - len(points),
        )
        return replace(told, sentence=sentence if points else "")
    if measure.higher:
        more = more_labels(curve, _SCORE_GAIN * measure.best, "points", 100 / measure.best)
    else:
        now = max(predicted(curve, curve.labels).score, 1e-6)
        more = more_labels(curve, _LOSS_GAIN * now, f"% {measure.title.lower()}", 100 / now)
    return replace(told, line=_line(curve, points), more=more, sentence=retold(more.sentence))


def _line(curve: Curve, points: Sequence[Point]) -> tuple[Prediction, ...]:
    first, last = points[0].labels, AHEAD * points[-1].labels
    return tuple(predicted(curve, round(labels)) for labels in np.linspace(first, last, _STEPS))


def _scored(folder: Path, number: int, point: CurvePoint) -> Point:
    """A point by its metric, with the rows' scores where the metric is their mean."""
    assert point.score is not None
    rows = _columns(folder / SCORES_FOLDER / place(number) / ROWS_FILE, "tuned_score")
    exact = rows is not None and abs(float(rows[0].mean()) - point.score) < 1e-6
    return Point(point.labels, point.score, rows[0] if rows and exact else None)


def _lost(folder: Path, number: int, point: CurvePoint) -> Point:
    """A point by its held-out loss; rows are weighted by their target tokens, so that it is their mean."""
    loss = point.loss if point.loss is not None else float("nan")
    columns = _columns(folder / TRIALS_FOLDER / place(number) / HELD_OUT_FILE, "tuned_loss", "target_tokens")
    if columns is None or not columns[1].sum():
        return Point(point.labels, loss)
    return Point(point.labels, loss, columns[0] * columns[1] / columns[1].mean())


def _comparable(points: Sequence[Point]) -> list[Point]:
    """The points, without rows where they are not the same rows in each."""
    same = len({None if point.rows is None else len(point.rows) for point in points}) == 1
    return [point if same else Point(point.labels, point.score) for point in points]


def _columns(path: Path, *names: str) -> list[Any] | None:
    try:
        table = pq.read_table(path, columns=list(names))
        return [table[name].to_numpy().astype(np.float64) for name in names] if len(table) else None
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None


def _look(folder: Path) -> LearningCurve | None:
    about = _about(folder)
    try:
        spec = read_curve_spec(folder)
    except StudioError:
        return None
    if about is None:
        return None
    standing = job_folders.standing(
        folder, mark("The learning curve broke off"), mark("Stopped. Resume goes on with the part that was at work.")
    )
    return LearningCurve(folder, about, spec, standing, read_report(folder))


def _about(folder: Path) -> About | None:
    try:
        return About(**json.loads((folder / _ABOUT_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
