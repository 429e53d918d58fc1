"""What the Train tab shows of sweeps: data in, HTML out, so it is tested without a browser."""

from __future__ import annotations

from collections.abc import Sequence

from studio.contract.sweep import Choices, Range, Trial, Value
from studio.jobs.sweeps import Sweep
from studio.ui.components.html import bar, chip, count, duration, empty, moment, notice, text
from studio.ui.components.parallel import Axis, Line, parallel
from studio.ui.components.tables import Cell, sortable

FIELD_NAMES = {
    "learning_rate": "Learning rate",
    "lora_rank": "LoRA rank",
    "batch_size": "Batch size (rows)",
    "epochs": "Epochs",
    "max_steps": "Max steps",
    "method": "Method",
    "lora_alpha": "LoRA alpha",
    "lora_dropout": "LoRA dropout",
    "target_modules": "Target modules",
    "lora_plus_ratio": "LoRA+ ratio",
    "prompt_tokens": "Prompt tokens",
    "gradient_accumulation": "Gradient accumulation",
    "warmup_ratio": "Warm-up (share)",
    "schedule": "Schedule",
    "weight_decay": "Weight decay",
    "max_grad_norm": "Gradient clipping",
    "neftune": "NEFTune noise",
    "label_smoothing": "Label smoothing",
    "seed": "Seed",
}

SUGGESTED = {
    "learning_rate": "1e-4, 2e-4, 5e-4, 1e-3",
    "lora_rank": "4, 8, 16, 32",
    "batch_size": "4, 8, 16",
    "epochs": "1, 2, 3",
    "max_steps": "50, 100, 200",
    "method": "lora, rslora, dora",
    "lora_alpha": "16, 32, 64",
    "lora_dropout": "0, 0.05, 0.1",
    "target_modules": "auto, all-linear, attention",
    "lora_plus_ratio": "4, 8, 16",
    "prompt_tokens": "8, 20, 50",
    "gradient_accumulation": "1, 2, 4",
    "warmup_ratio": "0, 0.05, 0.1",
    "schedule": "linear, cosine, constant",
    "weight_decay": "0, 0.01, 0.1",
    "max_grad_norm": "0.3, 1, 3",
    "neftune": "0, 5, 10",
    "label_smoothing": "0, 0.05, 0.1",
    "seed": "0, 1, 2",
}
"""Values that are worth a try, for each field that can be."""

_STATE_KINDS = {"done": "good", "failed": "bad", "stopped": "warn", "pruned": "warn"}
_LOSS = "Validation loss"
NOTHING = empty("No sweep yet", "Choose what to try and start. Each trial is a run; the lowest validation loss wins.")


def summary_html(sweep: Sweep) -> str:
    """State, progress and the best so far."""
    tried = ", ".join(FIELD_NAMES.get(name, name) for name in sweep.spec.over)
    head = (
        f"<h2 class='title'>Sweep {sweep.number} {chip(sweep.state, _STATE_KINDS.get(sweep.state, 'busy'))}</h2>"
        f"<p class='quiet'>{text(tried)} · {text(sweep.about.base_model)} · snapshot "
        f"{text(sweep.about.snapshot_id[:8])} · started {moment(sweep.started_at)}</p>"
    )
    progress = ""
    if sweep.active:
        left = f" · at most {duration(sweep.seconds_left)} left" if sweep.seconds_left else ""
        progress = bar(_fraction(sweep), f"{_doing(sweep)}{left}")
    ended = sweep.message and not sweep.active
    told = notice("bad" if sweep.state == "failed" else "warn", sweep.message) if ended else ""
    return f"{head}{progress}{told}{_facts(sweep)}"


def trials_html(sweep: Sweep) -> str:
    """The trials as a picture and as a table, and how much each setting matters."""
    if not sweep.report.trials:
        return ""
    return f"{picture(sweep)}{importances_html(sweep)}{table_html(sweep)}"


def picture(sweep: Sweep) -> str:
    """Parallel coordinates of the trials that have a loss."""
    fields = list(sweep.spec.over)
    axes = [_axis(name, sweep.spec.over[name]) for name in fields]
    lines = [
        Line(_name(trial), tuple(trial.values[name] for name in fields), trial.loss, _kind(sweep, trial), _words(trial))
        for trial in sweep.report.trials
        if trial.loss is not None and trial.state in ("done", "pruned")
    ]
    drawn = parallel(axes, lines, _LOSS)
    if not drawn:
        return ""
    pruned = " Dashed: ended early." if any(line.kind == "pruned" for line in lines) else ""
    return (
        "<h3 class='sweep-head'>Trials from setting to loss</h3>"
        f"{drawn}<p class='quiet'>A line a trial; the strong one is the best.{pruned}</p>"
    )


def importances_html(sweep: Sweep) -> str:
    """How much of the losses' spread each setting explains, as bars."""
    if not sweep.report.importances:
        return ""
    done = sum(trial.state == "done" for trial in sweep.report.trials)
    rows = "".join(
        f"<div><dt>{text(FIELD_NAMES.get(name, name))}</dt>"
        f'<dd><i style="width:{100 * share:.0f}%"></i><span>{100 * share:.0f} %</span></dd></div>'
        for name, share in sorted(sweep.report.importances.items(), key=lambda pair: -pair[1])
    )
    few = " With so few it is a hint, no more." if done < 10 else ""
    return (
        "<h3 class='sweep-head'>What matters</h3>"
        f"<dl class='shares'>{rows}</dl>"
        f"<p class='quiet'>Share of the losses' spread that each setting explains, over "
        f"{count(done, 'finished trial')}.{few}</p>"
    )


