"""The one call that makes a model train at the machine's speed, and what it decided for the run's log.

It changes how a model is computed, never what: packing.py, low_rank.py and compiling.py say each how, and why it is the
same. What it leaves out: memory (memory.py) and preference runs, whose steps are TRL's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.contract.spec import TrainSpec
from studio.models.loading import LoadedBase
from studio.training.compiling import Choice, can_compile, choose, compile_layers, repeated_layers, seconds_eager
from studio.training.low_rank import quicken
from studio.training.packing import prepare
from studio.training.report import Report


def make_quick(
    model: Any,
    base: LoadedBase,
    spec: TrainSpec,
    lengths: Sequence[int],
    tokens: int,
    report: Report,
    before: object = None,
) -> dict[str, object]:
    """Pack batches, add low-rank products in place and compile layers, each where it is right and pays.

    `lengths`: tokens of every row that the run will see; `tokens`: those of all its steps; `before`: what `compiled`
    was when the run first began, so that a resumed run computes as it did. Draws no random number. The result goes into
    the `state` event that says that training begins.
    """
    if spec.objective != "sft":
        return {"packed": False, "quick_layers": 0, "compiled": "off: steps are TRL's"}
    packed = base.family == "causal" and prepare(model, spec, max(lengths, default=0))
    if spec.packing == "on" and not packed:
        report.warning("This model cannot have several rows in one sequence: batches of rows of like length are used.")
    quick = quicken(model)
    own = sum(weight.numel() for layer in repeated_layers(model) for weight in layer.parameters())
    expected = seconds_eager(own, tokens, base.device, base.dtype) if spec.compile == "auto" else 0.0
    choice = choose(spec, base.device, expected)
    if isinstance(before, str) and choice.on != before.startswith("on") and can_compile(base.device):
        choice = Choice(before.startswith("on"), "as when the run began")
    if choice.on:
        compile_layers(model)
    return {"packed": packed, "quick_layers": quick, "compiled": f"{'on' if choice.on else 'off'}: {choice.reason}"}
