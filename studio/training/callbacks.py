"""What happens between optimiser steps: progress, validation, checkpoints, and answering a stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from transformers import TrainerCallback

from studio.training.guards import LossGuard
from studio.training.report import Report
from studio.training.stop import Stop, Stopped
from studio.training.together import Ranks

_RECENT = 0.1
"""Weight of the newest step in the running speed (about the last twenty steps count)."""


def marks(steps: int, count: int, with_last: bool) -> frozenset[int]:
    """`count` steps spread evenly over 1…`steps`, the last of them `steps` itself when `with_last`."""
    parts = count if with_last else count + 1
    return frozenset(step for part in range(1, count + 1) if (step := round(part * steps / parts)) > 0)


class Progress(TrainerCallback):
    """Reports each step. `tokens_after[s]` is the number of non-padding tokens that `s` steps have seen.

    Raises JobFailed when the loss says that the run is lost (studio.training.guards), before a checkpoint could be
    written over a good one.
    """

    def __init__(
        self,
        report: Report,
        tokens_after: Sequence[int],
        epoch_rows: int,
        rows_per_step: int,
        guard: LossGuard | None = None,
    ) -> None:
        self._report = report
        self._tokens = tokens_after
        self._epochs_a_step = rows_per_step / epoch_rows
        self._began = 0.0
        self._speed = 0.0
        self._guard = guard or LossGuard()
        self.busy_seconds = 0.0
        self.first_step = 0
        self.last_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first_step = self.last_step = state.global_step
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        self.last_step = step
        seconds = max(time.monotonic() - self._began, 1e-9)
        self.busy_seconds += seconds
        now = (self._tokens[step] - self._tokens[step - 1]) / seconds
        self._speed = now if not self._speed else (1 - _RECENT) * self._speed + _RECENT * now

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        step = state.global_step
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm") or 0.0)
        self._guard.check(step, loss, norm, args.learning_rate)
        self._report.step(
            last=step >= state.max_steps,
            step=step,
            steps=state.max_steps,
            epoch=round(step * self._epochs_a_step, 4),
            loss=loss,
            learning_rate=float(logs.get("learning_rate") or 0.0),
            tokens=self._tokens[step],
            tokens_per_second=round(self._speed, 1),
            eta_seconds=round((self._tokens[state.max_steps] - self._tokens[step]) / max(self._speed, 1e-9), 1),
            memory_bytes=memory_bytes(args.device),
            grad_norm=norm,
        )

    def resume_clock(self) -> None:
        """Start timing the next step now: what came since the last one (validation, a save) was not training."""
        self._began = time.monotonic()


class Between(TrainerCallback):
    """Validation and checkpoints at their steps, and a checkpoint plus the end when a stop was asked for, or when
    `enough` says after a validation pass that more steps would not help. Several processes agree at each step."""

    def __init__(
        self,
        stop: Stop,
        progress: Progress,
        validate: Callable[[int], None],
        validate_at: frozenset[int],
        save_at: frozenset[int],
        enough: Callable[[], bool] = lambda: False,
        ranks: Ranks = Ranks(),  # noqa: B008  # frozen
    ) -> None:
        self._stop = stop
        self._ranks, self._agreed = ranks, False
        self._progress = progress
        self._validate = validate
        self._validate_at = validate_at
        self._save_at = save_at
        self._enough = enough

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0 and self._validate_at:
            self._validate_unless_stopped(0)
        self._progress.resume_clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        step = state.global_step
        self._agreed = self._ranks.any(self._stop.asked)
        self._stop.asked |= self._agreed  # somebody else may have been asked
        if step in self._save_at or step >= state.max_steps or self._agreed:
            control.should_save = True
        if self._agreed:
            control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        # Behind Progress, so that a loss that is no number ends the run before it is validated or saved.
        asked = self._stop.asked if self._ranks.count == 1 else self._agreed  # all of them measure, or none
        if logs and "loss" in logs and state.global_step in self._validate_at and not asked:
            self._validate_unless_stopped(state.global_step)
            if self._enough():
                control.should_save = control.should_training_stop = True
        self._progress.resume_clock()
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stop.saved_step = state.global_step
        self._progress.resume_clock()

    def _validate_unless_stopped(self, step: int) -> None:
        with suppress(Stopped):  # asked for in the middle of validation: the step loop saves and ends
            self._validate(step)


def memory_bytes(device: torch.device) -> int:
    """Memory held for the run: on the device where it has its own, else this process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    import psutil

    return int(psutil.Process().memory_info().rss)
