"""The decode loop of one batch: left-padded prefill, then one token a row and step from the key-value cache.

Each row has its own adapter, sampling settings and random numbers, so that its answer does not hang on who shares the
batch; rows may join one that already runs. What it leaves out: text (text.py), and when a row ends (engine.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from studio.inference import cache
from studio.inference.guide import Guide
from studio.inference.served import Served

_COLDEST = 1e-4
_LEAST_LOG = -1e4


@dataclass(frozen=True)
class Sampling:
    """How a row picks its tokens; temperature 0 takes the likeliest one. `seed` is that of the row's own generator."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class DecodeRow:
    """One prompt: token ids, the peft name of its adapter, its sampling, the virtual tokens in front of it, if any
    (shape (tokens, width)), how many rivals of each picked token are wanted, and what keeps the answer in a form."""

    ids: Sequence[int]
    adapter: str
    sampling: Sampling
    prefix: torch.Tensor | None = None
    rivals: int = 0
    guide: Guide | None = None

    @property
    def width(self) -> int:
        """Positions that the prompt takes."""
        return len(self.ids) + (0 if self.prefix is None else len(self.prefix))


@dataclass(frozen=True)
class Picked:
    """What a row wrote at a step: its token, the log-probability of it and the entropy (nats) with which it was picked,
    both of the model's own expectation before temperature; and the likeliest tokens with theirs, where wanted."""

    token: int
    logprob: float
    entropy: float
    rivals: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Through:
    """How a decoder reaches its model: `forward(adapters, inputs)` and `embed(adapters, ids)`, one name a row."""

    served: Served
    forward: Callable[[Sequence[str], dict[str, Any]], Any]
    embed: Callable[[Sequence[str], torch.Tensor], torch.Tensor]


class Decoder(ABC):
    """A running batch of rows, whatever the architecture."""

    def __init__(self, through: Through, rows: Sequence[DecodeRow]) -> None:
        self._through = through
        self._rows = list(rows)
        self._random = [torch.Generator().manual_seed(row.sampling.seed) for row in rows]
        self._cache: Any = None

    @torch.inference_mode()
    def step(self) -> list[Picked]:
        """The next token of each row."""
        scores = self.logits()
        guided = [(line, row.guide) for line, row in enumerate(self._rows) if row.guide]
        for line, guide in guided:
            guide.rule(scores[line])
        tokens = self._pick(scores)
        for line, guide in guided:
            guide.take(int(tokens[line]))
        self._go_on(tokens)
        totals = scores.logsumexp(-1)
        told = torch.stack([scores.gather(-1, tokens[:, None])[:, 0] - totals, entropy(scores)]).tolist()
        rivals = self._rivals(scores, totals)
        return [Picked(*one) for one in zip(tokens.tolist(), *told, rivals, strict=True)]

    @abstractmethod
    def logits(self) -> torch.Tensor:
        """One forward pass over the tokens not seen yet: float32 scores of the next token, shape (rows, vocabulary)."""

    @torch.inference_mode()
    def keep(self, lines: Sequence[int]) -> None:
        """Go on with these rows of the batch only (positions in the present order)."""
        chosen = torch.tensor(lines, dtype=torch.long, device=self._through.served.device)
        self._rows = [self._rows[line] for line in lines]
        self._random = [self._random[line] for line in lines]
        self._select(chosen)

    @property
    def joins(self) -> bool:
        """Whether rows can join this batch; asked after its first step."""
        return False

    def join(self, other: Decoder) -> None:
        """Take the rows of a batch of the same kind, after its first step, behind these. `other` is used up."""
        raise NotImplementedError

    @abstractmethod
    def _go_on(self, tokens: torch.Tensor) -> None:
        """Take the tokens of a step, shape (rows,), as the next input."""

    @abstractmethod
    def _select(self, chosen: torch.Tensor) -> None:
        """Keep the chosen lines of everything held for each row."""

    @property
    def _adapters(self) -> list[str]:
        return [row.adapter for row in self._rows]

    def _rivals(self, scores: torch.Tensor, totals: torch.Tensor) -> list[tuple[tuple[int, float], ...]]:
        """The likeliest tokens of each row that wants them, with their log-probabilities; `totals`: their logsumexp."""
        most = max(row.rivals for row in self._rows)
        if not most:
            return [()] * len(self._rows)
        best, tokens = scores.topk(min(most, scores.shape[-1]), dim=-1)
        found = zip(self._rows, tokens.tolist(), (best - totals[:, None]).tolist(), strict=True)
        return [tuple(zip(ids, chances, strict=True))[: row.rivals] for row, ids, chances in found]

    def _pick(self, scores: torch.Tensor) -> torch.Tensor:
        tokens = scores.argmax(-1)
        warm = [line for line, row in enumerate(self._rows) if row.sampling.temperature > 0]
        if warm:
            settings = [self._rows[line].sampling for line in warm]
            draws = torch.cat([torch.rand(1, generator=self._random[line], dtype=torch.float64) for line in warm])
            lines = torch.tensor(warm, device=scores.device)
            tokens[lines] = sample(scores[lines], settings, draws.float() if scores.device.type == "mps" else draws)
        return tokens


