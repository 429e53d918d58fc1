"""Causal language models: one sequence of prompt and answer, loss on the answer's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from studio.contract.spec import TrainSpec
from studio.models.answers import greedy_answers
from studio.models.loading import LoadedBase
from studio.training import loss as losses
from studio.training.data import Row, Split, collate, read_split
from studio.training.families import Batch, BatchLoss, FamilyWays


def read(base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool = False) -> Split:
    """The rows of a split, rendered by the chat template. Raises BadFile."""
    return read_split(spec.snapshot, name, base.tokenizer, max_length, keep_messages, spec.overlong == "cut-prompt")


def loss(model: Any, smoothing: float) -> BatchLoss:
    """The summed loss of a batch, with logits at answer tokens alone where that is possible."""
    found = losses.answer_loss(model, smoothing)
    return lambda batch: found(batch["input_ids"], batch["attention_mask"], batch["labels"])


def plain_loss(model: Any, batch: Batch, smoothing: float) -> Tensor:
    """The summed loss of a batch through the model's own forward."""
    return losses.plain_loss(model, batch["input_ids"], batch["attention_mask"], batch["labels"], smoothing)


def answers(model: Any, base: LoadedBase, rows: Sequence[Row], tokens: int) -> list[str]:
    """Greedy answers of at most `tokens` tokens."""
    prompts, tools = [row.messages[:-1] for row in rows], [row.tools for row in rows]
    return greedy_answers(model, base.tokenizer, prompts, tokens, tools=tools)


WAYS = FamilyWays("causal", read, collate, loss, plain_loss, losses.row_losses, answers)
