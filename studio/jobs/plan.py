"""What a run will do and take, said before the click: device, method, steps, minutes, memory, and the reason for each.

Minutes come from the newest finished run of the same base model, method and kind of device where there is one, else
from a matrix product timed here. Memory is arithmetic over the model's shape. Both are estimates and are shown as such.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from storage.database import Database
from storage.records import Snapshot
from storage.runs import list_runs
from storage.snapshots import get_snapshot
from studio.contract.footprint import Footprint, trainable
from studio.contract.methods import METHODS, offered
from studio.contract.shapes import Shape
from studio.contract.spec import Family, Method, TrainSpec
from studio.jobs.continuing import settings_from
from studio.jobs.defaults import Chosen
from studio.jobs.devices import Device, list_devices
from studio.jobs.models import check_base_model
from studio.jobs.plan_memory import ROOM, predict, row_limit
from studio.jobs.plan_spec import Completed, complete
from studio.language import tr
from studio.settings import Workspace

_CPU_EFFICIENCY = 0.45
"""Share of the matrix-product ceiling that training reaches on a CPU."""

_START_SECONDS = 15
"""From the click to the first step: the torch stack, the model, the tokens."""

_CURVE_ROWS = 128
"""Validation rows behind a point of the curve (studio.training.recipe)."""

_SAMPLE_SLOWNESS = 3.0
"""Time of a token that is written, in that of one that is trained on."""

_SLOWNESS: dict[Method, float] = {"dora": 1.4, "vera": 1.3, "qlora": 1.3, "prompt": 0.95, "ia3": 0.95}
"""Time of a step in that of LoRA, for methods that differ."""


@dataclass(frozen=True)
class Plan:
    """A run before it starts. `minutes` and `footprint` are None where they cannot be told yet.

    `chosen`: the settings that nobody set, with the reason of each; `fits` says whether the footprint has room;
    `preferences`: whether the snapshot has rejected answers to learn from.
    """

    spec: TrainSpec
    device: Device
    family: Family
    train_rows: int
    validation_rows: int
    steps: int
    tokens: int
    minutes: float | None
    footprint: Footprint | None
    checkpointing: bool
    trainable: int | None
    chosen: tuple[Chosen, ...]
    reasons: tuple[tuple[str, str], ...]
    preferences: bool = False

    @property
    def method(self) -> str:
        """The method in the field's words."""
        ranked = self.spec.method in ("lora", "rslora", "dora", "pissa", "lora-plus", "qlora", "vera")
        return tr(METHODS[self.spec.method].title) + (f" r{self.spec.lora_rank}" if ranked else "")

    @property
    def methods(self) -> list[Method]:
        """The methods that this family and machine can take."""
        return offered(self.family, self.device.kind == "cuda")

    @property
    def device_count(self) -> int:
        """Devices that the run takes at once."""
        return self.spec.ranks if self.device.kind == "cuda" else 1

    @property
    def memory_bytes(self) -> int | None:
        """Predicted peak, on each device."""
        return self.footprint.total if self.footprint else None

    @property
    def fits(self) -> bool:
        """Whether the predicted peak leaves some of the free memory; True while nothing is predicted."""
        return self.footprint is None or self.footprint.total <= ROOM * self.device.free_bytes


def plan_run(
    db: Database,
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None = None,
    project_id: str | None = None,
    from_run: str | None = None,
) -> Plan:
    """Plan a run without starting it; as `studio.jobs.runs.start_run`. Raises BadInput, BadModel, NotFound, BadFile."""
    snapshot = get_snapshot(db, snapshot_id, project_id)
    if from_run:
        settings = settings_from(db, workspace, from_run, snapshot, check_base_model(base_model), settings or {})
    made = complete(workspace, snapshot.id, base_model, settings)
    spec = made.spec
    steps = spec.steps(snapshot.train_rows)
    tokens = int(made.lengths.mean(row_limit(spec, made.shape)) * steps * spec.rows_per_step)
    speed, why_speed = _speed(db, made)
    checkpointing = made.fit.checkpointing if made.fit else spec.gradient_checkpointing == "on"
    return Plan(
        spec=spec,
        device=made.device,
        family=made.family,
        train_rows=snapshot.train_rows,
        validation_rows=snapshot.validation_rows,
        steps=steps,
        tokens=tokens,
        minutes=(tokens + _beside(made, snapshot)) / speed / 60 + _START_SECONDS / 60 if speed else None,
        footprint=predict(spec, made.shape, made.device, made.lengths, checkpointing) if made.shape else None,
        checkpointing=checkpointing,
        trainable=trainable(made.shape, spec.method, spec.lora_rank, spec.prompt_tokens) if made.shape else None,
        chosen=made.chosen,
        reasons=_reasons(made, steps, snapshot.train_rows, why_speed, checkpointing),
        preferences=made.lengths.preferences,
    )


