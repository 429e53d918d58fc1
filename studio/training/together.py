"""Processes that train as one (ranks): who this one is, which rows of a step are its own, what all of them agree on.

The effective batch and its order are the run's, whatever the number of processes: each step's rows are dealt out, so a
run may go on from a checkpoint with another number. torch.distributed is loaded only where there is more than one. What
it leaves out: starting them (helpers.py), and the summing of gradients, which is torch's DDP in trainer.py.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch

from studio.errors import BadSpec
from studio.training.data import IGNORED, Row
from studio.training.helpers import MEETING
from studio.training.loss import RowLoss

PATIENCE = timedelta(hours=2)
"""What one may do alone while the others wait, such as writing a large checkpoint; a dead one is noticed at once."""

_T = TypeVar("_T")


def world_size() -> int:
    """Processes of this run, started by helpers.py or a launcher such as accelerate's; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process among them; 0 is the one that reports and writes."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class Ranks:
    """The processes of a run; `group` is where they agree, on the CPU, None for a run of one process."""

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the one that reports and writes."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether it is true in any of them; each has to ask."""
        if self.count == 1:
            return flag
        found = torch.tensor(int(flag))
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group=self.group)
        return bool(found)

    def gathered(self, own: Sequence[tuple[float, float]], total: int) -> list[tuple[float, float]]:
        """The pairs of numbers that each of them has for its `share` of `total` things, in the order of the whole."""
        if self.count == 1:
            return list(own)
        sent = torch.zeros(-(-total // self.count), 2, dtype=torch.float64)
        sent[: len(own)] = torch.tensor(list(own), dtype=torch.float64).reshape(-1, 2)
        parts = [torch.empty_like(sent) for _ in range(self.count)]
        torch.distributed.all_gather(parts, sent, group=self.group)
        rows = torch.stack(parts, 1).reshape(-1, 2)[:total].tolist()
        return [(first, second) for first, second in rows]

    def share(self, whole: Sequence[_T]) -> list[_T]:
        """Every so-manieth of a sequence, from its own number on."""
        return list(whole[self.rank :: self.count])


def meet(device: torch.device, objective: str = "sft") -> Ranks:
    """Find the other processes of this run. Raises BadSpec where there are fewer GPUs than processes, or where only one
    can learn the objective."""
    count = world_size()
    if count == 1:
        return Ranks()
    if objective != "sft":
        raise BadSpec(f"Objective {objective} is learnt by one process: start the run without a launcher.")
    import torch.distributed as dist

    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(count)))
    if device.type == "mps" or (device.type == "cuda" and torch.cuda.device_count() < local):
        here = torch.cuda.device_count() if device.type == "cuda" else 1
        raise BadSpec(f"{local} processes need a GPU each, and there is {here} here: lower 'processes'.")
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        file = os.environ.get(MEETING)
        place: dict[str, Any] = {"store": dist.FileStore(file, count)} if file else {"init_method": "env://"}
        dist.init_process_group(backend, rank=rank(), world_size=count, timeout=PATIENCE, **place)
    # Flags and losses go over the CPU: a GPU's queue would have to run dry for each.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")  # accelerate's business
    group = dist.new_group(backend="gloo", timeout=PATIENCE) if device.type == "cuda" else dist.group.WORLD
    return Ranks(rank(), count, group)


def shared_losses(
    ranks: Ranks, losses: Any, model: Any, rows: Sequence[Row], pad: int, batch_size: int, check: Callable[[], None]
) -> list[RowLoss]:
    """The loss of each row as `losses` (a family's row_losses) has it, each process measuring its share."""
    if ranks.count == 1:
        return list(losses(model, rows, pad, batch_size, check))
    own = losses(model, ranks.share(rows), pad, batch_size)  # nobody leaves in the middle: the others would wait
    told = ranks.gathered([(one.total, one.targets) for one in own], len(rows))
    return [RowLoss(total, int(targets)) for total, targets in told]


def blank(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch of which nothing is learnt, for a process that has no row of its own in a pass."""
    return {**batch, "labels": torch.full_like(batch["labels"], IGNORED), "blank": True}


class Dealt:
    """The rows of each forward pass of one process, as places in the run's order: a batch sampler.

    The one process of a run would take a step's rows in passes of `batch_size`. Several take that many each, every
    `count`-th row of the same stretch, so that rows of like length stay together; a pass may have no row at all.
    """

    def __init__(self, total: int, steps: int, rows_per_step: int, batch_size: int, ranks: Ranks) -> None:
        self._total, self._steps, self._rows_per_step = total, steps, rows_per_step
        self._stretch, self._ranks = batch_size * ranks.count, ranks
        self.passes = -(-rows_per_step // self._stretch)

    def __len__(self) -> int:
        return self._steps * self.passes

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._steps):
            first, end = step * self._rows_per_step, min((step + 1) * self._rows_per_step, self._total)
            for start in range(first, first + self._rows_per_step, self._stretch):
                yield self._ranks.share(range(start, min(start + self._stretch, end)))


def through(wrapper: Any, inner: Any, work: Callable[[Any], torch.Tensor], inputs: Any) -> torch.Tensor:
    """`work(inputs)` within the forward of `wrapper` (DDP around `inner`), so that the gradients of what it calls are
    summed over the processes, whichever parts of the model those are."""

    own = inner.__dict__.get("forward")

    def forward(given: Any) -> torch.Tensor:
        if own is None:
            del inner.forward  # what `work` calls is to find the model's own
        else:
            inner.forward = own
        return work(given)

    inner.forward = forward
    loss: torch.Tensor = wrapper(inputs)
    return loss
