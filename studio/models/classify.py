"""Texts to labels by an encoder with a classification head; the same for training's samples and whoever serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from studio.contract.chat import Message
from studio.contract.plain import one_text
from studio.models.answers import context_window
from studio.models.heads import Verdict, verdicts


def text_ids(tokenizer: Any, turns: Sequence[Message]) -> list[int]:
    """What the encoder reads: the turns as one text, with the tokenizer's own special tokens."""
    return list(tokenizer(one_text(turns, system=False))["input_ids"])


def text_window(model: Any, tokenizer: Any) -> int | None:
    """Tokens that a text may have. The tokenizer is asked too: RoBERTa has two positions that nobody can use."""
    told = [most for most in (context_window(model), int(tokenizer.model_max_length)) if most]
    return min(told, default=None)


@torch.inference_mode()
def classified(model: Any, tokenizer: Any, prompts: Sequence[Sequence[Message]], batch_size: int = 32) -> list[Verdict]:
    """The verdict on each prompt, in the order given; a text beyond the model's window is cut at its end.

    The model (with or without adapter) is put into evaluation mode; its config names the labels.
    """
    model.eval()
    device, config = next(model.parameters()).device, model.config
    rows = [text_ids(tokenizer, prompt)[: text_window(model, tokenizer)] for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    found: dict[int, Verdict] = {}
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = max(len(rows[row]) for row in batch)
        ids = torch.full((len(batch), width), int(tokenizer.pad_token_id), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for line, row in enumerate(batch):
            ids[line, : len(rows[row])] = torch.tensor(rows[row])
            mask[line, : len(rows[row])] = 1
        logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        found |= dict(zip(batch, verdicts(config, logits), strict=True))
    return [found[row] for row in range(len(rows))]