class CausalDecoder(Decoder):
    """A batch of a causal language model."""

    def __init__(self, through: Through, rows: Sequence[DecodeRow]) -> None:
        super().__init__(through, rows)
        self._input, self._mask, self._embeds = padded(through, rows, left=True)
        self._is_padded = not bool(self._mask.all())
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._roomy = False

    @torch.inference_mode()
    def logits(self) -> torch.Tensor:
        """See Decoder."""
        inputs: dict[str, Any] = {"use_cache": True, "past_key_values": self._cache}
        inputs |= {"input_ids": self._input} if self._embeds is None else {"inputs_embeds": self._embeds}
        if self._is_padded:
            inputs["attention_mask"] = self._mask
        takes = self._through.served.takes
        if takes.position_ids:
            inputs["position_ids"] = self._positions
        if takes.logits_to_keep:
            inputs["logits_to_keep"] = 1
        output = self._through.forward(self._adapters, inputs)
        if self._cache is None:
            self._roomy = takes.position_ids and cache.roomy(output.past_key_values)
        self._cache = output.past_key_values
        scores: torch.Tensor = output.logits[:, -1].float()
        return scores

    @property
    def joins(self) -> bool:
        """See Decoder."""
        return self._roomy

    @torch.inference_mode()
    def join(self, other: Decoder) -> None:
        """See Decoder."""
        assert isinstance(other, CausalDecoder) and self._roomy and other._roomy
        cache.join(self._cache, other._cache)
        width = max(self._mask.shape[1], other._mask.shape[1])
        self._mask = torch.cat([cache.pad_left(one, width) for one in (self._mask, other._mask)])
        self._input = torch.cat([self._input, other._input])
        self._positions = torch.cat([self._positions, other._positions])
        self._rows, self._random = self._rows + other._rows, self._random + other._random
        self._is_padded = not bool(self._mask.all())

    def _go_on(self, tokens: torch.Tensor) -> None:
        self._input, self._embeds = tokens[:, None], None
        # Rows that have ended may stay for some steps: theirs must not run out of the model's positions.
        last = (self._through.served.context or 2**31) - 1
        self._positions = (self._positions[:, -1:] + 1).clamp(max=last)
        self._mask = torch.cat([self._mask, self._mask.new_ones((len(tokens), 1))], dim=-1)

    def _select(self, chosen: torch.Tensor) -> None:
        self._input, self._mask, self._positions = (t[chosen] for t in (self._input, self._mask, self._positions))
        if not self._roomy:
            if self._cache is not None:
                self._cache.batch_select_indices(chosen)
            return
        # Positions in front of the longest row that is left hold nothing any more.
        first = int(self._mask.any(0).int().argmax())
        self._mask = self._mask[:, first:]
        cache.choose(self._cache, chosen, first)
        self._is_padded = not bool(self._mask.all())


def padded(
    through: Through, rows: Sequence[DecodeRow], left: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Token ids, attention mask, both of shape (rows, width), and embeddings where a row has virtual tokens.

    Virtual tokens stand right before their prompt, behind the padding, so that a row is the same alone and in company.
    """
    served = through.served
    width = max(row.width for row in rows)
    ids = torch.full((len(rows), width), served.pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    starts = [width - row.width if left else 0 for row in rows]
    for line, (row, start) in enumerate(zip(rows, starts, strict=True)):
        end = start + row.width
        ids[line, end - len(row.ids) : end] = torch.tensor(row.ids, dtype=torch.long)
        mask[line, start:end] = 1
    ids, mask = ids.to(served.device), mask.to(served.device)
    if all(row.prefix is None for row in rows):
        return ids, mask, None
    with torch.inference_mode():
        embeds = through.embed([row.adapter for row in rows], ids).clone()
        for line, (row, start) in enumerate(zip(rows, starts, strict=True)):
            if row.prefix is not None:
                embeds[line, start : start + len(row.prefix)] = row.prefix.to(embeds.dtype)
    return ids, mask, embeds


def entropy(scores: torch.Tensor) -> torch.Tensor:
    """Entropy in nats of softmax(scores), shape (rows,); `scores` has shape (rows, vocabulary)."""
    # torch.special.entr took a tenth of a step. The clamp makes a token that is ruled out (score -inf) count for 0.
    logs = torch.log_softmax(scores, dim=-1).clamp_(min=_LEAST_LOG)
    return -(logs.exp() * logs).sum(-1)


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
