"""What the app and an evaluation's process say to each other: the spec, and the report, in the evaluation's folder.

    spec.json          EvalSpec
    report.json        EvalReport
    rows.parquet       one row a held-out example, columns of ROW_COLUMNS, in the order of the split
    answers/           what was answered, kept in the workspace by what it depends on (studio.evaluation.kept)

What it leaves out: how figures come about (studio.evaluation), and whose evaluation it is (studio.jobs.evaluating).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.spec import SPEC_FILE, STARTER
from studio.errors import BadSpec, JobFailed

REPORT_FILE = "report.json"
ROWS_FILE = "rows.parquet"
SOURCES_FILE = "sources.json"
"""Where each held-out example came from, written by the app, since the process does not know the database."""

ROW_COLUMNS = (
    "row",
    "example_id",
    "prompt",
    "reference",
    "base",
    "tuned",
    "base_score",
    "tuned_score",
    "outcome",
    "base_loss",
    "tuned_loss",
)

Outcome = Literal["win", "tie", "loss"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class EvalSpec(_Frozen):
    """One evaluation of a run on a held-out split. For the question whether fine-tuning is worth it, `instructions` is
    what the base gets besides as the project's prompt, and `shots` the nearest training pairs that it is shown; with
    `ways` off only base and tuned answer. `metrics` is the folder of a project's own metrics, `own` their names in it.
    """

    run: str = Field(min_length=1, max_length=64)
    runs: Path
    models: Path
    snapshot: Path
    answers: Path
    metrics: Path
    base_model: str = Field(STARTER, min_length=1, max_length=500)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    split: Literal["test", "validation"] = "test"
    task: str = "instruction"
    labels: tuple[str, ...] = ()
    form_kind: Literal["", "regex", "schema"] = ""
    form: str = ""
    own: tuple[str, ...] = ()
    instructions: str = ""
    suite: str = Field("", description="the project's regression suite, JSON")
    ways: bool = True
    further: bool = Field(True, description="general ability, and training answers learnt by heart")
    shots: int = Field(4, ge=0, le=32, description="training pairs in the prompt")
    most_rows: int = Field(500, ge=1, le=100_000, description="held-out rows at the most, evenly spread over the split")
    most_tokens: int = Field(256, ge=1, le=8192, description="answer tokens at the most")
    batch_rows: int = Field(16, ge=1, le=256, description="answers generated together")
    seed: int = Field(0, ge=0, le=2**31 - 1)


class MetricReport(_Frozen):
    """A metric of base and tuned model; `low` and `high` bound the difference (tuned less base) with 95 % confidence,
    `p` is two-sided; None where the data cannot say, for which `reason` has the words."""

    title: str
    base: float
    tuned: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    rows: int
    higher: bool = True
    reason: str = ""


class VerdictReport(_Frozen):
    """The sentence on top, by the metric `metric`; see studio.evaluation.verdict.Verdict."""

    metric: str
    kind: Literal["better", "worse", "unshown", "same", "unknown"]
    sentence: str
    rows: int
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    share: float | None = None
    low: float | None = None
    high: float | None = None
    needed: int | None = None


class SliceReport(_Frozen):
    """The leading metric on rows with something in common: `kind` is label, length, language or source."""

    kind: str
    name: str
    rows: int
    base: float
    tuned: float
    difference: float
    low: float | None
    high: float | None


class ClassReport(_Frozen):
    """One class: how many rows have it, and precision, recall and F1 of base and tuned."""

    label: str
    rows: int
    base: tuple[float, float, float]
    tuned: tuple[float, float, float]


class ConfusionReport(_Frozen):
    """`base[i][j]`: rows of class i that were called class j; the last column counts answers that name no class."""

    labels: tuple[str, ...]
    base: tuple[tuple[int, ...], ...]
    tuned: tuple[tuple[int, ...], ...]


class WayReport(_Frozen):
    """One way to answer: its leading metric with the 95 % interval, and what an answer costs."""

    name: str
    words: str
    value: float
    low: float | None
    high: float | None
    seconds: float
    prompt_tokens: float
    answer_tokens: float
    training_minutes: float | None = None


class GeneralReport(_Frozen):
    """Mean loss (nats a token) of right answers to general questions; `kinds`: questions and both losses of each."""

    sentence: str
    base: float
    tuned: float
    kinds: tuple[tuple[str, int, float, float], ...] = ()


class CaseReport(_Frozen):
    """A case of the regression suite: whether base and tuned pass, and why tuned does not."""

    name: str
    base: bool
    tuned: bool
    why: str = ""
    answer: str = ""


class RegressionReport(_Frozen):
    """The project's regression suite."""

    sentence: str
    cases: tuple[CaseReport, ...] = ()


class MemorisedReport(_Frozen):
    """Training answers that are continued word for word: how many of `rows`. Of `codes` planted ones, how many each
    model holds for the likeliest."""

    sentence: str
    rows: int
    base: int
    tuned: int
    codes: int = 0
    codes_base: int = 0
    codes_tuned: int = 0
    codes_sentence: str = ""


class EvalReport(_Frozen):
    """Everything that an evaluation found. `held_out` names the content of the rows, so that runs on the same rows can
    stand on one board. `base_is`: what stands for the base, "model", or "majority" where an encoder was never trained
    on the labels and the most frequent label of the training rows takes its place."""

    run: str
    snapshot: str
    split: str
    held_out: str
    rows: int
    left_out: int = 0
    task: str = ""
    base_is: Literal["model", "majority"] = "model"
    base_hash: str = ""
    adapter_hash: str = ""
    device: str = ""
    most_tokens: int = 0
    metrics: Mapping[str, MetricReport] = {}
    verdict: VerdictReport
    slices: tuple[SliceReport, ...] = ()
    classes: tuple[ClassReport, ...] = ()
    confusion: ConfusionReport | None = None
    unmatched: tuple[int, int] | None = None
    ways: tuple[WayReport, ...] = ()
    advice: str = ""
    regression: RegressionReport | None = None
    general: GeneralReport | None = None
    memorised: MemorisedReport | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def read_eval_spec(folder: Path) -> EvalSpec:
    """Raises BadSpec when it is missing or damaged."""
    try:
        return EvalSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The spec in {folder} cannot be read: start the evaluation again.") from error


def read_eval_report(folder: Path) -> EvalReport:
    """Raises JobFailed when it is missing or damaged."""
    try:
        return EvalReport.model_validate_json((folder / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise JobFailed("The evaluation's report cannot be read: evaluate again.") from error
