"""The decode loop of one batch: left-padded prefill, then one token a row and step from the key-value cache.

Each row has its own adapter, sampling settings and random numbers, so that its answer does not hang on who shares the
batch. What it leaves out: text (text.py), when a row ends (engine.py), joining a batch that already runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

_COLDEST = 1e-4


@dataclass(frozen=True)
class Sampling:
    """How a row picks its tokens; temperature 0 takes the likeliest one. `seed` is that of the row's own generator."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class DecodeRow:
    """One prompt: token ids, the peft name of its adapter, and its sampling."""

    ids: Sequence[int]
    adapter: str
    sampling: Sampling


@dataclass(frozen=True)
class Takes:
    """Which optional inputs a model's forward has."""

    position_ids: bool
    logits_to_keep: bool

    @classmethod
    def of(cls, model: Any) -> Takes:
        """Read them off the signature (there is no other way to ask)."""
        names = inspect.signature(model.forward).parameters
        return cls("position_ids" in names, "logits_to_keep" in names)


class Decoder:
    """A running batch. `forward(adapters, inputs)` is the model; `adapters` holds one name a row."""

    def __init__(
        self,
        forward: Callable[[Sequence[str], dict[str, Any]], Any],
        takes: Takes,
        rows: Sequence[DecodeRow],
        pad_id: int,
        device: torch.device,
    ) -> None:
        self._forward = forward
        self._takes = takes
        self._rows = list(rows)
        self._random = [torch.Generator().manual_seed(row.sampling.seed) for row in rows]
        width = max(len(row.ids) for row in rows)
        ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for line, row in enumerate(rows):
            ids[line, width - len(row.ids) :] = torch.tensor(row.ids, dtype=torch.long)
            mask[line, width - len(row.ids) :] = 1
        self._padded = not bool(mask.all())
        self._input = ids.to(device)
        self._mask = mask.to(device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._cache: Any = None
        self.entropies: list[float] = []
        """Of each row at the last step: entropy (nats) of what the model itself expected next, before temperature."""

    @torch.inference_mode()
    def step(self) -> list[int]:
        """The next token of each row."""
        scores = self.logits()
        tokens = self._pick(scores)
        self._input = tokens[:, None]
        self._positions = self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, self._mask.new_ones((len(tokens), 1))], dim=-1)
        self.entropies = entropy(scores).tolist()
        return [int(token) for token in tokens.tolist()]

    @torch.inference_mode()
    def logits(self) -> torch.Tensor:
        """One forward pass over the tokens not seen yet: float32 scores of the next token, shape (rows, vocabulary)."""
        inputs: dict[str, Any] = {"input_ids": self._input, "use_cache": True, "past_key_values": self._cache}
        if self._padded:
            inputs["attention_mask"] = self._mask
        if self._takes.position_ids:
            inputs["position_ids"] = self._positions
        if self._takes.logits_to_keep:
            inputs["logits_to_keep"] = 1
        output = self._forward([row.adapter for row in self._rows], inputs)
        self._cache = output.past_key_values
        scores: torch.Tensor = output.logits[:, -1].float()
        return scores

    @torch.inference_mode()
    def keep(self, lines: Sequence[int]) -> None:
        """Go on with these rows of the batch only (positions in the present order)."""
        chosen = torch.tensor(lines, dtype=torch.long, device=self._input.device)
        self._rows = [self._rows[line] for line in lines]
        self._random = [self._random[line] for line in lines]
        self._input, self._mask, self._positions = (t[chosen] for t in (self._input, self._mask, self._positions))
        if self._cache is not None:
            self._cache.batch_select_indices(chosen)

    def _pick(self, scores: torch.Tensor) -> torch.Tensor:
        tokens = scores.argmax(-1)
        warm = [line for line, row in enumerate(self._rows) if row.sampling.temperature > 0]
        if warm:
            settings = [self._rows[line].sampling for line in warm]
            draws = torch.cat([torch.rand(1, generator=self._random[line], dtype=torch.float64) for line in warm])
            lines = torch.tensor(warm, device=scores.device)
            tokens[lines] = sample(scores[lines], settings, draws.float() if scores.device.type == "mps" else draws)
        return tokens


def entropy(scores: torch.Tensor) -> torch.Tensor:
    """Entropy in nats of softmax(scores), shape (rows,); `scores` has shape (rows, vocabulary)."""
    return torch.special.entr(torch.softmax(scores, dim=-1)).sum(-1)  # 0 for a token ruled out (score -inf)


def sample(scores: torch.Tensor, settings: Sequence[Sampling], draws: torch.Tensor) -> torch.Tensor:
    """One token a row by inverting the cumulative distribution at `draws` (shape (rows,), in [0, 1)).

    The vocabulary's own order is kept, so a rounding difference in the scores hardly ever changes the token.
    `scores` has shape (rows, vocabulary).
    """
    draws = draws.to(scores.device)
    heat = scores.new_tensor([max(row.temperature, _COLDEST) for row in settings])
    chances = torch.softmax(scores / heat[:, None], dim=-1)
    if any(row.top_p < 1 for row in settings):
        ordered, places = chances.sort(dim=-1, descending=True)
        limits = scores.new_tensor([row.top_p for row in settings])
        # A token is dropped when those before it already reach top_p; so the likeliest one always stays.
        dropped = ordered.cumsum(-1) - ordered >= limits[:, None]
        chances = chances.masked_fill(torch.zeros_like(dropped).scatter(-1, places, dropped), 0.0)
    total = chances.to(draws.dtype).cumsum(-1)
    picked = torch.searchsorted(total, draws[:, None] * total[:, -1:], right=True)
    return picked[:, 0].clamp(max=scores.shape[-1] - 1)
