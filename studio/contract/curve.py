"""A learning curve: the parts of a snapshot that are trained on, and what came of each: what app and process share.

A curve's folder holds `spec.json` (CurveSpec), `events.jsonl`, `points.json` (CurveReport, replaced as a whole),
`parts/NNN` (snapshots with a part of the train split), `trials/NNN` (each a whole run folder, whose held_out.parquet
has the losses row by row) and `scores/NNN` (each an evaluation's folder). What it leaves out: the fit
(studio.evaluation.curves).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.evaluation import EvalSpec
from studio.contract.spec import SPEC_FILE, TrainSpec
from studio.errors import BadSpec

REPORT_FILE = "points.json"
PARTS_FOLDER = "parts"
SCORES_FOLDER = "scores"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """So many training rows, and the snapshot's folder that holds them; each part has all rows of those before it."""

    labels: int = Field(ge=1)
    snapshot: Path


class CurveSpec(_Frozen):
    """The runs of a curve: `base` on each of `parts` in turn, from the smallest. `evaluation`: how the answers of each
    are scored besides its held-out loss, None where the loss is enough."""

    base: TrainSpec
    parts: tuple[Part, ...] = Field(min_length=3, max_length=20)
    evaluation: EvalSpec | None = None


class CurvePoint(_Frozen):
    """One part. `loss` is the mean held-out loss in nats a target token, `score` the mean of the metric `metric`."""

    labels: int
    state: Literal["running", "done", "failed"]
    loss: float | None = None
    metric: str = ""
    score: float | None = None
    seconds: float = 0.0
    reason: str = ""


class CurveReport(_Frozen):
    """All points so far, in the order of the parts."""

    points: tuple[CurvePoint, ...] = ()

    @property
    def done(self) -> int:
        """Parts that are done."""
        return sum(point.state == "done" for point in self.points)


def place(number: int) -> str:
    """The name of a part's folders; parts are counted from 0 here and from 1 for people."""
    return f"{number + 1:03d}"


def is_curve(folder: Path) -> bool:
    """Whether a job's folder is a curve's."""
    return (folder / PARTS_FOLDER).is_dir()


def read_curve_spec(folder: Path) -> CurveSpec:
    """The spec of a curve's folder. Raises BadSpec when it is missing or damaged."""
    try:
        return CurveSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The spec in {folder} cannot be read: start the learning curve again.") from error


def write_report(folder: Path, report: CurveReport) -> None:
    """Put a report into a curve's folder, whole or not at all. Raises OSError."""
    path = folder / REPORT_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(report.model_dump_json(), encoding="utf-8")
    temporary.replace(path)


def read_report(folder: Path) -> CurveReport:
    """The report of a curve's folder; an empty one where there is none that can be read."""
    try:
        return CurveReport.model_validate_json((folder / REPORT_FILE).read_bytes())
    except (OSError, ValidationError):
        return CurveReport()
