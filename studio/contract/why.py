"""What the app and a process that looks for an answer's sources say to each other: the spec and the report.

spec.json      WhySpec
report.json    WhyReport, replaced as a whole: first with the nearest pairs, then with those by gradients
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.embedding import STARTER_ENCODER
from studio.contract.spec import SPEC_FILE
from studio.errors import BadSpec, JobFailed

REPORT_FILE = "report.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Turn(_Frozen):
    """One turn of the conversation that was answered."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=1_000_000)


class WhySpec(_Frozen):
    """One question: which training pairs of `run` (a run's folder) speak most for `answer` to `turns`?

    `answer` '': what the run's model answers, asked first. `candidates`: gradients are taken of so many training rows,
    the nearest ones by their texts. `cache`: the folder in which vectors and gradients of rows are kept for the next
    question. `numbers` is the length to which a gradient is cut down. `points`: where on the way of training gradients
    are taken: before the adapter had learnt anything, at its end, or the mean of both (methods without a LoRA adapter
    only have an end).
    """

    run: Path
    cache: Path
    turns: tuple[Turn, ...] = Field(min_length=1, max_length=1000)
    answer: str = Field("", max_length=1_000_000)
    gradients: bool = False
    shown: int = Field(5, ge=1, le=100)
    candidates: int = Field(2000, ge=1, le=10_000_000)
    numbers: int = Field(4096, ge=64, le=65_536)
    points: tuple[Literal["start", "end"], ...] = Field(("start",), min_length=1, max_length=2)
    batch_tokens: int = Field(2048, ge=16, le=1 << 20, description="tokens a forward pass, padding included")
    answer_tokens: int = Field(256, ge=1, le=8192)
    encoder: str = Field(STARTER_ENCODER, min_length=1, max_length=500)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class Source(_Frozen):
    """A training pair. `row` counts from 1 in the snapshot's train split; `score` lies between -1 and 1: the mean
    cosine of prompts and of answers, or the cosine of gradients."""

    row: int
    example_id: str
    prompt: str
    answer: str
    score: float


class WhyReport(_Frozen):
    """The pairs that speak most for an answer, best first. `by_gradient` is None until gradients were compared, which
    was done with `compared` of the snapshot's `rows` training pairs; `note` says in a sentence what was left out."""

    answer: str
    rows: int
    nearest: tuple[Source, ...]
    by_gradient: tuple[Source, ...] | None = None
    compared: int = 0
    note: str = ""


def read_why_spec(folder: Path) -> WhySpec:
    """The spec of a job's folder. Raises BadSpec when it is missing or damaged."""
    try:
        return WhySpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The spec in {folder} cannot be read: ask again.") from error


def write_report(folder: Path, report: WhyReport) -> None:
    """Put a report into a job's folder, whole or not at all. Raises OSError."""
    path = folder / REPORT_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(report.model_dump_json(), encoding="utf-8")
    temporary.replace(path)


def read_report(folder: Path) -> WhyReport | None:
    """The report of a job's folder so far; None while there is none. Raises JobFailed when it is damaged."""
    try:
        return WhyReport.model_validate_json((folder / REPORT_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise JobFailed(f"The report in {folder} cannot be read: ask again.") from error
