"""The engine: one base model in memory and what was trained from it, answers written in batches, piece by piece.

Rows of the base, of plain LoRA and of prompt tuning share one batch; any other run answers its rows in a batch of
their own, and the batches take turns. What it leaves out: threads and queues (batcher.py), HTTP (server.py). Sampling
settings come from the request alone; those in a model's generation_config (temperature, repetition penalty) are not
applied.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from studio.contract.spec import EngineSpec
from studio.inference.adapters import BASE, AdapterShelf, shares_batch
from studio.inference.classify import classify
from studio.inference.configs import read_adapter_config
from studio.inference.decode import CausalDecoder, Decoder, DecodeRow, Sampling, Through
from studio.inference.others import Others
from studio.inference.places import available, find
from studio.inference.reading import read_prompt
from studio.inference.request import Delta, Finished, FinishReason, GenerationRequest, NoMemory, PromptRefused
from studio.inference.seq2seq import Seq2SeqDecoder
from studio.inference.served import NoClassifier, Served, serve
from studio.inference.skinny import speed_up
from studio.inference.text import AnswerText
from studio.models.loading import LoadedBase, load_base

__all__ = ["Delta", "Engine", "Finished", "GenerationRequest", "Prepared"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that can be answered: its prompt's token ids, the model in memory, and the tokens it may write.

    `ends`: tokens that end the answer. `tokenizer` has read the prompt. `slot` is the adapter's name in the base's own
    batch, `prefix` its virtual tokens; `run`, `hash` and `whole` name the weights, run None standing for the base.
    """

    request: GenerationRequest
    ids: tuple[int, ...]
    served: Served
    limit: int
    ends: frozenset[int]
    tokenizer: Any
    slot: str = BASE
    prefix: torch.Tensor | None = None
    run: str | None = None
    hash: str | None = None
    whole: bool = False


@dataclass(eq=False)
class _Answer:
    """A row while it is written."""

    row: int
    prepared: Prepared
    text: AnswerText
    started: float = 0.0
    tokens: int = 0
    entropy: float = 0.0


_SPARE = 8
"""Rows that have ended stay in their batch until they are one in so many: each leave and each join copies its cache."""


@dataclass(eq=False)
class _Batch:
    """Rows that are decoded together; None where a row has ended and its place is not yet given back."""

    decoder: Decoder | None = None
    lines: list[_Answer | None] = field(default_factory=list)

    @property
    def living(self) -> list[_Answer]:
        """The rows that go on."""
        return [answer for answer in self.lines if answer is not None]

    def step(self) -> Iterator[tuple[_Answer, int, float]]:
        """The next token of each row that goes on, and the entropy with which it was picked."""
        assert self.decoder is not None
        tokens = self.decoder.step()
        for answer, token, nats in zip(list(self.lines), tokens, self.decoder.entropies, strict=True):
            if answer is not None:
                yield answer, token, nats

    def leave(self, rows: set[int]) -> None:
        """These rows have ended."""
        self.lines = [None if answer is None or answer.row in rows else answer for answer in self.lines]
        dead = self.lines.count(None)
        if dead and (dead * _SPARE >= len(self.lines) or dead == len(self.lines)):
            self._close_up()

    def room(self, most: int, waiting: int) -> int:
        """How many of the rows that wait should join now."""
        living = len(self.living)
        if not living:
            return min(most, waiting)
        assert self.decoder is not None
        free = min(most - living, waiting)
        return free if self.decoder.joins and free * _SPARE >= min(most, waiting * _SPARE) else 0

    def take(self, fresh: _Batch) -> None:
        """Let the rows of another batch join."""
        if not fresh.living:
            return
        self._close_up()
        fresh._close_up()
        if self.decoder is None:
            self.decoder, self.lines = fresh.decoder, fresh.lines
            return
        assert fresh.decoder is not None
        self.decoder.join(fresh.decoder)
        self.lines = self.lines + fresh.lines

    def _close_up(self) -> None:
        on = [line for line, answer in enumerate(self.lines) if answer is not None]
        if not on:
            self.decoder = None
        elif self.decoder is not None and len(on) < len(self.lines):
            self.decoder.keep(on)
        self.lines = [self.lines[line] for line in on]


@dataclass(frozen=True, eq=False)
class _Source:
    """What answers a request, with the names of its weights."""

    served: Served
    tokenizer: Any
    ends: frozenset[int]
    slot: str = BASE
    prefix: torch.Tensor | None = None
    hash: str | None = None
    whole: bool = False


