"""What the Train tab shows of a plan: figures, memory against the room, the method, every chosen setting and why."""

from __future__ import annotations

from collections.abc import Mapping

from studio.contract.methods import METHODS
from studio.jobs.plan import Plan
from studio.jobs.plan_memory import ROOM
from studio.ui.components.html import notice, size, text

FAMILIES = {"causal": "writes text", "seq2seq": "turns text into text", "encoder": "gives labels"}
NAMES = {
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
    "lora_rank": "Rank",
    "lora_alpha": "Alpha",
    "max_length": "Max length",
    "method": "Method",
    "schedule": "Schedule",
    "warmup_ratio": "Warm-up",
}


def plan_html(plan: Plan, more: Mapping[str, str] | None = None) -> str:
    """Device, method, steps, minutes, memory and micro-batch in one glance, and what the method is for; `more`: other
    figures, such as what it will cost."""
    minutes = "after the first steps" if plan.minutes is None else f"~{_minutes(plan.minutes)}"
    facts = {
        "Device": plan.device.kind.upper(),
        "Method": plan.method,
        "Steps": f"{plan.steps:,}",
        "Time": minutes,
        "Micro-batch": _micro_batch(plan),
        **(more or {}),
    }
    return f"{_facts(facts)}{memory_html(plan)}{_notes(plan)}"


def why_html(plan: Plan) -> str:
    """The method in a line, every setting that was chosen with its reason, and the other methods."""
    rows = [(NAMES.get(one.name, one.name), _value(plan, one.name), one.why) for one in plan.chosen]
    rows += [(name, "", why) for name, why in plan.reasons]
    items = "".join(
        f"<div><dt>{text(name)} <b>{text(value)}</b></dt><dd>{text(why)}</dd></div>" for name, value, why in rows
    )
    return (
        f"{method_html(plan)}<details class='why chosen' open><summary>Why these?</summary><dl>{items}</dl></details>"
    )


def memory_html(plan: Plan) -> str:
    """Predicted peak memory as a bar over the device's: its parts, what others hold, what is left."""
    if plan.footprint is None:
        return '<p class="quiet">Memory: unknown until the base model is on this machine.</p>'
    total = max(plan.device.memory_bytes, 1)
    taken = max(total - plan.device.free_bytes, 0)
    words = f"~{size(plan.footprint.total)} at the peak, {size(plan.device.free_bytes)} of {size(total)} free"
    spans = [("others", "in use by others", taken), *((_slug(name), name, part) for name, part in plan.footprint.parts)]
    strips = "".join(
        f'<span class="{text(kind)}" style="width:{min(100 * part / total, 100):.2f}%" '
        f'title="{text(name)}: {size(part)}"></span>'
        for kind, name, part in spans
    )
    parts = " · ".join(f"{name} {size(part)}" for name, part in plan.footprint.parts)
    kind = "" if plan.fits else " over"
    return (
        f'<div class="memory{kind}" role="img" aria-label="Memory: {text(words)}"><div class="room">{strips}</div>'
        f'<p><b>Memory</b> {text(words)}</p><p class="quiet">{text(parts)}</p></div>'
    )


def method_html(plan: Plan) -> str:
    """The method's purpose and cost, and those of the others that could be taken."""
    about = METHODS[plan.spec.method]
    others = "".join(
        f"<dt>{text(METHODS[name].title)}</dt><dd>{text(METHODS[name].purpose)} {text(METHODS[name].cost)}</dd>"
        for name in plan.methods
    )
    learns = f" {_count(plan.trainable)} numbers learn." if plan.trainable else ""
    return (
        f'<p class="method"><b>{text(about.title)}</b> {text(about.purpose)} '
        f'<span class="quiet">{text(about.cost)}{text(learns)}</span></p>'
        f'<details class="why"><summary>All methods</summary><dl>{others}</dl></details>'
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
        notes = notice("warn", "This snapshot has no validation rows: there will be no validation curve.")
    if not plan.fits:
        free = size(ROOM * plan.device.free_bytes)
        notes += notice("bad", f"Only about {free} can be used: lower the length, or choose LoRA or a smaller model.")
    return notes


def _facts(facts: dict[str, str]) -> str:
    items = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _slug(name: str) -> str:
    return name.split(" ", 1)[0]


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def _minutes(minutes: float) -> str:
    return "1 min" if minutes < 1 else f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
