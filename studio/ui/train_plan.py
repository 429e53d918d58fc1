"""What the Train tab shows of a plan: figures, memory against the room, the method, every chosen setting and why."""

from __future__ import annotations

from collections.abc import Mapping

from studio.contract.methods import METHODS
from studio.jobs.plan import Plan
from studio.jobs.plan_memory import ROOM
from studio.language import mark, tr
from studio.ui.components.html import notice, size, text

FAMILIES = {"causal": "writes text", "seq2seq": "turns text into text", "encoder": "gives labels"}
NAMES = {
    "epochs": mark("Epochs"),
    "batch_size": mark("Batch size"),
    "learning_rate": mark("Learning rate"),
    "weight_decay": mark("Weight decay"),
    "lora_rank": mark("Rank"),
    "lora_alpha": mark("Alpha"),
    "max_length": mark("Max length"),
    "method": mark("Method"),
    "schedule": mark("Schedule"),
    "warmup_ratio": mark("Warm-up"),
}
PARTS = (mark("process"), mark("weights"), mark("optimiser"), mark("gradients and activations"))
"""What studio.contract.footprint calls the parts of the memory; it knows of no language."""
METHOD_WORDS = (
    mark("LoRA"),
    mark("The usual choice: learns a style, a format or a task from hundreds of pairs."),
    mark("The base model in memory once, and some percent more; saves to megabytes."),
    mark("rsLoRA"),
    mark("LoRA whose strength does not fade at high rank (64 and more)."),
    mark("As LoRA of the same rank."),
    mark("DoRA"),
    mark("LoRA that learns size and direction of a weight apart: often better at a low rank."),
    mark("A third to a half slower than LoRA."),
    mark("PiSSA"),
    mark("LoRA that begins in the main directions of each weight: learns faster in few steps."),
    mark("As LoRA, and a decomposition of each weight at the start."),
    mark("LoRA+"),
    mark("LoRA with a higher learning rate for half of its matrices: learns faster on wide models."),
    mark("As LoRA."),
    mark("VeRA"),
    mark("A tenth of LoRA's weights or fewer: for many specialists of one base model."),
    mark("As LoRA in time; saves to a few megabytes; wants a higher learning rate and rank."),
    mark("IA³"),
    mark("Scales activations only: for a few dozen pairs and a light change."),
    mark("The least memory and the smallest file; learns least."),
    mark("Prompt tuning"),
    mark("Learns a few tokens in front of the prompt and no weight at all."),
    mark("The smallest file; slow to learn, and wants a large base model."),
    mark("QLoRA"),
    mark("LoRA on a base model of 4 bits: a model four times as large on the same GPU."),
    mark("A quarter of the memory for weights; some slower. Needs a CUDA GPU."),
    mark("Full fine-tuning"),
    mark("Every weight learns: for thousands of pairs, small models and classification."),
    mark("Four times the weights in memory; saves a whole model."),
)
"""What studio.contract.methods says of each, which knows of none either."""


def plan_html(plan: Plan, more: Mapping[str, str] | None = None) -> str:
    """Device, method, steps, minutes, memory and micro-batch in one glance, and what the method is for; `more`: other
    figures, such as what it will cost."""
    minutes = tr("after the first steps") if plan.minutes is None else f"~{_minutes(plan.minutes)}"
    facts = {
        tr("Device"): plan.device.kind.upper(),
        tr("Method"): plan.method,
        tr("Steps"): tr("{figure:,}", figure=plan.steps),
        tr("Time"): minutes,
        tr("Micro-batch"): _micro_batch(plan),
        **(more or {}),
    }
    return f"{_facts(facts)}{memory_html(plan)}{_notes(plan)}"


def why_html(plan: Plan) -> str:
    """The method in a line, every setting that was chosen with its reason, and the other methods."""
    rows = [(tr(NAMES.get(one.name, one.name)), _value(plan, one.name), one.why) for one in plan.chosen]
    rows += [(name, "", why) for name, why in plan.reasons]
    items = "".join(
        f"<div><dt>{text(name)} <b>{text(value)}</b></dt><dd>{text(why)}</dd></div>" for name, value, why in rows
    )
    ask = text(tr("Why these?"))
    return f"{method_html(plan)}<details class='why chosen' open><summary>{ask}</summary><dl>{items}</dl></details>"


