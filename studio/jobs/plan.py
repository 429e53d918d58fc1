"""What a run will do and take, said before the click: device, method, steps, minutes, memory, and the reason for each.

Minutes come from the newest finished run of the same base model on the same kind of device where there is one, else
from a matrix product timed here. Memory is arithmetic over the model's shape. Both are estimates and are shown as such.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.database import Database
from storage.runs import list_runs
from storage.snapshots import get_snapshot
from studio.contract.spec import TrainSpec
from studio.errors import BadFile, NotFound
from studio.jobs.devices import Device, list_devices
from studio.jobs.models import Shape, model_shape
from studio.jobs.runs import make_spec
from studio.settings import Workspace

_CHARACTERS_PER_TOKEN = 3.8
"""Mean over English text with a 49k vocabulary (SmolLM2's on this project's sample pairs: 3.8)."""
_TURN_TOKENS = 8
_PROCESS_BYTES = 700_000_000
"""Resident size of Python with torch and transformers loaded, before any weights."""
_CPU_EFFICIENCY = 0.4
"""Share of the matrix-product ceiling that LoRA training reaches on a CPU."""


@dataclass(frozen=True)
class Plan:
    """A run before it starts. `minutes` and `memory_bytes` are None where they cannot be told yet."""

    spec: TrainSpec
    device: Device
    train_rows: int
    validation_rows: int
    steps: int
    tokens: int
    minutes: float | None
    memory_bytes: int | None
    reasons: tuple[tuple[str, str], ...]

    @property
    def method(self) -> str:
        """The method in the field's words."""
        return f"LoRA r{self.spec.lora_rank}"


def plan_run(
    db: Database,
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None = None,
    project_id: str | None = None,
) -> Plan:
    """Plan a run without starting it. Raises BadSpec, BadModel, NotFound, BadFile."""
    snapshot = get_snapshot(db, snapshot_id, project_id)
    spec = make_spec(workspace, snapshot.id, base_model, settings)
    device = _device(spec)
    shape = model_shape(workspace.models, spec.base_model)
    steps = spec.steps(snapshot.train_rows)
    row_tokens = _tokens_by_row(spec.snapshot / "train.parquet", spec.max_length)
    tokens = int(row_tokens.mean() * steps * spec.rows_per_step) if len(row_tokens) else 0
    speed, why_speed = _speed(db, spec, device, shape)
    return Plan(
        spec=spec,
        device=device,
        train_rows=snapshot.train_rows,
        validation_rows=snapshot.validation_rows,
        steps=steps,
        tokens=tokens,
        minutes=tokens / speed / 60 if speed else None,
        memory_bytes=_memory(spec, device, shape, row_tokens) if shape else None,
        reasons=_reasons(spec, steps, snapshot.train_rows, why_speed),
    )


def _device(spec: TrainSpec) -> Device:
    devices = list_devices()
    return next((device for device in devices if device.kind == spec.device), devices[0])


def _tokens_by_row(path: Path, limit: int) -> np.ndarray:
    """Estimated tokens of each training row, shape (rows,). Raises NotFound, BadFile."""
    try:
        rows = pq.read_table(path, columns=["messages"]).column("messages").to_pylist()
    except FileNotFoundError:
        raise NotFound(
            f"The files of snapshot {path.parent.name} are gone from {path.parent}: freeze it again."
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise BadFile(f"{path} is damaged ({str(error).splitlines()[0]}): freeze the snapshot again.") from None
    lengths = [
        sum(len(turn["content"]) / _CHARACTERS_PER_TOKEN + _TURN_TOKENS for turn in messages) for messages in rows
    ]
    return np.minimum(np.array(lengths, dtype=np.float64), limit)


def _speed(db: Database, spec: TrainSpec, device: Device, shape: Shape | None) -> tuple[float | None, str]:
    """Tokens a second, and where the figure comes from."""
    for run in list_runs(db):
        same = run.base_model == spec.base_model and (run.device or "").lower().startswith(device.kind)
        if same and run.state == "done" and run.tokens_per_second:
            return run.tokens_per_second, f"run {run.number} reached {run.tokens_per_second:.0f} tokens/s here"
    if device.kind != "cpu" or shape is None:
        return None, "the first steps will tell: nothing like it has run here yet"
    # Forward and the gradient of the activations, two operations a weight each; LoRA needs none for frozen weights.
    speed = _cpu_flops() * _CPU_EFFICIENCY / (4 * shape.parameters)
    return speed, f"a matrix product timed here suggests {speed:.0f} tokens/s"


@lru_cache(maxsize=1)
def _cpu_flops() -> float:
    """Operations a second of a float32 matrix product on this machine (best of five, about 50 ms)."""
    a = np.random.default_rng(0).standard_normal((768, 768), dtype=np.float32)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return float(2 * 768**3 / best)


def _memory(spec: TrainSpec, device: Device, shape: Shape, row_tokens: np.ndarray) -> int:
    """Peak bytes: process, weights, LoRA with Adam, activations of the longest batch, logits of its answers."""
    width = 2 if device.kind == "cuda" and spec.dtype != "float32" else 4
    weights = shape.parameters * width
    lora = 16 * spec.lora_rank * shape.layers * (8 * shape.hidden + 3 * (shape.hidden + shape.intermediate))
    longest = np.sort(row_tokens)[-spec.batch_size :]
    batch_tokens = float(longest.max(initial=0)) * len(longest)
    # Kept for backward by layer and token: about 16 vectors of the hidden size and 4 of the feed-forward size.
    activations = batch_tokens * shape.layers * width * (16 * shape.hidden + 4 * shape.intermediate)
    logits = 0.5 * batch_tokens * shape.vocabulary * 12
    process = _PROCESS_BYTES if device.kind != "cuda" else 0
    return int(process + weights + lora + activations + logits)


def _reasons(spec: TrainSpec, steps: int, rows: int, why_speed: str) -> tuple[tuple[str, str], ...]:
    passes = f"{spec.max_steps} steps as set" if spec.max_steps else f"{spec.epochs:g} passes over {rows} rows"
    return (
        ("LoRA", f"rank {spec.lora_rank} on every linear layer: learns a style or format from hundreds of pairs, "
                 "leaves the base model as it is, and saves to a few megabytes"),
        ("Steps", f"{steps}: {passes}, {spec.rows_per_step} rows a step"),
        ("Learning rate", f"{spec.learning_rate:g}, {spec.schedule} after {spec.warmup_ratio:.0%} warm-up: "
                          "a rate at which LoRA learns quickly and stays stable"),
        ("Length", f"rows of up to {spec.max_length} tokens; longer ones are left out and reported"),
        ("Time", why_speed),
        ("Loss", "on the answer's tokens only: the prompt is read, not learnt"),
    )  # fmt: skip