def _speed(db: Database, made: Completed) -> tuple[float | None, str]:
    """Tokens a second, and where the figure comes from."""
    spec, device, shape = made.spec, made.device, made.shape
    for run in list_runs(db):
        same = run.base_model == spec.base_model and (run.device or "").lower().startswith(device.kind)
        kept = run.spec or {}
        same = same and kept.get("method", "lora") == spec.method and _ranks(kept) == spec.ranks
        if same and run.state == "done" and run.tokens_per_second:
            reached = {"number": run.number, "speed": run.tokens_per_second}
            return run.tokens_per_second, tr("run {number} reached {speed:.0f} tokens/s here", **reached)
    if device.kind != "cpu" or shape is None:
        return None, tr("the first steps will tell: nothing like it has run here yet")
    speed = _cpu_flops() * _CPU_EFFICIENCY / _operations(shape, spec.method)
    return speed, tr("a matrix product timed here suggests {speed:,.0f} tokens/s", speed=speed)


def _ranks(spec: Mapping[str, object]) -> int:
    """The processes of a run by its kept spec, of whatever version."""
    named = str(spec.get("devices") or "")
    return named.count(",") + 1 if named else int(str(spec.get("processes") or 1))


def _shared(made: Completed) -> str:
    """How many devices share each step, and how many could; '' where there is one."""
    spec, rows = made.spec, made.spec.rows_per_step
    if spec.ranks > 1:
        shared = {"count": spec.ranks, "rows": rows}
        if made.device.kind == "cuda":
            return tr("{count} GPUs share each step's {rows} rows; what is learnt is that of one", **shared)
        return tr("{count} processes of the CPU share each step's {rows} rows; what is learnt is that of one", **shared)
    count = sum(one.kind == "cuda" for one in list_devices()) if made.device.kind == "cuda" else 1
    could = min(count, rows)
    if could < 2 or spec.objective != "sft":
        return ""
    return tr(
        "1 of {count} GPUs; with processes={could} as many share each step's {rows} rows, and learn the same",
        **{"count": count, "could": could, "rows": rows},
    )


def _beside(made: Completed, snapshot: Snapshot) -> float:
    """What a run does beside its steps, as tokens of training that take as long: validation and held-out losses (a
    forward pass is half of a step or less), and the samples, whose tokens come one by one."""
    spec, mean = made.spec, made.lengths.mean(row_limit(made.spec, made.shape))
    held_out = snapshot.test_rows or snapshot.validation_rows
    passes = (spec.evaluations + 1) * min(snapshot.validation_rows, _CURVE_ROWS) if spec.evaluations else 0
    read = passes + 2 * min(held_out, spec.held_out_rows)
    answered = float(made.lengths.answers.mean()) if len(made.lengths) else 0.0
    samples = 2 * min(spec.samples, held_out) * min(spec.sample_tokens, answered)
    return 0.5 * read * mean + _SAMPLE_SLOWNESS * samples


def _operations(shape: Shape, method: Method) -> float:
    """Operations a token: forward and the gradient of the activations, two a weight each, and two more a weight that
    learns. The embedding is looked up, not multiplied."""
    looked_up = shape.vocabulary * shape.hidden if shape.family != "causal" else 0
    used = max(shape.parameters - looked_up, 1)
    return (6 if method == "full" else 4 * _SLOWNESS.get(method, 1.0)) * used


def _longer(spec: TrainSpec) -> str:
    if spec.overlong == "leave-out":
        return tr("than {tokens:,} tokens are left out and reported", tokens=spec.max_length)
    return tr("than {tokens:,} tokens lose the start of their prompt", tokens=spec.max_length)


@lru_cache(maxsize=1)
def _cpu_flops() -> float:
    """Operations a second of a float32 matrix product on this machine (best of twenty, some milliseconds each: on a
    busy machine a few of them have it for themselves)."""
    a = np.random.default_rng(0).standard_normal((512, 512), dtype=np.float32)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return float(2 * 512**3 / best)


def _reasons(
    made: Completed, steps: int, rows: int, why_speed: str, checkpointing: bool
) -> tuple[tuple[str, str], ...]:
    """What is true of the plan as a whole, beside the reasons of single settings."""
    spec = made.spec
    passes = tr("{epochs:g} passes over {rows:,} rows", epochs=spec.epochs, rows=rows)
    if spec.max_steps:
        passes = tr("{steps} steps as set", steps=spec.max_steps)
    learns = tr("on the answer's tokens; the prompt is read, not learnt")
    if made.family == "encoder":
        learns = tr("on the label; the text is read, not learnt")
    more = [(tr("Checkpointing"), tr("on: the memory asks for it; a third more time"))] if checkpointing else []
    more += [(tr("Devices"), told)] if (told := _shared(made)) else []
    return (
        (tr("Steps"), tr("{steps:,}: {passes}, {batch}", steps=steps, passes=passes, batch=_batch(spec))),
        (tr("Longer rows"), _longer(spec)),
        (tr("Time"), why_speed),
        (tr("Loss"), learns),
        *more,
    )


def _batch(spec: TrainSpec) -> str:
    rows, parts = spec.rows_per_step, spec.gradient_accumulation
    if parts == 1:
        return tr("{rows} rows a step", rows=rows)
    return tr(
        "{rows} rows a step in {parts} parts of {size}, so that it fits the memory",
        **{"rows": rows, "parts": parts, "size": spec.batch_size},
    )