def memory_html(plan: Plan) -> str:
    """Predicted peak memory as a bar over the device's: its parts, what others hold, what is left."""
    if plan.footprint is None:
        unknown = tr("Memory: unknown until the base model is on this machine.")
        return f'<p class="quiet">{text(unknown)}</p>'
    total = max(plan.device.memory_bytes, 1)
    taken = max(total - plan.device.free_bytes, 0)
    figures = {"peak": size(plan.footprint.total), "free": size(plan.device.free_bytes), "total": size(total)}
    words = tr("~{peak} at the peak, {free} of {total} free", **figures)
    spans = [("others", tr("in use by others"), taken)]
    spans += [(_slug(name), tr(name), part) for name, part in plan.footprint.parts]
    strips = "".join(
        f'<span class="{text(kind)}" style="width:{min(100 * part / total, 100):.2f}%" '
        f'title="{text(name)}: {size(part)}"></span>'
        for kind, name, part in spans
    )
    parts = " · ".join(f"{tr(name)} {size(part)}" for name, part in plan.footprint.parts)
    kind = "" if plan.fits else " over"
    return (
        f'<div class="memory{kind}" role="img" aria-label="{text(tr("Memory: {words}", words=words))}">'
        f'<div class="room">{strips}</div>'
        f'<p><b>{text(tr("Memory"))}</b> {text(words)}</p><p class="quiet">{text(parts)}</p></div>'
    )


def method_html(plan: Plan) -> str:
    """The method's purpose and cost, and those of the others that could be taken."""
    about = METHODS[plan.spec.method]
    others = "".join(
        f"<dt>{text(tr(METHODS[name].title))}</dt>"
        f"<dd>{text(tr(METHODS[name].purpose))} {text(tr(METHODS[name].cost))}</dd>"
        for name in plan.methods
    )
    learns = f" {_learns(plan.trainable)}" if plan.trainable else ""
    return (
        f'<p class="method"><b>{text(tr(about.title))}</b> {text(tr(about.purpose))} '
        f'<span class="quiet">{text(tr(about.cost))}{text(learns)}</span></p>'
        f'<details class="why"><summary>{text(tr("All methods"))}</summary><dl>{others}</dl></details>'
    )


def placeholder(plan: Plan, name: str) -> str:
    """What an empty field stands for."""
    value = getattr(plan.spec, name)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(plan: Plan, name: str) -> str:
    if name == "method":
        return plan.method
    return str(plan.spec.rows_per_step) if name == "batch_size" else placeholder(plan, name)


def _micro_batch(plan: Plan) -> str:
    parts = plan.spec.gradient_accumulation
    return f"{plan.spec.batch_size} × {parts}" if parts > 1 else f"{plan.spec.batch_size}"


def _notes(plan: Plan) -> str:
    notes = ""
    if not plan.validation_rows:
        notes = notice("warn", tr("This snapshot has no validation rows: there will be no validation curve."))
    if not plan.fits:
        free = size(ROOM * plan.device.free_bytes)
        advice = tr("Only about {size} can be used: lower the length, or choose LoRA or a smaller model.", size=free)
        notes += notice("bad", advice)
    return notes


def _facts(facts: dict[str, str]) -> str:
    items = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _slug(name: str) -> str:
    return name.split(" ", 1)[0]


def _learns(number: int) -> str:
    if number >= 1e6:
        return tr("{count:.1f} million numbers learn.", count=number / 1e6)
    return tr("{count:,} numbers learn.", count=number)


def _minutes(minutes: float) -> str:
    if minutes < 90:
        return tr("{minutes:.0f} min", minutes=max(1.0, minutes))
    return tr("{hours:.1f} h", hours=minutes / 60)