def table_html(sweep: Sweep) -> str:
    """All trials, sortable; the best one is marked."""
    fields = list(sweep.spec.over)
    heads = ("Trial", "State", *(FIELD_NAMES.get(name, name) for name in fields), _LOSS, "Steps", "Time")
    rows = [_row(sweep, trial, fields) for trial in sweep.report.trials]
    numeric = (0, *range(2, len(heads)))
    pruned = any(trial.state == "pruned" for trial in sweep.report.trials)
    note = "Pruned: ended early, as its loss was above the median of the finished trials." if pruned else ""
    return (
        f"<h3 class='sweep-head'>Trials</h3>{sortable('Trials of the sweep', heads, rows, numeric)}"
        f"<p class='quiet'>{note}</p>"
    )


def sweeps_html(sweeps: Sequence[Sweep], current: str) -> str:
    """The sweeps of a project, newest first; nothing while there is only one."""
    if len(sweeps) < 2:
        return ""
    items = (
        f'<button type="button" class="item {"current" if sweep.id == current else ""}" data-id="{text(sweep.id)}">'
        f'<div class="head"><b>Sweep {sweep.number}</b><span class="line">{moment(sweep.started_at)}</span>'
        f"{chip(sweep.state, _STATE_KINDS.get(sweep.state, 'busy'))}</div>"
        f'<div class="line">{text(_one_line(sweep))}</div></button>'
        for sweep in sweeps
    )
    return f'<div class="list">{"".join(items)}</div>'


def shown(value: Value) -> str:
    """A value as people write it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fraction(sweep: Sweep) -> float:
    """How far it is: ended trials, and the part of the one at work."""
    part = sum(trial.step / trial.steps for trial in sweep.report.trials if trial.state == "running" and trial.steps)
    return (sweep.report.ended + part) / sweep.wanted


def _doing(sweep: Sweep) -> str:
    """The trial at work and how far it is, else what the sweep says of itself."""
    at_work = next((trial for trial in sweep.report.trials if trial.state == "running"), None)
    if at_work is None or sweep.state != "training":
        return sweep.message
    values = ", ".join(f"{FIELD_NAMES.get(name, name)} {shown(value)}" for name, value in at_work.values.items())
    step = f" · step {at_work.step} of {at_work.steps}" if at_work.steps else ""
    return f"Trial {at_work.number + 1} of {sweep.wanted}: {values}{step}"


def _facts(sweep: Sweep) -> str:
    report, best = sweep.report, sweep.report.best_trial
    facts = {"Trials": f"{report.ended} / {sweep.wanted}"}
    if early := sum(trial.state == "pruned" for trial in report.trials):
        facts["Ended early"] = str(early)
    if best and best.loss is not None:
        before = f"{best.before:.3f} → " if best.before is not None else ""
        facts["Best validation loss"] = f"{before}{best.loss:.3f}"
        facts |= {FIELD_NAMES.get(name, name): shown(value) for name, value in best.values.items()}
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _row(sweep: Sweep, trial: Trial, fields: Sequence[str]) -> list[Cell]:
    best = chip("best", "good") if trial.number == sweep.report.best else ""
    why = f"<br><small>{text(trial.reason)}</small>" if trial.state == "failed" else ""
    word = "stopped" if trial.state == "running" and not sweep.active else trial.state
    state = f"{chip(word, _STATE_KINDS.get(word, 'busy'))} {best}{why}"
    loss = Cell("–" if trial.loss is None else f"{trial.loss:.4f}", "" if trial.loss is None else trial.loss)
    steps = f"{trial.step} / {trial.steps}" if trial.steps else "–"
    return [
        Cell(str(trial.number + 1), trial.number),
        Cell(state, trial.state),
        *(Cell(text(shown(trial.values[name])), _key(trial.values[name])) for name in fields),
        loss,
        Cell(steps, trial.step),
        Cell(duration(trial.seconds), trial.seconds),
    ]


def _key(value: Value) -> float | str:
    return value if isinstance(value, str) else float(value)


def _axis(name: str, tried: Choices | Range) -> Axis:
    label = FIELD_NAMES.get(name, name)
    if isinstance(tried, Range):
        return Axis(label, None, tried.low, tried.high, tried.log)
    numbers = all(not isinstance(value, str) for value in tried.choices)
    return Axis(label, tuple(sorted(tried.choices)) if numbers else tried.choices)  # type: ignore[type-var]


def _kind(sweep: Sweep, trial: Trial) -> str:
    return "best" if trial.number == sweep.report.best else trial.state


def _name(trial: Trial) -> str:
    return f"Trial {trial.number + 1}"


def _words(trial: Trial) -> str:
    values = ", ".join(f"{FIELD_NAMES.get(name, name)} {shown(value)}" for name, value in trial.values.items())
    early = ", ended early" if trial.state == "pruned" else ""
    return f"{_name(trial)}: {values}, loss {trial.loss:.3f}{early}" if trial.loss is not None else _name(trial)


def _one_line(sweep: Sweep) -> str:
    best = sweep.report.best_trial
    if best is None or best.loss is None:
        return f"{sweep.report.ended} of {count(sweep.wanted, 'trial')}"
    values = ", ".join(f"{FIELD_NAMES.get(name, name)} {shown(value)}" for name, value in best.values.items())
    return f"best loss {best.loss:.3f} with {values}"
