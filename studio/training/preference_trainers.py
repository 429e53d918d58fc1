"""TRL's DPO and KTO trainers on our pairs: their losses, with our order of rows, whole checkpoints and known reference.

TRL would read a data set, tokenise it and hold a second model; here each of these is handed over ready. It would also
write model cards and tell its makers that it was used: neither is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from transformers import TrainerCallback, TrainingArguments
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from studio.contract.spec import TrainSpec
from studio.errors import BadSpec
from studio.models.loading import LoadedBase
from studio.training.callbacks import marks
from studio.training.data import RunRows
from studio.training.methods import groups
from studio.training.preference import Pair, Reference
from studio.training.report import Report
from studio.training.trainer import Sealed, arguments

POINTS = 200
"""Points of a reward curve over a whole run, at the most; each is the mean since the one before it."""

_SHOWN = {"rewards/margins": "rewards_margin", "rewards/accuracies": "rewards_accuracy"}


class _Known(Sealed):
    """What both trainers are spared: everything is rendered, and the reference's log-probabilities are known."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Nothing leaves this machine."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """A card is written when a run is exported, of what the studio knows."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As ours, with TRL's own figures of the steps since the last time."""
        figures = cast(Any, self)._metrics["train"]
        super().log(logs | {name: sum(values) / len(values) for name, values in figures.items() if values}, start_time)
        figures.clear()


class PairTrainer(_Known, DPOTrainer):
    """DPO and IPO."""


class AnswerJudgeTrainer(_Known, KTOTrainer):
    """KTO: each answer of a pair by itself, wanted or unwanted."""


class Rewards(TrainerCallback):
    """Reports reward margin and accuracy of the pairs trained on, each point the mean of the steps since the last."""

    def __init__(self, report: Report, steps: int) -> None:
        self._report, self._at = report, marks(steps, min(POINTS, steps), with_last=True)
        self._seen: dict[str, list[float]] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        for key, name in _SHOWN.items():
            if logs and key in logs:
                self._seen.setdefault(name, []).append(float(logs[key]))
        if state.global_step in self._at:
            for name, values in self._seen.items():
                self._report.metric(name, sum(values) / len(values), state.global_step)
            self._seen.clear()


def make_trainer(
    spec: TrainSpec,
    steps: int,
    output: Path,
    model: Any,
    base: LoadedBase,
    rows: RunRows,
    reference: Reference,
    callbacks: list[TrainerCallback],
    report: Report,
) -> Any:
    """The trainer of a preference run; the items of `rows` are Pairs. Raises BadSpec where TRL refuses the model."""
    config, kind, collate = _parts(spec, reference, int(base.tokenizer.pad_token_id))
    args = config(**_same(arguments(spec, steps, output, base.device)), **_own(spec, base))
    args._n_gpu = min(args.n_gpu, 1)  # several GPUs are for a launcher; the Trainer would fall back to DataParallel
    try:
        trainer = kind(
            model=model,
            ref_model=_NoModel(model.config),
            args=args,
            data_collator=collate,
            train_dataset=Dataset.from_list([{"prompt_ids": [0], "label": True}]),  # looked at, then replaced
            processing_class=base.tokenizer,
            callbacks=[*callbacks, Rewards(report, steps)],
        )
    except ValueError as error:
        raise BadSpec(
            f"Objective {spec.objective} cannot train this model: {str(error).splitlines()[0][:200]}"
        ) from error
    trainer.ref_model = None
    trainer.train_dataset = rows
    trainer.groups = groups(model, base, spec)
    return trainer


class _NoModel(torch.nn.Module):
    """Stands where TRL wants a reference model, so that it makes none: neither a second base nor a second adapter."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config


def _parts(spec: TrainSpec, reference: Reference, pad: int) -> tuple[Any, Any, Any]:
    """Settings, trainer and collator of an objective."""
    if spec.objective == "kto":
        unpaired = DataCollatorForUnpairedPreference(pad_token_id=pad)
        return KTOConfig, AnswerJudgeTrainer, lambda pairs: unpaired(_judged(pairs, reference))
    paired = DataCollatorForPreference(pad_token_id=pad)
    return DPOConfig, PairTrainer, lambda pairs: paired([_preferred(pair, reference) for pair in pairs])


def _own(spec: TrainSpec, base: LoadedBase) -> dict[str, Any]:
    """The settings that TRL adds to the Trainer's."""
    own: dict[str, Any] = {"beta": spec.beta, "max_length": None, "precompute_ref_log_probs": True}
    if spec.objective != "kto":
        own["loss_type"] = ["ipo" if spec.objective == "ipo" else "sigmoid"]
    own["bf16"] = base.device.type == "cuda" and base.dtype == torch.bfloat16
    return own


def _same(args: TrainingArguments) -> dict[str, Any]:
    """The Trainer's settings, to be given to a class of settings made of it."""
    return {one.name: getattr(args, one.name) for one in fields(TrainingArguments) if one.init and one.name != "bf16"}


def _preferred(pair: Pair, reference: Reference) -> dict[str, Any]:
    better, worse = pair.answers()
    known = reference.of(pair)
    return {
        "prompt_ids": pair.prompt(),
        "chosen_ids": better,
        "rejected_ids": worse,
        "ref_chosen_logps": known.chosen,
        "ref_rejected_logps": known.rejected,
    }


def _judged(pairs: Sequence[Pair], reference: Reference) -> list[dict[str, Any]]:
    """Two examples a pair: the better answers of the batch first, then the worse ones."""
    made: list[dict[str, Any]] = []
    for side, wanted in enumerate((True, False)):
        for pair in pairs:
            known = reference.of(pair)
            stranger = known.stranger or pair
            made.append(
                {
                    "prompt_ids": pair.prompt(),
                    "completion_ids": pair.answers()[side],
                    "KL_completion_ids": stranger.answers()[side],
                    "label": wanted,
                    "ref_logps": (known.chosen, known.rejected)[side],
                    "ref_KL_logps": known.strangers[side],
                }
            )
    return made
