"""The engine: one base model in memory, many adapters, answers generated in one batch and given piece by piece.

What it leaves out: threads and queues (batcher.py), HTTP (server.py). Sampling settings come from the request alone;
those in a model's generation_config (temperature, repetition penalty) are not applied.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from studio.contract.chat import prompt_ids
from studio.contract.spec import EngineSpec
from studio.errors import BadInput
from studio.inference.adapters import BASE, Adapter, AdapterShelf
from studio.inference.decode import Decoder, DecodeRow, Sampling, Takes
from studio.inference.request import Delta, Finished, FinishReason, GenerationRequest
from studio.inference.skinny import speed_up
from studio.inference.text import AnswerText
from studio.models.answers import context_window, stop_ids
from studio.models.loading import LoadedBase, load_base

__all__ = ["Delta", "Engine", "Finished", "GenerationRequest", "Prepared"]


@dataclass(frozen=True)
class Prepared:
    """A request that can be generated: its prompt's token ids, its adapter in memory, and the tokens it may write."""

    request: GenerationRequest
    ids: tuple[int, ...]
    adapter: Adapter | None
    limit: int


@dataclass(eq=False)
class _Answer:
    """A row while it is written."""

    row: int
    prepared: Prepared
    text: AnswerText
    tokens: int = 0
    entropy: float = 0.0


class Engine:
    """Generates answers of `base` and of the adapters in `runs`. For use by one thread at a time."""

    def __init__(self, base: LoadedBase, runs: Path) -> None:
        self.base = base
        self.fast_rows = speed_up(base.model)
        self.adapters = AdapterShelf(base.model, base.name, base.weights_hash, runs)
        self._ends = frozenset(stop_ids(base.model, base.tokenizer))
        self._takes = Takes.of(base.model)
        self._device = next(base.model.parameters()).device
        self.context = context_window(base.model)

    @classmethod
    def load(cls, spec: EngineSpec) -> Engine:
        """The engine of a spec. Takes seconds to minutes. Raises BadModel, BadSpec or DiskFull."""
        return cls(load_base(spec.models, spec.base_model, spec.device, spec.dtype), spec.runs)

    def prepare(self, request: GenerationRequest) -> Prepared:
        """Render the prompt and load the adapter. Raises BadInput or NotFound with one sentence."""
        adapter = None if request.adapter is None else self.adapters.get(request.adapter)
        try:
            ids = prompt_ids(self.base.tokenizer, request.messages)
        except (TemplateError, ValueError) as error:
            raise BadInput(f"The chat template of this model refuses these messages: {error}.") from None
        if not ids:
            raise BadInput("The prompt is empty: write a message.")
        room = request.max_tokens if self.context is None else self.context - len(ids)
        if room < 1:
            raise BadInput(
                f"The prompt has {len(ids)} tokens, but this model's context window holds {self.context}: shorten it."
            )
        return Prepared(request, tuple(ids), adapter, min(room, request.max_tokens))

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Delta]:
        """Answer `requests` in one batch; pieces come as they are written, each row ends with its `done`.

        Raises BadInput or NotFound when one of them cannot be answered, before anything is generated.
        """
        return self.decode([self.prepare(request) for request in requests])

    def decode(self, rows: Sequence[Prepared], cancelled: Callable[[int], bool] | None = None) -> Iterator[Delta]:
        """Generate one batch; `cancelled(row)` is asked before every step. Raises BadInput when memory runs out."""
        started = time.monotonic()
        answers = [_Answer(i, row, AnswerText(self.base.tokenizer, row.request.stop)) for i, row in enumerate(rows)]
        decoder: Decoder | None = None
        try:
            while answers:
                living = [answer for answer in answers if not (cancelled and cancelled(answer.row))]
                for answer in answers:
                    if answer not in living:
                        yield self._last(answer, "", "cancelled", started)
                if not living:
                    break
                if decoder is None:
                    decoder = self._decoder([answer.prepared for answer in living])
                elif len(living) < len(answers):
                    decoder.keep([line for line, answer in enumerate(answers) if answer in living])
                tokens = decoder.step()
                for answer, nats in zip(living, decoder.entropies, strict=True):
                    answer.entropy += nats
                deltas = [self._advance(a, t, started) for a, t in zip(living, tokens, strict=True)]
                yield from (delta for delta in deltas if delta.text or delta.done)
                on = [line for line, delta in enumerate(deltas) if delta.done is None]
                if on and len(on) < len(living):
                    decoder.keep(on)
                answers = [living[line] for line in on]
        except torch.OutOfMemoryError:
            raise BadInput("The device has no memory left for these answers: ask for fewer or shorter ones.") from None
        finally:
            self.adapters.trim()

    def _decoder(self, rows: Sequence[Prepared]) -> Decoder:
        lines = [DecodeRow(r.ids, r.adapter.slot if r.adapter else BASE, _sampling(r.request)) for r in rows]
        return Decoder(self._forward, self._takes, lines, self.base.tokenizer.pad_token_id or 0, self._device)

    def _forward(self, adapters: Sequence[str], inputs: dict[str, Any]) -> Any:
        # Set at every step, because two generators of one engine may take turns.
        self.adapters.rows = adapters
        return self.base.model(**inputs)

    def _advance(self, answer: _Answer, token: int, started: float) -> Delta:
        answer.tokens += 1
        if token in self._ends:
            return self._last(answer, answer.text.flush(), "stop", started)
        text = answer.text.push(token)
        if answer.text.stopped:
            return self._last(answer, text, "stop", started)
        if answer.tokens >= answer.prepared.limit:
            text += answer.text.flush()
            return self._last(answer, text, "stop" if answer.text.stopped else "length", started)
        return Delta(answer.row, text)

    def _last(self, answer: _Answer, text: str, reason: FinishReason, started: float) -> Delta:
        adapter = answer.prepared.adapter
        done = Finished(
            reason=reason,
            prompt_tokens=len(answer.prepared.ids),
            completion_tokens=answer.tokens,
            seconds=time.monotonic() - started,
            base=self.base.name,
            base_hash=self.base.weights_hash,
            adapter=adapter.run if adapter else None,
            adapter_hash=adapter.hash if adapter else None,
            entropy=answer.entropy / answer.tokens if answer.tokens else None,
        )
        return Delta(answer.row, text, done)


def _sampling(request: GenerationRequest) -> Sampling:
    seed = secrets.randbits(63) if request.seed is None else request.seed
    return Sampling(request.temperature, request.top_p, seed)
