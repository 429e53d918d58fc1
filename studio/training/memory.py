"""Memory in a run: activation checkpointing where it is needed, and smaller parts of a batch once memory ran out.

A step that does not fit is done again from its first batch, in parts of half the rows. The loss of a step is a sum over
its targets divided by their number, so the parts add up to the same step: nothing is lost and nothing learnt twice.
Left out: the optimiser's own memory, and runs over several processes (their gradients are summed batch by batch).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from studio.contract.footprint import Batch, Footprint, footprint
from studio.contract.shapes import shape_of_config
from studio.contract.spec import TrainSpec
from studio.errors import JobFailed
from studio.training.data import IGNORED
from studio.training.report import Report

Inputs = Mapping[str, Any]

_HELPS = "lower max_length, set gradient_checkpointing=on, take a method that trains less (lora, ia3) or a smaller base"


class Thrift:
    """Trains micro-batches whole while they fit, and in ever more parts when they do not. `warn` is told of each."""

    def __init__(self, warn: Callable[[str], None], alone: bool = True) -> None:
        self._warn, self._alone = warn, alone
        self._seen: list[Inputs] = []
        self._step = -1
        self.parts = 1

    def train(self, step: int, inputs: Inputs, one: Callable[[Inputs], Tensor], forget: Callable[[], None]) -> Tensor:
        """The loss of a micro-batch of optimiser step `step`, its gradients added to those of the step.

        `one` does forward and backward of a part; `forget` drops the gradients of the step, which is then begun anew.
        Raises JobFailed when a single row does not fit.
        """
        if step != self._step:
            self._step, self._seen = step, []
        self._seen.append(inputs)
        todo: Sequence[Inputs] = [inputs]
        while True:
            loss = self._tried(todo, one)
            if loss is not None:
                return loss
            forget()
            _give_back()
            self._halve(inputs, step)
            todo = self._seen  # whatever the step had added up went with the gradients

    def _tried(self, todo: Sequence[Inputs], one: Callable[[Inputs], Tensor]) -> Tensor | None:
        """The loss of the last of `todo`, or None when memory ran out; outside of the error its tensors are free."""
        try:
            losses = [sum_of([one(part) for part in parts_of(inputs, self.parts)]) for inputs in todo]
            return losses[-1]
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            return None

    def _halve(self, inputs: Inputs, step: int) -> None:
        rows = rows_of(inputs)
        if not self._alone or self.parts >= rows:
            small = "the batches of each process" if not self._alone else "a single row"
            raise JobFailed(f"The memory of this device is too small for {small}: {_HELPS}.")
        self.parts = min(2 * self.parts, rows)
        self._warn(
            f"Memory ran out at step {step + 1}: batches are now trained in {self.parts} parts of at most "
            f"{-(-rows // self.parts)} rows. A step still sees the same rows, so the result is the same."
        )


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    texts = ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator")
    told = isinstance(error, RuntimeError) and any(text in str(error).lower() for text in texts)
    return told or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def rows_of(inputs: Inputs) -> int:
    """Rows of a batch; of a packed one (a single sequence) the rows that lie in it."""
    starts = _starts(inputs)
    return len(starts) if starts else int(inputs["labels"].shape[0])


def parts_of(inputs: Inputs, parts: int) -> list[Inputs]:
    """A batch as so many batches of nearly as many rows; tensors along rows are cut, everything else is shared."""
    rows = rows_of(inputs)
    if parts <= 1 or rows <= 1:
        return [inputs]
    edges = [rows * part // parts for part in range(parts + 1)]
    spans = [(low, high) for low, high in pairwise(edges) if high > low]
    starts = _starts(inputs)
    if starts:
        return [_cut(inputs, 1, starts[low], [*starts, _width(inputs)][high]) for low, high in spans]
    return [_cut(inputs, 0, low, high) for low, high in spans]


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """The losses added up: each is its share of the step's."""
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total


def _starts(inputs: Inputs) -> list[int]:
    """Where the rows of a packed sequence begin: position 0 of each; none where batches are not packed."""
    positions = inputs.get("position_ids")
    if positions is None or positions.shape[0] != 1:
        return []
    return [int(at) for at in (positions[0] == 0).nonzero().flatten()]


def _width(inputs: Inputs) -> int:
    return int(inputs["position_ids"].shape[1])


def _cut(inputs: Inputs, dim: int, low: int, high: int) -> Inputs:
    size = rows_of(inputs) if dim == 0 else _width(inputs)
    return {
        name: value.narrow(dim, low, high - low)
        if isinstance(value, Tensor) and value.dim() > dim and value.shape[dim] == size
        else value
        for name, value in inputs.items()
    }


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def batch_of(collated: Inputs) -> Batch:
    """Rows and tokens of a collated batch, for arithmetic."""
    labels = collated["labels"]
    answer = int(labels.shape[1]) if labels.dim() > 1 else 0
    ids = collated["input_ids"]
    return Batch(int(ids.shape[0]), int(ids.shape[1]), answer, int((labels != IGNORED).sum()))


def predicted(spec: TrainSpec, model: Any, longest: Inputs, device: torch.device, checkpointing: bool) -> Footprint:
    """The peak of this run by the batch that has the longest rows (see studio.contract.footprint)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    parameters = list(inner.parameters())
    frozen = [parameter for parameter in parameters if not parameter.requires_grad] or parameters
    count = sum(parameter.numel() for parameter in frozen)
    return footprint(
        shape_of_config(inner.config.to_dict(), count),
        spec.method,
        spec.lora_rank,
        batch_of(longest),
        device.type,
        half=frozen[0].dtype == torch.bfloat16,
        checkpointing=checkpointing,
        accumulating=spec.gradient_accumulation > 1,
        prompt_tokens=spec.prompt_tokens,
    )


def room_bytes(device: torch.device) -> int:
    """Bytes that this process may come to hold on its device: what is free, and what it holds already."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    import psutil

    return int(psutil.virtual_memory().available + psutil.Process().memory_info().rss)


def fit(
    spec: TrainSpec, model: Any, longest: Inputs, device: torch.device, report: Report, alone: bool = True
) -> Thrift:
    """Make a run fit before its first step, and be ready for its needing more than was thought."""
    on = set_checkpointing(spec, model, longest, device)
    if on and spec.gradient_checkpointing == "auto":
        report.state("training", "Activations are checkpointed: without that the run would not fit into the memory")
    return Thrift(report.warning, alone)


def set_checkpointing(spec: TrainSpec, model: Any, longest: Inputs, device: torch.device) -> bool:
    """Switch activation checkpointing on where the spec says so, or where the run would not fit without; whether."""
    wanted = spec.gradient_checkpointing == "on"
    if spec.gradient_checkpointing == "auto":
        try:
            wanted = predicted(spec, model, longest, device, False).total > 0.9 * room_bytes(device)
        except ValueError:  # a config whose sizes are no numbers: nothing can be told
            wanted = False
    able = hasattr(model, "activation_checkpointing_enable") and getattr(model, "supports_gradient_checkpointing", True)
    if wanted and able:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return wanted and able
