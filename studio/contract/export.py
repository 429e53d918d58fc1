"""What the app and an export's process say to each other: the spec with the records for the card, and the report.

    spec.json          ExportSpec
    report.json        ExportReport, written when the exported folder stands at its place and not before

What it leaves out: how a format is written and held against the studio's own answers (studio.export), and sending it
to the Hub (studio.data.model_push).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.evaluation import EvalReport
from studio.contract.spec import SPEC_FILE, STARTER, Family
from studio.errors import BadSpec, JobFailed

REPORT_FILE = "report.json"
CARD_FILE = "README.md"
MODELFILE = "Modelfile"

Format = Literal["adapter", "merged", "gguf", "gguf-q8_0"]

FORMATS: dict[Format, str] = {
    "adapter": "Adapter (peft)",
    "merged": "Merged model (safetensors)",
    "gguf": "GGUF, f16 (llama.cpp, Ollama)",
    "gguf-q8_0": "GGUF, q8_0 (llama.cpp, Ollama)",
}
"""The formats and what a screen calls them."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataRecord(_Frozen):
    """What a run was trained on: the snapshot's version and hash, rows by split, and where the answers come from."""

    version: int = 0
    hash: str = ""
    rows: Mapping[str, int] = {}
    answers: int = 0
    imported: int = 0
    annotators: int = 0
    suggested: int = 0
    reviewed: int = 0


class Records(_Frozen):
    """What the app knows of a model and a card may tell. Losses are mean nats a target token on the held-out split;
    `bias`, `personal` are sentences of the snapshot's preflight, () where there was none; `checked`: whether there was;
    `trained` is the day on which the run ended."""

    studio: str = ""
    project: str = ""
    task: str = ""
    number: int = 0
    method: str = ""
    settings: Mapping[str, str | int | float | bool | None] = {}
    device: str = ""
    trained: str = ""
    base_loss: float | None = None
    tuned_loss: float | None = None
    base_hash: str = ""
    weights_hash: str = ""
    data: DataRecord | None = None
    evaluation: EvalReport | None = None
    checked: bool = False
    bias: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()


class ExportSpec(_Frozen):
    """One export of a run, or of the base model where `run` is ''. `target` is the folder to be made; it must not be
    there. `system` goes into the Modelfile. Prompts are of the snapshot's held-out rows, else of its training rows."""

    run: str = Field("", max_length=64)
    runs: Path
    models: Path
    snapshot: Path | None = None
    base_model: str = Field(STARTER, min_length=1, max_length=500)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = Field("float32", description="of both sides of the comparison")
    format: Format
    target: Path
    system: str = ""
    questions: int = Field(20, ge=1, le=500, description="prompts that studio and export both answer")
    answer_tokens: int = Field(32, ge=1, le=4096, description="tokens of each answer")
    records: Records = Records()


class ParityReport(_Frozen):
    """The exported folder, read by `reader`, against the studio: of `prompts`, how many were rendered to the same
    token ids and answered with the same text, and how many texts part where two tokens were a near-tie.

    `error` is the relative difference of the scores (root mean square, see studio.export.parity), `largest` that of
    the worst position; None where the reader gives no scores. `tolerance` is what `error` may be, and `near` how far
    apart two scores of a near-tie may be, in standard deviations of the position's scores.
    """

    reader: str
    prompts: int
    same_ids: int
    same_text: int
    near_ties: int = 0
    error: float | None = None
    largest: float | None = None
    tolerance: float | None = None
    near: float = 0.0
    sentence: str = ""


class ExportedFile(_Frozen):
    """A file of the exported folder, with its size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


class ExportReport(_Frozen):
    """An export that stands at `target`. `licence` is the base model's as its own card has it, '' where it has none;
    `weights` the number format of the weights."""

    run: str
    base_model: str
    format: Format
    family: Family
    target: Path
    licence: str = ""
    weights: str = ""
    files: tuple[ExportedFile, ...] = ()
    parity: tuple[ParityReport, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read_export_spec(folder: Path) -> ExportSpec:
    """Raises BadSpec when it is missing or damaged."""
    try:
        return ExportSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The spec in {folder} cannot be read: start the export again.") from error


def read_export_report(folder: Path) -> ExportReport:
    """Raises JobFailed when it is missing or damaged."""
    try:
        return ExportReport.model_validate_json((folder / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise JobFailed("The export's report cannot be read: export again.") from error
