"""The specs of the jobs: every field with its unit and limits, validated once, before any heavy work.

A spec travels as `spec.json` in the run's folder. Paths in it are absolute. Nothing in it is a secret but an
engine's token, so an engine's spec is readable by its user alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from studio.errors import BadSpec

SPEC_FILE = "spec.json"

STARTER = "starter"
"""Name of the base model that comes with the package index: SmolLM2-135M-Instruct."""

BASE_ENCODER = "starter-encoder"
"""Name of the encoder that comes with the package index: all-MiniLM-L6-v2."""

Family = Literal["causal", "seq2seq", "encoder"]
Method = Literal["lora", "rslora", "dora", "pissa", "lora-plus", "vera", "ia3", "prompt", "qlora", "full"]
Objective = Literal["sft", "dpo", "ipo", "kto"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class TrainSpec(_Spec):
    """One fine-tuning run. What a method or family has no use for is left alone by it.

    `snapshot` and `models` are folders; `base_model` is `starter`, `starter-encoder`, a Hub id or a folder. `family`
    "auto": as the model's config says. `start_from`: the adapter or model folder of a finished run to go on from.
    """

    snapshot: Path
    models: Path
    base_model: str = Field(STARTER, min_length=1, max_length=500)
    start_from: Path | None = None
    family: Literal["auto", "causal", "seq2seq", "encoder"] = "auto"
    method: Method = "lora"
    objective: Objective = Field("sft", description="sft = learn the answers; dpo, ipo, kto = learn from preferences")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    devices: str = Field(
        "",
        max_length=200,
        pattern=r"^(\d{1,3}(,\d{1,3})*)?$",
        description="GPUs by number, such as 0,1, that share each step; '' = whichever are free",
    )
    processes: int = Field(1, ge=1, le=64, description="GPUs that share each step (on a CPU: processes of its cores)")

    epochs: float = Field(3.0, gt=0, le=1000, description="passes over the training split")
    max_steps: int = Field(0, ge=0, le=10_000_000, description="optimiser steps; 0 = as many as epochs says")
    batch_size: int = Field(8, ge=1, le=4096, description="rows a forward pass")
    gradient_accumulation: int = Field(1, ge=1, le=4096, description="forward passes an optimiser step")
    learning_rate: float = Field(5e-4, gt=0, le=1)
    warmup_ratio: float = Field(0.05, ge=0, le=0.9, description="share of the steps")
    schedule: Literal["linear", "cosine", "constant", "polynomial", "inverse-sqrt"] = "cosine"
    weight_decay: float = Field(0.0, ge=0, le=1)
    max_grad_norm: float = Field(1.0, gt=0, le=1000)
    max_length: int = Field(1024, ge=8, le=1_000_000, description="tokens a row, prompt and answer together")
    overlong: Literal["leave-out", "cut-prompt"] = Field(
        "leave-out", description="rows beyond max_length: left out, or their prompt cut from its start"
    )
    chat_template: str = Field(
        "", max_length=20_000, description="Jinja template in place of the model's own; '' = own"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1)
    neftune: float = Field(0.0, ge=0, le=100, description="noise on embeddings in training (5 is usual); 0 = none")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of a target's weight spread over the vocabulary")

    canaries: int = Field(
        0, ge=0, le=64, description="made-up codes planted among the training rows: the evaluation asks for them"
    )

    lora_rank: int = Field(16, ge=1, le=1024)
    lora_alpha: float = Field(32.0, gt=0, le=4096)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str = Field(
        "auto", max_length=1000, description="auto = by architecture; all-linear, attention, or names with commas"
    )
    lora_plus_ratio: float = Field(16.0, ge=1, le=1000, description="lora-plus: learning rate of B over that of A")
    prompt_tokens: int = Field(20, ge=1, le=1000, description="prompt: virtual tokens learnt in front of the prompt")
    beta: float = Field(0.1, gt=0, le=10, description="dpo, ipo, kto: how close to stay to the reference model")

    packing: Literal["auto", "on", "off"] = Field("auto", description="several rows in one sequence, never mixed")
    compile: Literal["auto", "on", "off"] = Field("auto", description="torch.compile where it pays for itself")
    gradient_checkpointing: Literal["auto", "on", "off"] = Field("auto", description="less memory, a third more time")
    trackers: str = Field("", max_length=200, description="wandb, mlflow, trackio, with commas, when installed")

    evaluations: int = Field(8, ge=0, le=1000, description="validation passes over the whole run")
    keep: Literal["best", "last"] = Field("best", description="which adapter is kept: by validation loss, or the last")
    patience: int = Field(0, ge=0, le=1000, description="validation passes without a better one; 0 = take all steps")
    checkpoints: int = Field(4, ge=0, le=1000, description="saves over the whole run, besides the last one")
    held_out_rows: int = Field(512, ge=0, le=100_000, description="held-out rows compared at the end; 0 = none")
    samples: int = Field(10, ge=0, le=200, description="held-out answers generated by base and tuned at the end")
    sample_tokens: int = Field(128, ge=1, le=8192, description="longest generated answer, in tokens")

    @field_validator("devices")
    @classmethod
    def _can_be_named(cls, devices: str, info: ValidationInfo) -> str:
        named = [int(number) for number in devices.split(",") if number]
        if len(set(named)) < len(named):
            raise PydanticCustomError("devices", "name each GPU once")
        if named and info.data.get("device") not in ("auto", "cuda"):
            raise PydanticCustomError("devices", "these are GPUs, so leave 'device' at auto")
        _can_share(len(named), info)
        return devices

    @field_validator("processes")
    @classmethod
    def _can_be_shared(cls, processes: int, info: ValidationInfo) -> int:
        named = str(info.data.get("devices") or "")
        if named and processes not in (1, named.count(",") + 1):
            raise PydanticCustomError("processes", "there is one for each of 'devices': leave it unset")
        _can_share(processes, info)
        return processes

    @property
    def ranks(self) -> int:
        """Processes that train together, each on a share of every step's rows; what is learnt is the same for any."""
        return self.devices.count(",") + 1 if self.devices else self.processes

    @property
    def rows_per_step(self) -> int:
        """Rows that one optimiser step sees (the effective batch), all processes together."""
        return self.batch_size * self.gradient_accumulation

    @property
    def rows_per_pass(self) -> int:
        """Rows that a process has in a forward pass, at the most."""
        return min(self.batch_size, -(-self.rows_per_step // self.ranks))

    def steps(self, rows: int) -> int:
        """Optimiser steps of a run over `rows` training rows."""
        if self.max_steps:
            return self.max_steps
        return max(1, -(-round(rows * self.epochs) // self.rows_per_step))


def _can_share(processes: int, info: ValidationInfo) -> None:
    if processes > 1 and info.data.get("objective") not in (None, "sft"):
        raise PydanticCustomError("shared", "preferences are learnt by one process, so leave it unset")


TRAIN_FIELDS: frozenset[str] = frozenset(TrainSpec.model_fields) - {"snapshot", "models", "base_model", "start_from"}
"""Fields that a user may set (`--set field=value`)."""


class EngineSpec(_Spec):
    """One inference process: a base model in memory, adapters of `runs` loaded when first asked for.

    `runs` is the folder in which `<run id>/adapter` lies. The process ends by itself when the process `owner` has
    gone or nothing was asked for `idle_seconds`.
    """

    models: Path
    runs: Path
    base_model: str = Field(STARTER, min_length=1, max_length=500)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    port: int = Field(0, ge=0, le=65535, description="0 = any free port of 127.0.0.1, told in the `state` event")
    token: str = Field(min_length=16, description="bearer token that every request must carry")
    owner: int = Field(0, ge=0, description="process id; 0 = nobody")
    idle_seconds: float = Field(1800.0, gt=0)
    batch_rows: int = Field(16, ge=1, le=256, description="answers generated together at the most")


def parse_train_spec(fields: dict[str, object]) -> TrainSpec:
    """Validate `fields` (strings are converted). Raises BadSpec with one sentence that names field and limit."""
    try:
        return TrainSpec.model_validate(fields)
    except ValidationError as error:
        raise BadSpec(_sentence(error)) from None


def read_train_spec(run_dir: Path) -> TrainSpec:
    """The spec of a run folder. Raises BadSpec when it is missing or damaged."""
    return parse_train_spec_json(_read(run_dir))


def parse_train_spec_json(text: str) -> TrainSpec:
    """Like `parse_train_spec`, from JSON text."""
    try:
        return TrainSpec.model_validate_json(text)
    except ValidationError as error:
        raise BadSpec(_sentence(error)) from None


def read_engine_spec(run_dir: Path) -> EngineSpec:
    """The spec of an inference process. Raises BadSpec when it is missing or damaged."""
    try:
        return EngineSpec.model_validate_json(_read(run_dir))
    except ValidationError as error:
        raise BadSpec(_sentence(error)) from None


def _read(run_dir: Path) -> str:
    path = run_dir / SPEC_FILE
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadSpec(f"Cannot read {path}: {error.strerror or error}.") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "spec"
    if first["type"] == "extra_forbidden":
        return f"There is no setting '{field}'; there are: {', '.join(sorted(TRAIN_FIELDS))}."
    return f"Setting '{field}' cannot be {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."
