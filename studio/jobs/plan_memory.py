"""Predicted peak memory of a run, and the largest micro-batch that fits the room there is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from studio.contract.footprint import Footprint, footprint
from studio.contract.shapes import Shape
from studio.contract.spec import TrainSpec
from studio.jobs.devices import Device
from studio.jobs.plan_tokens import Lengths

ROOM = 0.9
"""Share of the free memory that a plan takes: it is an estimate, and other programs live here too."""


@dataclass(frozen=True)
class Fit:
    """The micro-batch (rows a forward pass) and whether checkpointing is needed for it; `footprint` with both.

    `fits` is False where not even one row does.
    """

    micro_batch: int
    checkpointing: bool
    footprint: Footprint
    fits: bool


def predict(spec: TrainSpec, shape: Shape, device: Device, lengths: Lengths, checkpointing: bool) -> Footprint:
    """The peak of a run as its spec has it: on each of its GPUs, or of all its processes where they share a memory."""
    packed = spec.packing != "off" and shape.family == "causal" and spec.method != "prompt" and not spec.neftune
    batch = lengths.longest(spec.rows_per_pass, row_limit(spec, shape), packed)
    if spec.objective != "sft":  # preferred and rejected answers side by side, and the logits of every token
        batch = replace(batch, rows=2 * batch.rows, targets=2 * batch.rows * batch.tokens)
    found = footprint(
        shape,
        spec.method,
        spec.lora_rank,
        batch,
        device.kind,
        half=halves(spec, device),
        checkpointing=checkpointing,
        accumulating=spec.gradient_accumulation > 1,
        prompt_tokens=spec.prompt_tokens,
        whole_logits=spec.objective != "sft",
    )
    if device.kind == "cuda" or spec.ranks == 1:
        return found
    return replace(found, **{one.name: spec.ranks * getattr(found, one.name) for one in fields(found)})


def fit(spec: TrainSpec, shape: Shape, device: Device, lengths: Lengths) -> Fit:
    """The largest micro-batch of the spec's effective batch that fits; checkpointing only where nothing fits without
    (or where it is switched on)."""
    room = int(ROOM * device.free_bytes)
    choices = {"on": (True,), "off": (False,), "auto": (False, True)}[spec.gradient_checkpointing]
    tried: list[Fit] = []
    for checkpointing in choices:
        for micro in divisors(spec.rows_per_step):
            made = spec.model_copy(update={"batch_size": micro, "gradient_accumulation": spec.rows_per_step // micro})
            found = predict(made, shape, device, lengths, checkpointing)
            tried.append(Fit(micro, checkpointing, found, found.total <= room))
            if tried[-1].fits:
                return tried[-1]
    return tried[-1]


def divisors(number: int) -> list[int]:
    """All divisors, the largest first: micro-batches that make up the same effective batch."""
    return [micro for micro in range(number, 0, -1) if number % micro == 0]


def halves(spec: TrainSpec, device: Device) -> bool:
    """Whether the frozen weights are held in two bytes a number (see studio.models.devices.pick_dtype)."""
    return spec.dtype == "bfloat16" or (spec.dtype == "auto" and device.kind == "cuda")


def row_limit(spec: TrainSpec, shape: Shape | None) -> int:
    """Tokens that a row may have: never more than the model has positions for."""
    return min(spec.max_length, shape.window or spec.max_length) if shape else spec.max_length
