"""The best weights of a run so far, by validation loss: kept beside the checkpoints, taken when training is over.

A later state can be worse than an earlier one (the rows are learnt by heart); what the user gets is the best that was
measured. The file is replaced as a whole, so a kill leaves the old one. Of equals the earlier stays.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.disk import sync
from studio.models.folders import weight_files
from studio.training.methods import load, write

FOLDER = "best"
_NOTES = "losses.json"


@dataclass(frozen=True)
class Measured:
    """A validation pass: optimiser steps before it, mean loss in nats an answer token."""

    step: int
    loss: float


class Best:
    """Validation passes of a run and the weights of the best one, under `<run_dir>/best`.

    `keep`: whether weights are kept at all; `patience`: passes without a better loss after which training is to end,
    0 for never; `from_step`: the step that the run goes on from: what was measured behind it will be measured again;
    `writes`: False for the helpers of a multi-GPU run, which measure the same and leave the files to the first process.
    """

    def __init__(self, run_dir: Path, keep: bool, patience: int, from_step: int = 0, writes: bool = True) -> None:
        self._folder, self._keep, self._patience, self._writes = run_dir / FOLDER, keep, patience, writes
        self.passes = [measured for measured in _read(self._folder / _NOTES) if measured.step <= from_step]
        if keep and self.passes and not weight_files(self._folder / str(self.step)):
            self.passes = []

    def offer(self, model: Any, step: int, loss: float) -> None:
        """Note a validation pass, and keep the weights of `model` where none before was better."""
        self.passes = [measured for measured in self.passes if measured.step != step] + [Measured(step, loss)]
        best = self._best()
        if not self._writes or not self._folder.parent.is_dir():
            return
        if self._keep and best is not None and best.step == step:
            self._put(model, step)
        _write(self._folder / _NOTES, self.passes)
        for old in self._folder.glob("[0-9]*"):
            if best is not None and old.name != str(best.step):
                shutil.rmtree(old, ignore_errors=True)

    @property
    def step(self) -> int | None:
        """The step with the lowest validation loss; None before the first pass."""
        best = self._best()
        return best.step if best else None

    def measured(self, step: int) -> bool:
        """Whether there was a validation pass after a step."""
        return any(measured.step == step for measured in self.passes)

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` passes were no better than one before them."""
        best = self._best()
        if not self._patience or best is None:
            return False
        return sum(measured.step > best.step for measured in self.passes) >= self._patience

    def restore(self, model: Any, last_step: int) -> int | None:
        """Put the best weights into `model` where they are not those of `last_step`; its step, None where nothing was
        done."""
        best = self._best()
        if not self._keep or best is None or best.step == last_step:
            return None
        load(model, self._folder / str(best.step))
        return best.step

    def _best(self) -> Measured | None:
        return min(self.passes, key=lambda measured: (measured.loss, measured.step), default=None)

    def _put(self, model: Any, step: int) -> None:
        temporary, place = self._folder / ".writing", self._folder / str(step)
        shutil.rmtree(temporary, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        try:
            write(model, temporary)
            sync(temporary)
            shutil.rmtree(place, ignore_errors=True)
            temporary.replace(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _read(path: Path) -> list[Measured]:
    try:
        return [Measured(int(step), float(loss)) for step, loss in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _write(path: Path, passes: list[Measured]) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps([[measured.step, measured.loss] for measured in passes]), encoding="utf-8")
    temporary.replace(path)
