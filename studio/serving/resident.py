"""The engine of a server while it is in memory; how it leaves, so that a job can have the room, and comes back.

What it leaves out: who wants the memory (studio.jobs.lending), and whether anybody asks just now (scheduler.py).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import torch

from studio.errors import JobFailed
from studio.inference.engine import Engine
from studio.inference.others import free_bytes
from studio.inference.places import find

_LENT = "The memory of this model is lent to a job that trains: ask again when that has ended."
_CHANGED = "The files of the base model have changed since the server began: start the server anew."
_SPARE = 1.25
"""Room beside the weights for a first answer, as a share of them."""


class Lent(JobFailed):
    """The model is not in memory, and there is no room for it now."""


class Resident:
    """Holds the engine that `make` loads, and no one else does: with `leave` its memory is free. For use by one thread.

    `base`, `base_hash`, `device`: of the base model, also while it is away; `bytes`: what its weights take.
    """

    def __init__(self, make: Callable[[], Engine]) -> None:
        engine = make()
        self._make = make
        self._engine: Engine | None = engine
        self._runs: Path = engine.runs
        self._where = engine.base.device
        self.base, self.base_hash, self.device = engine.base.name, engine.base.weights_hash, str(self._where)
        self.bytes = int(engine.base.model.get_memory_footprint())

    @property
    def away(self) -> bool:
        """Whether the engine has left the memory."""
        return self._engine is None

    def engine(self, held: int = 0) -> Engine:
        """The engine, which comes back where it was away: in seconds to minutes, and only beside `held` bytes, which
        others are to have. Raises Lent, JobFailed (its files are others now), BadModel."""
        if self._engine is None:
            self._engine = self._back(held)
        return self._engine

    def check_run(self, run: str) -> None:
        """Whether a run could be loaded, as far as can be told with the engine away. Raises BadInput, NotFound."""
        find(self._runs, run)

    def leave(self) -> None:
        """Let go of the engine and all that it has loaded."""
        self._engine = None
        gc.collect()
        if self._where.type == "cuda":
            torch.cuda.empty_cache()

    def _back(self, held: int) -> Engine:
        if free_bytes(self._where) < self.bytes * _SPARE + held:
            raise Lent(_LENT)
        try:
            engine = self._make()
        except torch.OutOfMemoryError:
            raise Lent(_LENT) from None
        if engine.base.weights_hash != self.base_hash:
            raise JobFailed(_CHANGED)
        return engine
