"""`transformers.Trainer` with our loss, our order of rows and whole checkpoints; everything else is its own.

So gradient accumulation, clipping, schedules, resume and the multi-GPU launchers come with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from studio.contract.spec import TrainSpec
from studio.training import checkpoints
from studio.training.lora import write_adapter
from studio.training.loss import answer_loss, plain_loss


def arguments(spec: TrainSpec, steps: int, output_dir: Path, device: torch.device) -> TrainingArguments:
    """The Trainer's settings for a run of `steps` optimiser steps laid out as one epoch."""
    warmup = round(spec.warmup_ratio * steps)
    constant = "constant_with_warmup" if warmup else "constant"
    schedule = {"constant": constant, "inverse-sqrt": "inverse_sqrt"}.get(spec.schedule, spec.schedule)
    made = TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=1,
        max_steps=steps,
        per_device_train_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
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
        use_cpu=device.type == "cpu",
        ddp_find_unused_parameters=False,
    )
    if made.n_gpu > 1:
        # Several GPUs are for a launcher (torchrun); the Trainer would otherwise fall back to DataParallel.
        made._n_gpu = 1
    return made


class AnswerTrainer(Trainer):
    """The loss of a step is the sum over its answer tokens divided by their number, over all accumulated batches."""

    def __init__(self, *args: Any, autocast: torch.dtype | None = None, smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # asks the Trainer to count the targets of a step for us
        self.loss_is_scaled_for_ga = True
        self._autocast = autocast
        self._smoothing = smoothing
        self._loss = answer_loss(self.model, smoothing)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Mean loss in nats an answer token of the whole optimiser step; the share of this batch."""
        ids, mask, labels = inputs["input_ids"], inputs["attention_mask"], inputs["labels"]
        with torch.autocast(ids.device.type, self._autocast, enabled=self._autocast is not None):
            # A wrapped model (DDP) must be entered through the wrapper, or its gradients are never summed.
            if model is self.model:
                total = self._loss(ids, mask, labels)
            else:
                total = plain_loss(model, ids, mask, labels, self._smoothing)
        # Launchers average gradients over processes, whereas the count is already that of all of them.
        return total / num_items_in_batch * self.accelerator.num_processes

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
            write_adapter(self.model, folder)


def world_size() -> int:
    """Processes that a launcher such as torchrun started for this run; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))
