"""Seq2seq models: prompt and answer as token ids, and greedy answers in batches; the same for training and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from studio.contract.chat import PLAIN_TEMPLATE, Message, prompt_text
from studio.contract.plain import one_text
from studio.models.answers import context_window


def question_ids(tokenizer: Any, turns: Sequence[Message]) -> list[int]:
    """What the encoder reads: the turns as one text, or as the tokenizer's own chat template has them."""
    own = tokenizer.chat_template and tokenizer.chat_template != PLAIN_TEMPLATE
    if own:
        return list(tokenizer(prompt_text(tokenizer, turns), add_special_tokens=False)["input_ids"])
    return _ended(tokenizer, list(tokenizer(one_text(turns))["input_ids"]))


def answer_ids(tokenizer: Any, answer: str) -> list[int]:
    """What the decoder has to write: the answer with the tokenizer's own special tokens, its end token last."""
    return _ended(tokenizer, list(tokenizer(text_target=answer)["input_ids"]))


def start_token(model: Any) -> int:
    """The token that stands for the beginning of an answer, as `generate` has it."""
    unwrapped = getattr(model, "module", model)
    for settings in (getattr(unwrapped, "generation_config", None), unwrapped.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            token = getattr(settings, name, None)
            if isinstance(token, (list, tuple)):
                token = token[0] if token else None
            if token is not None:
                return int(token)
    return 0


@torch.inference_mode()
def written(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[Message]], max_new_tokens: int, batch_size: int = 16
) -> list[str]:
    """One greedy answer a prompt, as text without special tokens, in the order given; prompts of like length go
    together. A prompt beyond the model's window is cut at its start. The model is put into evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    window = context_window(model)
    rows = [question_ids(tokenizer, prompt)[-(window or 0) :] for prompt in prompts]
    room = max_new_tokens if window is None else min(max_new_tokens, window - 1)
    answers = [""] * len(rows)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = max(len(rows[row]) for row in batch)
        ids = torch.full((len(batch), width), int(tokenizer.pad_token_id), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for line, row in enumerate(batch):
            ids[line, : len(rows[row])] = torch.tensor(rows[row])
            mask[line, : len(rows[row])] = 1
        output = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            do_sample=False,
            num_beams=1,
            max_new_tokens=room,
        )
        for line, row in enumerate(batch):
            answers[row] = str(tokenizer.decode(output[line].tolist(), skip_special_tokens=True)).strip()
    return answers


def _ended(tokenizer: Any, ids: list[int]) -> list[int]:
    end = tokenizer.eos_token_id
    return ids if end is None or (ids and ids[-1] == end) else [*ids, int(end)]
