"""When a run is past saving: a loss that is no number, one that runs away, one that jumps and stays up.

Each ends the run with one sentence, before a checkpoint could be written over a good one. A spike of a few steps comes
back by itself and is left alone. What it leaves out: validation losses that rise slowly (see `patience` and `keep`).
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from studio.contract.spec import TrainSpec
from studio.errors import JobFailed

RUNAWAY, STEPS = 1.5, 10
"""A loss so many times what it was at first (and the slack more), for so many steps in a row, does not come back."""

SPIKE = 2.0
"""So many times the recent loss (and the slack more) is a spike."""

RECENT = 50
"""Losses behind the recent one, their median; fewer than a fifth of them say nothing yet."""


class LossGuard:
    """Looks at each step's loss. `slack`: what a loss may rise in nats whatever it was, for a small one doubles easily.

    The recent loss stands still while a spike lasts, or a run would get used to it.
    """

    def __init__(self, slack: float = 1.0) -> None:
        self._slack = slack
        self._first: float | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._above_first = self._above_recent = 0

    def check(self, step: int, loss: float, norm: float, rate: float) -> None:
        """Raise JobFailed when the step's loss, or the norm of its gradients, says that the run is lost.

        `rate` is the run's learning rate, for the sentence.
        """
        advice = f"lower learning_rate (now {rate:g}) and start again"
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = "loss is" if not math.isfinite(loss) else "gradients are"
            raise JobFailed(f"The {what} no longer a number at step {step}, so training ended: {advice}.")
        if self._first is None:
            self._first = loss
        self._refuse_runaway(step, loss, advice)
        self._refuse_jump(step, loss, advice)

    def _refuse_runaway(self, step: int, loss: float, advice: str) -> None:
        assert self._first is not None
        most = RUNAWAY * self._first + self._slack
        self._above_first = self._above_first + 1 if loss > most else 0
        if self._above_first >= STEPS:
            raise JobFailed(
                f"The loss has been above {most:.2f} for {STEPS} steps (it began at {self._first:.2f}), so training "
                f"ended at step {step}: {advice}."
            )

    def _refuse_jump(self, step: int, loss: float, advice: str) -> None:
        usual = median(self._recent) if len(self._recent) >= RECENT // 5 else math.inf
        if loss <= SPIKE * usual + self._slack:
            self._above_recent = 0
            self._recent.append(loss)
            return
        self._above_recent += 1
        if self._above_recent >= STEPS:
            raise JobFailed(
                f"The loss jumped from about {usual:.2f} to {loss:.2f} and stayed there for {STEPS} steps, so training "
                f"ended at step {step}: {advice}, or look for broken rows."
            )


def guard_of(spec: TrainSpec) -> LossGuard:
    """The guard for a run's own loss: IPO's is a square around (1 / 2 beta)², so its noise is of that size."""
    return LossGuard(max(1.0, (1 / (2 * spec.beta)) ** 2) if spec.objective == "ipo" else 1.0)


def check_validation(loss: float, step: int) -> None:
    """Raise JobFailed when a validation loss is no number."""
    if not math.isfinite(loss):
        raise JobFailed(
            f"The validation loss is no longer a number at step {step}, so training ended: lower learning_rate and "
            "start again."
        )
