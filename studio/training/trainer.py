"""`transformers.Trainer` with our loss, our order of rows and whole checkpoints; everything else is its own.

So gradient accumulation, clipping, schedules, resume and the multi-GPU launchers come with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from studio.contract.spec import TrainSpec
from studio.training import checkpoints
from studio.training.families import FamilyWays, of
from studio.training.memory import Thrift
from studio.training.methods import load, write
from studio.training.together import Dealt, through, world_size


def arguments(
    spec: TrainSpec, steps: int, output_dir: Path, device: torch.device, passes: int = 0
) -> TrainingArguments:
    """The Trainer's settings for a run of `steps` optimiser steps laid out as one epoch; `passes`: forward passes of
    this process a step, 0 where it is alone."""
    warmup = round(spec.warmup_ratio * steps)
    constant = "constant_with_warmup" if warmup else "constant"
    schedule = {"constant": constant, "inverse-sqrt": "inverse_sqrt"}.get(spec.schedule, spec.schedule)
    made = TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=1,
        max_steps=steps,
        per_device_train_batch_size=spec.batch_size,
        gradient_accumulation_steps=passes or spec.gradient_accumulation,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=warmup,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        seed=spec.seed,
        neftune_noise_alpha=spec.neftune or None,
        train_sampling_strategy="sequential",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        push_to_hub=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=device.type == "cuda",
        # The next batch is fetched before a step begins: from pinned memory its copy runs beside the step.
        accelerator_config={"non_blocking": device.type == "cuda"},
        use_cpu=device.type == "cpu",
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )
    if made.n_gpu > 1:
        # Several GPUs are for a launcher (torchrun); the Trainer would otherwise fall back to DataParallel.
        made._n_gpu = 1
    return made


class Sealed(Trainer):
    """What every run's trainer has in common: whole checkpoints, no history, and the optimiser's `groups`."""

    groups: list[dict[str, Any]] | None = None

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it would walk over all parameters at each step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell the callbacks only; the history in trainer_state.json would grow with every step."""
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _get_output_dir(self, trial: Any) -> str:
        return str(Path(self.args.output_dir or ".") / checkpoints.WRITING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir or ".")
        if self.args.should_save:
            checkpoints.clear_unfinished(folder)
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                checkpoints.publish(folder, f"checkpoint-{self.state.global_step}")
        finally:
            if self.args.should_save:
                checkpoints.clear_unfinished(folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir or ".")
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            write(self.model, folder)

    def _save_rng_state(self, output_dir: str) -> None:
        self.accelerator.wait_for_everyone()  # `write` leaves nothing beside the weights, so theirs come first
        super()._save_rng_state(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load(model or self.model, Path(resume_from_checkpoint))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW over the groups that the method asks for, once."""
        if self.optimizer is None:
            learner: Any = self.model
            made, options = self.get_optimizer_cls_and_kwargs(self.args, learner)
            every = [{"params": [one for one in learner.parameters() if one.requires_grad]}]
            self.optimizer = made(self.groups or every, **options)
        return self.optimizer


class AnswerTrainer(Sealed):
    """The loss of a step is the sum over its answer tokens divided by their number, over all accumulated batches."""

    def __init__(
        self,
        *args: Any,
        ways: FamilyWays | None = None,
        autocast: torch.dtype | None = None,
        smoothing: float = 0.0,
        groups: list[dict[str, Any]] | None = None,
        thrift: Thrift | None = None,
        dealt: Dealt | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._dealt = dealt
        self._thrift = thrift or Thrift(print, world_size() == 1)
        self.groups = groups
        self.model_accepts_loss_kwargs = True  # asks the Trainer to count the targets of a step for us
        self.loss_is_scaled_for_ga = True
        self._autocast = autocast
        self._loss = (ways or of("causal")).loss(self.model, smoothing)

    def get_train_dataloader(self) -> Any:
        """The rows in their order; of several processes, this one's share of each step."""
        if self._dealt is None:
            return super().get_train_dataloader()
        dataset: Any = self.train_dataset
        pinned = self.args.dataloader_pin_memory
        return DataLoader(dataset, batch_sampler=self._dealt, collate_fn=self.data_collator, pin_memory=pinned)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of a micro-batch, in parts once memory has run out (see memory.py)."""

        def one(part: Any) -> torch.Tensor:
            return super(AnswerTrainer, self).training_step(model, part, num_items_in_batch)

        return self._thrift.train(self.state.global_step, inputs, one, lambda: model.zero_grad(set_to_none=True))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Mean loss in nats an answer token of the whole optimiser step; the share of this batch."""
        with torch.autocast(inputs["labels"].device.type, self._autocast, enabled=self._autocast is not None):
            # A wrapped model (DDP) must be entered through the wrapper, or its gradients are never summed.
            alone = model is self.model
            total = self._loss(inputs) if alone else through(model, self.model, self._loss, inputs)
        if inputs.get("blank"):
            total = total * 0.0
        # DDP averages gradients over processes, whereas the count is already that of all of them.
        return total / num_items_in_batch * self.accelerator.num_processes
