"""The command `plan`: what a run would do and take, without starting it."""

from __future__ import annotations

from argparse import Namespace

from studio.commands import Outcome, opened
from studio.commands.spec_flags import settings_of, with_method, with_share
from studio.jobs.accounting import compute_settings, planned_cost
from studio.jobs.plan import Plan, plan_run
from studio.settings import Workspace


def plan(workspace: Workspace, flags: Namespace) -> Outcome:
    """`plan SNAPSHOT --model M [--method METHOD] [--set field=value]`: peak memory, minutes, micro-batch and the rest.

    The exit code is 1 where the run would not fit into the memory that is free.
    """
    settings = with_share(with_method(settings_of(flags.set), getattr(flags, "method", None)), flags)
    with opened(workspace) as db:
        made = plan_run(db, workspace, flags.snapshot, flags.model, settings)
        compute = compute_settings(db)
    cost = planned_cost(compute, made.device.kind, made.minutes, made.device_count)
    costs = {} if cost is None else {"cost": round(cost, 4), "currency": compute.currency}
    return Outcome(_result(made) | costs, _reasons(made), 0 if made.fits else 1)


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
        "processes": spec.ranks,
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
