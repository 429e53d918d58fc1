"""The command `plan`: what a run would do and take, without starting it."""

from __future__ import annotations

from argparse import Namespace

from studio.commands import Outcome, opened
from studio.commands.spec_flags import settings_of, with_method
from studio.jobs.plan import Plan, plan_run
from studio.settings import Workspace


def plan(workspace: Workspace, flags: Namespace) -> Outcome:
    """`plan SNAPSHOT --model M [--method METHOD] [--set field=value]`: peak memory, minutes, micro-batch and the rest.

    The exit code is 1 where the run would not fit into the memory that is free.
    """
    settings = with_method(settings_of(flags.set), getattr(flags, "method", None))
    with opened(workspace) as db:
        made = plan_run(db, workspace, flags.snapshot, flags.model, settings)
    return Outcome(_result(made), _reasons(made), 0 if made.fits else 1)


def _result(made: Plan) -> dict[str, object]:
    spec = made.spec
    return {
        "peak_bytes": made.memory_bytes,
        "free_bytes": made.device.free_bytes,
        "fits": made.fits,
        "minutes": None if made.minutes is None else round(made.minutes, 2),
        "micro_batch": spec.batch_size,
        "gradient_accumulation": spec.gradient_accumulation,
        "gradient_checkpointing": made.checkpointing,
        "device": made.device.kind,
        "family": made.family,
        "method": spec.method,
        "steps": made.steps,
        "tokens": made.tokens,
        "trainable": made.trainable,
        "chosen": {one.name: getattr(spec, one.name) for one in made.chosen},
    }


def _reasons(made: Plan) -> str:
    lines = [f"{one.name} {getattr(made.spec, one.name)}: {one.why}" for one in made.chosen]
    return "\n".join([*lines, *(f"{name}: {why}" for name, why in made.reasons)])
