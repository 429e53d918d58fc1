"""Greedy answers in batches: what training shows as samples and evaluation scores.

What it leaves out: streaming and sampling, which live in inference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from studio.contract.chat import Message, prompt_ids, render


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """Token ids that end an answer: the end tokens of tokenizer and model, and the one the template closes it with."""
    found: list[Any] = []
    for ends in (tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)):
        found += ends if isinstance(ends, (list, tuple)) else [ends]
    found += _template_end(tokenizer)
    return sorted({int(token) for token in found if token is not None})


def context_window(model: Any) -> int | None:
    """Tokens that prompt and answer may have together; None where the architecture sets no limit.

    The tokens that prompt tuning puts in front of a row are taken off. Of seq2seq it is the limit of each side.
    """
    window = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return window - _learnt_tokens(model) if isinstance(window, int) and window > 0 else None


@torch.inference_mode()
def greedy_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    max_new_tokens: int,
    batch_size: int = 16,
    tools: Sequence[str] = (),
) -> list[str]:
    """One greedy answer a prompt (turns up to the question), as text without special tokens, in the order given.

    `tools`: what each prompt may call (see `render`), as many as there are prompts, or none at all.

    Works in left-padded batches of prompts of like length. The model is put into evaluation mode. An answer ends where
    the context window does; a prompt that leaves no room in it gets the empty answer.
    """
    model.eval()
    device = next(model.parameters()).device
    offered = tools or [""] * len(prompts)
    rows = [prompt_ids(tokenizer, list(prompt), tool) for prompt, tool in zip(prompts, offered, strict=True)]
    ends = stop_ids(model, tokenizer)
    answers = [""] * len(rows)
    # Padding would stand between learnt tokens and the prompt, where it shifts the prompt's positions.
    even = _learnt_tokens(model) > 0
    for batch, room in _batches([len(row) for row in rows], context_window(model), max_new_tokens, batch_size, even):
        width = max(len(rows[row]) for row in batch)
        ids = torch.full((len(batch), width), tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for line, row in enumerate(batch):
            ids[line, width - len(rows[row]) :] = torch.tensor(rows[row])
            mask[line, width - len(rows[row]) :] = 1
        output = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=room,
            eos_token_id=ends or None,
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
        )
        for line, row in enumerate(batch):
            answers[row] = str(tokenizer.decode(output[line, width:].tolist(), skip_special_tokens=True)).strip()
    return answers


def _learnt_tokens(model: Any) -> int:
    """How many tokens prompt tuning puts in front of each row; 0 without it."""
    return int(getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", None) or 0)


def _batches(
    lengths: Sequence[int], window: int | None, most: int, batch_size: int, even: bool = False
) -> Iterator[tuple[list[int], int]]:
    """Rows that are answered together, of like length (`even`: of one), with the tokens that each of them may write
    (1 or more)."""

    def room(row: int) -> int:
        return most if window is None else min(most, window - lengths[row])

    # Only rows with the same room: an answer must not be cut short by whoever shares its batch.
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    for (tokens, _), group in groupby(order, key=lambda row: (room(row), lengths[row] if even else 0)):
        rows = list(group)
        for start in range(0, len(rows) if tokens > 0 else 0, batch_size):
            yield rows[start : start + batch_size], tokens


def _template_end(tokenizer: Any) -> list[int]:
    """The special token with which the chat template closes an answer (Phi's <|end|> is not its end-of-text token)."""
    probe = [Message("user", "a"), Message("assistant", "b")]
    try:
        rendered = render(tokenizer, probe)
    except ValueError:
        return []
    last = max(index for index, target in enumerate(rendered.mask) if target)
    tail = [token for token, target in zip(rendered.ids[: last + 1], rendered.mask, strict=False) if target]
    special = set(tokenizer.all_special_ids)
    return [token for token in tail if token in special][:1]
