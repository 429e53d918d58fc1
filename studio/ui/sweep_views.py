"""What the Train tab shows of sweeps: data in, HTML out, so it is tested without a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studio.contract.sweep import Choices, Range, Trial, Value
from studio.jobs.sayings import retold
from studio.jobs.sweeps import Sweep
from studio.language import mark, tr, trn
from studio.ui.components.html import bar, chip, duration, empty, moment, notice, text
from studio.ui.components.parallel import Axis, Line, parallel
from studio.ui.components.tables import Cell, sortable

FIELD_NAMES = {
    "learning_rate": mark("Learning rate"),
    "lora_rank": mark("LoRA rank"),
    "batch_size": mark("Batch size (rows)"),
    "epochs": mark("Epochs"),
    "max_steps": mark("Max steps"),
    "method": mark("Method"),
    "lora_alpha": mark("LoRA alpha"),
    "lora_dropout": mark("LoRA dropout"),
    "target_modules": mark("Target modules"),
    "lora_plus_ratio": mark("LoRA+ ratio"),
    "prompt_tokens": mark("Prompt tokens"),
    "gradient_accumulation": mark("Gradient accumulation"),
    "warmup_ratio": mark("Warm-up (share)"),
    "schedule": mark("Schedule"),
    "weight_decay": mark("Weight decay"),
    "max_grad_norm": mark("Gradient clipping"),
    "neftune": mark("NEFTune noise"),
    "label_smoothing": mark("Label smoothing"),
    "seed": mark("Seed"),
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
_LOSS = mark("Validation loss")


def nothing() -> str:
    """What is shown before the first sweep."""
    advice = tr("Choose what to try and start. Each trial is a run; the lowest validation loss wins.")
    return empty(tr("No sweep yet"), advice)


def summary_html(sweep: Sweep) -> str:
    """State, progress and the best so far."""
    tried = ", ".join(_named(name) for name in sweep.spec.over)
    state = chip(tr(sweep.state), _STATE_KINDS.get(sweep.state, "busy"))
    snapshot = tr("snapshot {snapshot}", snapshot=sweep.about.snapshot_id[:8])
    head = (
        f"<h2 class='title'>{text(tr('Sweep {number}', number=sweep.number))} {state}</h2>"
        f"<p class='quiet'>{text(tried)} · {text(sweep.about.base_model)} · {text(snapshot)} · "
        f"{tr('started {when}', when=moment(sweep.started_at))}</p>"
    )
    progress = ""
    if sweep.active:
        left = [tr("at most {time} left", time=duration(sweep.seconds_left))] if sweep.seconds_left else []
        progress = bar(_fraction(sweep), " · ".join([_doing(sweep), *left]))
    ended = sweep.message and not sweep.active
    told = notice("bad" if sweep.state == "failed" else "warn", retold(sweep.message)) if ended else ""
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
    drawn = parallel(axes, lines, tr(_LOSS))
    if not drawn:
        return ""
    key = tr("A line a trial; the strong one is the best.")
    if any(line.kind == "pruned" for line in lines):
        key = tr("A line a trial; the strong one is the best. Dashed: ended early.")
    title = tr("Trials from setting to loss")
    return f"<h3 class='sweep-head'>{text(title)}</h3>{drawn}<p class='quiet'>{text(key)}</p>"


def importances_html(sweep: Sweep) -> str:
    """How much of the losses' spread each setting explains, as bars."""
    if not sweep.report.importances:
        return ""
    done = sum(trial.state == "done" for trial in sweep.report.trials)
    rows = "".join(
        f"<div><dt>{text(_named(name))}</dt>"
        f'<dd><i style="width:{100 * share:.0f}%"></i><span>{100 * share:.0f} %</span></dd></div>'
        for name, share in sorted(sweep.report.importances.items(), key=lambda pair: -pair[1])
    )
    said = trn(
        "Share of the losses' spread that each setting explains, over {count:,} finished trial.",
        "Share of the losses' spread that each setting explains, over {count:,} finished trials.",
        done,
    )
    few = f" {tr('With so few it is a hint, no more.')}" if done < 10 else ""
    return (
        f"<h3 class='sweep-head'>{text(tr('What matters'))}</h3>"
        f"<dl class='shares'>{rows}</dl><p class='quiet'>{said}{few}</p>"
    )


def table_html(sweep: Sweep) -> str:
    """All trials, sortable; the best one is marked."""
    fields = list(sweep.spec.over)
    heads = (tr("Trial"), tr("State"), *(_named(name) for name in fields), tr(_LOSS), tr("Steps"), tr("Time"))
    rows = [_row(sweep, trial, fields) for trial in sweep.report.trials]
    numeric = (0, *range(2, len(heads)))
    pruned = any(trial.state == "pruned" for trial in sweep.report.trials)
    note = tr("Pruned: ended early, as its loss was above the median of the finished trials.") if pruned else ""
    return (
        f"<h3 class='sweep-head'>{text(tr('Trials'))}</h3>{sortable(tr('Trials of the sweep'), heads, rows, numeric)}"
        f"<p class='quiet'>{text(note)}</p>"
    )


