"""One fine-tuning run, top to bottom: spec, data, model, adapter, steps, adapter file, held-out losses, samples.

The details live next door: families/ (what differs between them), methods.py, data.py (rows and their order), loss.py,
trainer.py, callbacks.py, checkpoints.py, sampling.py; ending.py turns what is raised here into events.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, set_seed

from studio.contract.events import newest
from studio.contract.spec import TrainSpec, read_train_spec
from studio.contract.trackers import tracker_names
from studio.errors import BadFile
from studio.models.answers import context_window
from studio.models.classify import text_window
from studio.models.devices import device_name, pick_device
from studio.models.disk import is_disk_full
from studio.models.loading import LoadedBase, load_base
from studio.models.quiet import be_quiet, stay_offline
from studio.models.templates import use_template
from studio.training import checkpoints
from studio.training.best import Best
from studio.training.cache import cached_read, render_ahead
from studio.training.callbacks import Between, Progress, marks
from studio.training.data import Row, RunRows, Split, run_order, spread
from studio.training.earlier import told_of_earlier
from studio.training.families import FamilyWays
from studio.training.families.labels import snapshot_labels
from studio.training.guards import check_validation, guard_of
from studio.training.held_out import write_held_out
from studio.training.loss import overall
from studio.training.machine import machine_of, own_device
from studio.training.memory import fit
from studio.training.methods import Untuned, attach, check_offered, groups, is_adapter, result_hash, save
from studio.training.planted import plant
from studio.training.preference import PreferenceWays, begin, figures, ways_for
from studio.training.quick import make_quick
from studio.training.report import Report
from studio.training.sampling import report_samples
from studio.training.stop import Stop
from studio.training.together import Dealt, Ranks, blank, meet, shared_losses
from studio.training.trackers import open_trackers
from studio.training.trainer import AnswerTrainer, arguments

CURVE_ROWS = 128
"""Validation rows behind a point of the curve; more would only slow the run."""

HELD_OUT_ROWS = 512
"""Held-out rows behind base_loss and tuned_loss."""


@dataclass(frozen=True)
class Data:
    """The splits of a run, rendered, and what is done with such rows. `held_out` is the split that base and tuned are
    compared on, None without rows."""

    train: Split
    validation: Split
    test: Split
    ways: FamilyWays

    @property
    def held_out(self) -> Split | None:
        return next((split for split in (self.test, self.validation) if split.rows), None)


@dataclass(frozen=True)
class Plan:
    """What the run will do: `order` of rows over all steps, and the non-padding tokens seen after each step."""

    steps: int
    rows_per_step: int
    order: Any
    tokens_after: list[int]


def train(run_dir: Path, report: Report, stop: Stop) -> dict[str, object]:
    """Run, or resume, the fine-tuning of `run_dir` and return the results for its `done` event.

    Raises StudioError with one sentence, Stopped when a stop was asked for, and OSError when the disk is full.
    """
    began = time.monotonic()
    be_quiet()
    spec = read_train_spec(run_dir)
    tracker_names(spec.trackers)  # a missing one is told before anything slow
    device = pick_device(own_device(spec.device))
    about = machine_of(device)
    several = f", {about['processes']} processes" if about["processes"] != 1 else ""
    report.state("loading", f"Loading {spec.base_model} on {device_name(device)}{several}", **about)
    ahead = render_ahead(spec, lambda early: _read_splits(spec, early, stop))
    base = _load(spec)
    stay_offline()
    stop.check()

    if ahead:
        ahead.wait()
    data = _read_data(spec, base, report, stop)
    if told := told_of_earlier(spec):
        report.warning(told)
    plan = _plan(spec, data.train.rows)
    set_seed(spec.seed)
    model = attach(base, spec)
    checkpoint = checkpoints.to_go_on_from(run_dir, plan.steps, base, report, stop)
    begin(data.ways, model, run_dir, spec, base, data.train.rows, _held_rows(data, spec), report, stop)
    ranks = meet(base.device, spec.objective)
    if ranks.first:
        report.listen(open_trackers(run_dir, spec, stop.saved_step, report.warning))

    lengths = [len(row) for split in (data.train, data.validation, data.test) for row in split.rows]
    own_tokens = plan.tokens_after[-1] // ranks.count
    quick = make_quick(model, base, spec, lengths, own_tokens, report, newest(run_dir, "compiled"))

    resumed = f", going on from step {checkpoints.step_of(checkpoint)}" if checkpoint else ""
    report.state("training", f"Training {plan.steps} steps{resumed}", **_sizes(data, plan, base, model), **quick)
    best = Best(run_dir, spec.keep == "best", spec.patience, stop.saved_step, writes=ranks.first)
    validate = _validator(model, data, base, spec, best, ranks, report, stop)
    progress = _run_steps(run_dir, spec, plan, data, base, model, checkpoint, best, validate, ranks, report, stop)
    if progress.last_step < plan.steps and not best.exhausted:
        stop.check()
    if not ranks.first:
        return {}  # the first process of a run does the rest, alone
    validate = _validator(model, data, base, spec, best, Ranks(), report, stop)
    # Before anything else can fail or be stopped: these are the hours that the user waited for.
    stop.results = {
        "base_hash": base.weights_hash,
        "adapter_hash": result_hash(save(model, base, run_dir, spec.chat_template)),
    }
    stop.check()
    if _take_best(model, best, validate, progress.last_step, plan.steps, report):
        stop.results["adapter_hash"] = result_hash(save(model, base, run_dir, spec.chat_template))

    report.state("evaluating", "Comparing base and tuned loss on held-out rows")
    untuned = Untuned(model, base)
    losses = _held_out_losses(run_dir, model, untuned, data, base, spec, progress.last_step, report, stop)
    report.state("sampling", f"Answering {min(spec.samples, len(_held_out_rows(data)))} held-out prompts")
    _sample(model, untuned, data, base, spec, report, stop)

    seen = plan.tokens_after[progress.last_step]
    trained = seen - plan.tokens_after[progress.first_step]
    return {
        **losses,
        "rows": len(data.train.rows),
        "skipped": data.train.skipped + data.validation.skipped + data.test.skipped,
        "steps": progress.last_step,
        "best_step": best.step,
        "tokens": seen,
        "tokens_per_second": round(trained / progress.busy_seconds, 1) if progress.busy_seconds else None,
        "seconds": round(time.monotonic() - began, 1),
        **stop.results,
    }


def _load(spec: TrainSpec) -> LoadedBase:
    """The base model, an encoder's with the snapshot's labels. Raises BadModel, BadSpec, BadFile, DiskFull."""
    base = load_base(
        spec.models,
        spec.base_model,
        spec.device,
        spec.dtype,
        spec.family,
        labels=lambda: snapshot_labels(spec.snapshot),
        seed=spec.seed,
        four_bit=spec.method == "qlora",
    )
    check_offered(spec.method, base)
    use_template(base.tokenizer, spec.chat_template)
    return base


def _read_data(spec: TrainSpec, base: LoadedBase, report: Report, stop: Stop) -> Data:
    data = _read_splits(spec, base, stop)
    for split in (data.train, data.validation, data.test):
        for warning in split.warnings():
            report.warning(**warning)
    if not data.train.rows:
        raise BadFile(_nothing_left(data.train, spec))
    if not data.validation.rows:
        report.warning("The snapshot has no usable validation rows, so there will be no validation curve.")
    if data.held_out is None:
        report.warning("The snapshot has no held-out rows, so base and tuned cannot be compared.")
    return data


def _read_splits(spec: TrainSpec, base: LoadedBase, stop: Stop) -> Data:
    ways, most = ways_for(spec, base), _max_length(spec, base)
    splits = []
    for name, keep in (("train", False), ("validation", True), ("test", True)):
        splits.append(cached_read(ways.read, base, spec, name, most, keep))
        stop.check()
    train, validation, test = splits
    return Data(plant(train, spec, base, ways, most), validation, test, ways)


def _max_length(spec: TrainSpec, base: LoadedBase) -> int:
    """Tokens a row may have: never more than the model has positions for."""
    encoder = base.family == "encoder"
    window = text_window(base.model, base.tokenizer) if encoder else context_window(base.model)
    if window is None:
        return spec.max_length
    return min(spec.max_length, window - spec.prompt_tokens * (spec.method == "prompt"))


def _nothing_left(split: Split, spec: TrainSpec) -> str:
    if not split.skipped:
        return "The snapshot has no training rows: accept some pairs and make a new snapshot."
    reasons = "; ".join(f"{len(numbers)} rows: {reason}" for reason, numbers in split.left_out.items())
    return f"No training row can be used ({reasons}): raise max_length (now {spec.max_length}) or correct the rows."


def _plan(spec: TrainSpec, rows: list[Row]) -> Plan:
    rows_per_step, steps = spec.rows_per_step, spec.steps(len(rows))
    total = steps * rows_per_step if spec.max_steps else max(1, round(len(rows) * spec.epochs))
    order = run_order([len(row) for row in rows], total, spec.batch_size, spec.seed)
    lengths = np.asarray([len(row) for row in rows])[order]
    sums = np.concatenate([[0], np.cumsum(lengths)])
    after = [int(sums[min(step * rows_per_step, total)]) for step in range(steps + 1)]
    return Plan(steps, rows_per_step, order, after)


def _sizes(data: Data, plan: Plan, base: LoadedBase, model: Any) -> dict[str, object]:
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        "dtype": str(base.dtype).removeprefix("torch."),
        "steps": plan.steps,
        "rows": {split.name: len(split.rows) for split in (data.train, data.validation, data.test)},
        "tokens": plan.tokens_after[-1],
        "trainable_parameters": trainable,
        "parameters": sum(parameter.numel() for parameter in model.parameters()) - trainable * is_adapter(model),
        "base_hash": base.weights_hash,
    }


def _run_steps(
    run_dir: Path,
    spec: TrainSpec,
    plan: Plan,
    data: Data,
    base: LoadedBase,
    model: Any,
    checkpoint: Path | None,
    best: Best,
    validate: Callable[[int], None] | None,
    ranks: Ranks,
    report: Report,
    stop: Stop,
) -> Progress:
    output = run_dir / checkpoints.FOLDER
    pad, ways, rows = int(base.tokenizer.pad_token_id), data.ways, RunRows(data.train.rows, plan.order)
    progress = Progress(report, plan.tokens_after, len(data.train.rows), plan.rows_per_step, guard_of(spec))
    between = Between(
        stop,
        progress,
        validate=validate or (lambda step: None),
        validate_at=marks(plan.steps, spec.evaluations, with_last=True) if validate else frozenset(),
        save_at=marks(plan.steps, spec.checkpoints, with_last=False),
        enough=lambda: best.exhausted,
        ranks=ranks,
    )
    callbacks: list[Any] = [progress, between]
    trainer: Any
    if isinstance(ways, PreferenceWays):
        trainer = ways.trainer(spec, plan.steps, output, model, base, rows, callbacks=callbacks, report=report)
    else:
        first = plan.order[: spec.batch_size][-spec.rows_per_pass :]  # its longest row is the last
        longest = ways.collate([data.train.rows[int(index)] for index in first], pad)
        nothing = blank(ways.collate([min(data.train.rows, key=len)], pad))
        several = ranks.count > 1
        dealt = Dealt(len(rows), plan.steps, plan.rows_per_step, spec.batch_size, ranks) if several else None
        trainer = AnswerTrainer(
            model=model,
            args=arguments(spec, plan.steps, output, base.device, dealt.passes if dealt else 0),
            data_collator=lambda rows: ways.collate(rows, pad) if rows else nothing,
            train_dataset=rows,
            callbacks=callbacks,
            ways=ways,
            thrift=fit(spec, model, longest, base.device, report, not several),
            groups=groups(model, base, spec),
            smoothing=spec.label_smoothing,
            autocast=base.dtype if base.device.type == "cuda" and base.dtype == torch.bfloat16 else None,
            dealt=dealt,
        )
        if ranks.rank:
            torch.manual_seed(spec.seed + ranks.rank)  # other rows are to have other dropout
    trainer.remove_callback(PrinterCallback)
    with stop.deferred():
        stop.check()
        if best.exhausted:  # the run was killed behind its last step
            progress.first_step = progress.last_step = checkpoints.step_of(checkpoint) if checkpoint else 0
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return progress


def _validator(
    model: Any, data: Data, base: LoadedBase, spec: TrainSpec, best: Best, ranks: Ranks, report: Report, stop: Stop
) -> Callable[[int], None] | None:
    """What measures and notes the validation loss after a step, each process its share of the rows; None where nothing
    is to be measured."""
    rows, pad = spread(data.validation.rows, CURVE_ROWS), int(base.tokenizer.pad_token_id)
    if not rows or not spec.evaluations:
        return None

    def validate(step: int) -> None:
        found = shared_losses(ranks, data.ways.row_losses, model, rows, pad, spec.batch_size, stop.check)
        loss = overall(found)
        check_validation(loss, step)
        report.metric("validation_loss", loss, step)
        for name, value in figures(found).items():
            report.metric(f"validation_{name}", value, step)
        best.offer(model, step, loss)

    return validate


def _take_best(
    model: Any, best: Best, validate: Callable[[int], None] | None, last_step: int, steps: int, report: Report
) -> bool:
    """Put the best adapter into the model in the place of the last one, and say so; whether it is another."""
    if validate and not best.measured(last_step):
        validate(last_step)  # a stop at the last step came before its pass
    if best.exhausted and last_step < steps:
        since = f"validation has not got better since step {best.step}"
        report.state("training", f"Ended at step {last_step} of {steps}: {since}")
    taken = best.restore(model, last_step)
    if taken is not None:
        report.metric("best_step", taken, last_step)
    return taken is not None


def _sample(
    model: Any, untuned: Untuned, data: Data, base: LoadedBase, spec: TrainSpec, report: Report, stop: Stop
) -> None:
    rows = spread(_held_out_rows(data), spec.samples)
    try:
        report_samples(model, untuned, base, rows, spec.sample_tokens, report, stop)
    except Exception as error:
        if is_disk_full(error):
            raise
        # Training has succeeded and its adapter is saved: samples are only for looking at.
        traceback.print_exc(file=sys.stderr)
        report.warning(f"The samples could not be generated ({type(error).__name__}; the log has the details).")


def _held_rows(data: Data, spec: TrainSpec) -> list[Row]:
    """The rows that are measured beside those that are trained on."""
    held_out = spread(_held_out_rows(data), min(HELD_OUT_ROWS, spec.held_out_rows))
    return [*spread(data.validation.rows, CURVE_ROWS), *held_out]


def _held_out_rows(data: Data) -> list[Row]:
    return data.held_out.rows if data.held_out else []


def _held_out_losses(
    run_dir: Path,
    model: Any,
    untuned: Untuned,
    data: Data,
    base: LoadedBase,
    spec: TrainSpec,
    step: int,
    report: Report,
    stop: Stop,
) -> dict[str, object]:
    rows = spread(_held_out_rows(data), min(HELD_OUT_ROWS, spec.held_out_rows))
    if not rows or data.held_out is None:
        return {"base_loss": None, "tuned_loss": None, "held_out": None, "held_out_rows": 0}
    losses_of, pad = data.ways.row_losses, int(base.tokenizer.pad_token_id)
    with untuned() as as_base:
        of_base = losses_of(as_base, rows, pad, spec.batch_size, stop.check)
    of_tuned = losses_of(model, rows, pad, spec.batch_size, stop.check)
    further = {f"held_out_{name}": value for name, value in figures(of_tuned).items()}
    write_held_out(run_dir, spec.snapshot, data.held_out.name, rows, of_base, of_tuned)
    before, after = overall(of_base), overall(of_tuned)
    report.metric("base_loss", before, step)
    report.metric("tuned_loss", after, step)
    for name, value in further.items():
        report.metric(name, value, step)
    told = {"base_loss": before, "tuned_loss": after, "held_out": data.held_out.name, "held_out_rows": len(rows)}
    return told | further