class Engine:
    """Generates answers of `base` and of the runs in `runs`. For use by one thread at a time.

    `models` is the studio's folder of models, where hashes of large files are remembered.
    """

    def __init__(self, base: LoadedBase, runs: Path, models: Path | None = None) -> None:
        self.base = base
        self.runs = runs
        self.fast_rows = speed_up(base.model)
        self.others = Others(base, models or runs.parent / "models")  # before the shelf puts layers into the base
        self.adapters = AdapterShelf(base, runs)
        self.shared = serve(base)

    @classmethod
    def load(cls, spec: EngineSpec) -> Engine:
        """The engine of a spec. Takes seconds to minutes. Raises BadModel, BadSpec or DiskFull."""
        base = load_base(spec.models, spec.base_model, spec.device, spec.dtype)
        return cls(base, spec.runs, spec.models)

    @property
    def loaded(self) -> list[tuple[str, str]]:
        """Run id and hash of everything in memory beside the base."""
        return [*((adapter.run, adapter.hash) for adapter in self.adapters.loaded), *self.others.loaded]

    def available(self) -> list[str]:
        """Run ids that have weights on the disk."""
        return available(self.runs)

    def rest(self) -> None:
        """Give back memory that nobody has used for long. Call it when nothing is asked."""
        self.others.trim()

    def prepare(self, request: GenerationRequest) -> Prepared:
        """Render the prompt and load the weights asked for. Raises BadInput or NotFound with one sentence."""
        source = self._source(request.adapter)
        served = source.served
        try:
            ids = read_prompt(served, request.messages, source.tokenizer)
        except (TemplateError, ValueError) as error:
            raise PromptRefused(f"The chat template of this model refuses these messages: {error}.") from None
        if not ids:
            raise PromptRefused("The prompt is empty: write a message.")
        limit = _limit(served, len(ids) + (0 if source.prefix is None else len(source.prefix)), request.max_tokens)
        names = (request.adapter, source.hash, source.whole)
        told = (source.ends, source.tokenizer, source.slot, source.prefix)
        return Prepared(request, tuple(ids), served, limit, *told, *names)

    def _source(self, run: str | None) -> _Source:
        if run is None:
            if self.shared.family == "encoder" and not self.shared.labels:
                raise NoClassifier(
                    f"The base model '{self.base.name}' was never trained on any labels: ask a run of it instead."
                )
            return _Source(self.shared, self.shared.tokenizer, self.shared.ends)
        place = find(self.runs, run)
        stamp = place.stamp()
        config = None
        if not place.whole and not self.others.knows(place, stamp):
            known = self.adapters.knows(place, stamp)
            config = None if known else read_adapter_config(place, self.base.family)
            if config is None or shares_batch(config, self.base.family):
                adapter = self.adapters.take(place, config)
                names = (adapter.slot, adapter.prefix, adapter.hash)
                return _Source(self.shared, adapter.tokenizer, adapter.ends, *names)
        served, digest = self.others.take(place, stamp, config)
        return _Source(served, served.tokenizer, served.ends, BASE, served.prefix, digest, place.whole)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Delta]:
        """Answer `requests` in one batch; pieces come as they are written, each row ends with its `done`.

        Raises BadInput or NotFound when one of them cannot be answered, before anything is generated.
        """
        return self.decode([self.prepare(request) for request in requests])

    def decode(
        self, rows: Sequence[Prepared], cancelled: Callable[[int], bool] | None = None, at_once: int | None = None
    ) -> Iterator[Delta]:
        """Answer `rows`, of each model at most `at_once` together (None: all): where one ends, the next joins.

        `cancelled(row)` is asked before every step. Raises BadInput when memory runs out.
        """
        groups: dict[Served, list[int]] = {}
        for number, row in enumerate(rows):
            groups.setdefault(row.served, []).append(number)
        most = at_once or len(rows)
        turns = [self._answer(served, rows, numbers, cancelled, most) for served, numbers in groups.items()]
        try:
            while turns:
                for turn in list(turns):
                    deltas = next(turn, None)
                    if deltas is None:
                        turns.remove(turn)
                    else:
                        yield from deltas
        except torch.OutOfMemoryError:
            raise NoMemory("The device has no memory left for these answers: ask for fewer or shorter ones.") from None
        finally:
            self.adapters.trim()
            self.others.trim()

    def _answer(
        self,
        served: Served,
        rows: Sequence[Prepared],
        numbers: list[int],
        cancelled: Callable[[int], bool] | None,
        most: int,
    ) -> Iterator[list[Delta]]:
        """The pieces of the rows that one model answers, step by step."""
        waiting = [_Answer(n, rows[n], AnswerText(served.tokenizer, rows[n].request.stop)) for n in numbers]
        batch = _Batch()
        while waiting or batch.living:
            gone = {answer.row for answer in [*batch.living, *waiting] if cancelled and cancelled(answer.row)}
            if gone:
                yield [self._last(one, "", "cancelled") for one in [*batch.living, *waiting] if one.row in gone]
                waiting = [answer for answer in waiting if answer.row not in gone]
                batch.leave(gone)
            elif room := batch.room(most, len(waiting)):
                joining, waiting = waiting[:room], waiting[room:]
                for answer in joining:
                    answer.started = time.monotonic()
                if served.family == "encoder":
                    yield self._labels(served, joining)
                    continue
                fresh = _Batch(self._decoder([answer.prepared for answer in joining]), list(joining))
                yield self._step(fresh)
                batch.take(fresh)
            else:
                yield self._step(batch)

    def _step(self, batch: _Batch) -> list[Delta]:
        """One token for each row of a batch."""
        deltas = []
        for answer, token, nats in batch.step():
            answer.entropy += nats
            deltas.append(self._advance(answer, token))
        batch.leave({delta.row for delta in deltas if delta.done})
        return [delta for delta in deltas if delta.text or delta.done]

    def _labels(self, served: Served, answers: Sequence[_Answer]) -> list[Delta]:
        found = classify(self.through(served), [_row(answer.prepared) for answer in answers])
        return [
            Delta(answer.row, verdict.text, self._end(answer, "stop", nats, verdict.probability))
            for answer, (verdict, nats) in zip(answers, found, strict=True)
        ]

    def _decoder(self, rows: Sequence[Prepared]) -> Decoder:
        served = rows[0].served
        kind = Seq2SeqDecoder if served.family == "seq2seq" else CausalDecoder
        return kind(self.through(served), [_row(row) for row in rows])

    def through(self, served: Served) -> Through:
        """How the model of a prepared request is reached."""
        if served is not self.shared:
            return Through(served, lambda slots, inputs: served.model(**inputs), _plain_embed(served.model))
        return Through(served, self._forward, self._embed)

    def _forward(self, slots: Sequence[str], inputs: dict[str, Any]) -> Any:
        # Set at every step, because two generators of one engine may take turns.
        self.adapters.rows = slots
        return self.base.model(**inputs)

    def _embed(self, slots: Sequence[str], ids: torch.Tensor) -> torch.Tensor:
        self.adapters.rows = slots
        embedded: torch.Tensor = self.base.model.get_input_embeddings()(ids)
        return embedded

    def _advance(self, answer: _Answer, token: int) -> Delta:
        answer.tokens += 1
        if token in answer.prepared.ends:
            return self._last(answer, answer.text.flush(), "stop")
        text = answer.text.push(token)
        if answer.text.stopped:
            return self._last(answer, text, "stop")
        if answer.tokens >= answer.prepared.limit:
            text += answer.text.flush()
            return self._last(answer, text, "stop" if answer.text.stopped else "length")
        return Delta(answer.row, text)

    def _last(self, answer: _Answer, text: str, reason: FinishReason) -> Delta:
        mean = answer.entropy / answer.tokens if answer.tokens else None
        return Delta(answer.row, text, self._end(answer, reason, mean))

    def _end(
        self,
        answer: _Answer,
        reason: FinishReason,
        entropy: float | None,
        probability: float | None = None,
    ) -> Finished:
        prepared = answer.prepared
        return Finished(
            reason=reason,
            prompt_tokens=len(prepared.ids),
            completion_tokens=answer.tokens,
            seconds=time.monotonic() - answer.started,
            base=self.base.name,
            base_hash=self.base.weights_hash,
            adapter=prepared.run,
            adapter_hash=prepared.hash,
            whole=prepared.whole,
            entropy=entropy,
            probability=probability,
        )


def _row(prepared: Prepared) -> DecodeRow:
    return DecodeRow(prepared.ids, prepared.slot, _sampling(prepared.request), prepared.prefix)


def _plain_embed(model: Any) -> Callable[[Sequence[str], torch.Tensor], torch.Tensor]:
    return lambda slots, ids: model.get_input_embeddings()(ids)


def _limit(served: Served, prompt: int, asked: int) -> int:
    """Tokens that an answer to a prompt of so many tokens may have. Raises BadInput where there is no room for any."""
    context = served.context
    if context is None:
        return asked
    causal = served.family == "causal"
    room = context - prompt if causal else context
    if room < 1 or prompt > context:
        raise PromptRefused(
            f"The prompt has {prompt} tokens, but this model's context window holds {context}: shorten it."
        )
    return min(room, asked)


def _sampling(request: GenerationRequest) -> Sampling:
    seed = secrets.randbits(63) if request.seed is None else request.seed
    return Sampling(request.temperature, request.top_p, seed)