def sweeps_html(sweeps: Sequence[Sweep], current: str) -> str:
    """The sweeps of a project, newest first; nothing while there is only one."""
    if len(sweeps) < 2:
        return ""
    items = (
        f'<button type="button" class="item {"current" if sweep.id == current else ""}" data-id="{text(sweep.id)}">'
        f'<div class="head"><b>{text(tr("Sweep {number}", number=sweep.number))}</b>'
        f'<span class="line">{moment(sweep.started_at)}</span>'
        f"{chip(tr(sweep.state), _STATE_KINDS.get(sweep.state, 'busy'))}</div>"
        f'<div class="line">{text(_one_line(sweep))}</div></button>'
        for sweep in sweeps
    )
    return f'<div class="list">{"".join(items)}</div>'


def shown(value: Value) -> str:
    """A value as people write it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _named(field: str) -> str:
    return tr(FIELD_NAMES.get(field, field))


def _tried(values: Mapping[str, Value]) -> str:
    """What a trial tries, in a line."""
    return ", ".join(f"{_named(name)} {shown(value)}" for name, value in values.items())


def _fraction(sweep: Sweep) -> float:
    """How far it is: ended trials, and the part of the one at work."""
    part = sum(trial.step / trial.steps for trial in sweep.report.trials if trial.state == "running" and trial.steps)
    return (sweep.report.ended + part) / sweep.wanted


def _doing(sweep: Sweep) -> str:
    """The trial at work and how far it is, else what the sweep says of itself."""
    at_work = next((trial for trial in sweep.report.trials if trial.state == "running"), None)
    if at_work is None or sweep.state != "training":
        return retold(sweep.message)
    figures = {"number": at_work.number + 1, "total": sweep.wanted, "values": _tried(at_work.values)}
    doing = tr("Trial {number} of {total}: {values}", **figures)
    step = tr("step {step} of {steps}", step=at_work.step, steps=at_work.steps)
    return f"{doing} · {step}" if at_work.steps else doing


def _facts(sweep: Sweep) -> str:
    report, best = sweep.report, sweep.report.best_trial
    facts = {tr("Trials"): f"{report.ended} / {sweep.wanted}"}
    if early := sum(trial.state == "pruned" for trial in report.trials):
        facts[tr("Ended early")] = str(early)
    if best and best.loss is not None:
        facts[tr("Best validation loss")] = tr("{figure:.3f}", figure=best.loss)
        if best.before is not None:
            losses = tr("{base:.3f} → {tuned:.3f}", base=best.before, tuned=best.loss)
            facts[tr("Best validation loss")] = losses
        facts |= {_named(name): shown(value) for name, value in best.values.items()}
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _row(sweep: Sweep, trial: Trial, fields: Sequence[str]) -> list[Cell]:
    best = chip(tr("best"), "good") if trial.number == sweep.report.best else ""
    why = f"<br><small>{text(retold(trial.reason))}</small>" if trial.state == "failed" else ""
    word = "stopped" if trial.state == "running" and not sweep.active else trial.state
    state = f"{chip(tr(word), _STATE_KINDS.get(word, 'busy'))} {best}{why}"
    loss = Cell("–") if trial.loss is None else Cell(tr("{figure:.4f}", figure=trial.loss), trial.loss)
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
    label = _named(name)
    if isinstance(tried, Range):
        return Axis(label, None, tried.low, tried.high, tried.log)
    numbers = all(not isinstance(value, str) for value in tried.choices)
    return Axis(label, tuple(sorted(tried.choices)) if numbers else tried.choices)  # type: ignore[type-var]


def _kind(sweep: Sweep, trial: Trial) -> str:
    return "best" if trial.number == sweep.report.best else trial.state


def _name(trial: Trial) -> str:
    return tr("Trial {number}", number=trial.number + 1)


def _words(trial: Trial) -> str:
    if trial.loss is None:
        return _name(trial)
    figures = {"number": trial.number + 1, "values": _tried(trial.values), "loss": trial.loss}
    if trial.state == "pruned":
        return tr("Trial {number}: {values}, loss {loss:.3f}, ended early", **figures)
    return tr("Trial {number}: {values}, loss {loss:.3f}", **figures)


def _one_line(sweep: Sweep) -> str:
    best = sweep.report.best_trial
    if best is None or best.loss is None:
        return trn("{ended} of {count:,} trial", "{ended} of {count:,} trials", sweep.wanted, ended=sweep.report.ended)
    return tr("best loss {loss:.3f} with {values}", loss=best.loss, values=_tried(best.values))
