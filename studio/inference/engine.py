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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from studio.contract.spec import EngineSpec
from studio.errors import BadInput
from studio.inference.adapters import BASE, AdapterShelf, shares_batch
from studio.inference.classify import classify
from studio.inference.configs import read_adapter_config
from studio.inference.decode import CausalDecoder, Decoder, DecodeRow, Sampling, Through
from studio.inference.others import Others
from studio.inference.places import available, find
from studio.inference.reading import read_prompt
from studio.inference.request import Delta, Finished, FinishReason, GenerationRequest
from studio.inference.seq2seq import Seq2SeqDecoder
from studio.inference.served import NoClassifier, Served, serve
from studio.inference.skinny import speed_up
from studio.inference.text import AnswerText
from studio.models.loading import LoadedBase, load_base

__all__ = ["Delta", "Engine", "Finished", "GenerationRequest", "Prepared"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that can be answered: its prompt's token ids, the model in memory, and the tokens it may write.

    `ends`: tokens that end the answer. `slot` is the adapter's name in the base's own batch, `prefix` its virtual
    tokens; `run`, `hash` and `whole` name the weights, run None standing for the base.
    """

    request: GenerationRequest
    ids: tuple[int, ...]
    served: Served
    limit: int
    ends: frozenset[int]
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
    tokens: int = 0
    entropy: float = 0.0


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
            raise BadInput(f"The chat template of this model refuses these messages: {error}.") from None
        if not ids:
            raise BadInput("The prompt is empty: write a message.")
        limit = _limit(served, len(ids) + (0 if source.prefix is None else len(source.prefix)), request.max_tokens)
        names = (request.adapter, source.hash, source.whole)
        return Prepared(request, tuple(ids), served, limit, source.ends, source.slot, source.prefix, *names)

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

    def decode(self, rows: Sequence[Prepared], cancelled: Callable[[int], bool] | None = None) -> Iterator[Delta]:
        """Answer one batch; `cancelled(row)` is asked before every step. Raises BadInput when memory runs out."""
        groups: dict[Served, list[int]] = {}
        for number, row in enumerate(rows):
            groups.setdefault(row.served, []).append(number)
        turns = [self._answer(served, rows, numbers, cancelled) for served, numbers in groups.items()]
        try:
            while turns:
                for turn in list(turns):
                    deltas = next(turn, None)
                    if deltas is None:
                        turns.remove(turn)
                    else:
                        yield from deltas
        except torch.OutOfMemoryError:
            raise BadInput("The device has no memory left for these answers: ask for fewer or shorter ones.") from None
        finally:
            self.adapters.trim()
            self.others.trim()

    def _answer(
        self, served: Served, rows: Sequence[Prepared], numbers: list[int], cancelled: Callable[[int], bool] | None
    ) -> Iterator[list[Delta]]:
        """The pieces of the rows that one model answers, step by step."""
        started = time.monotonic()
        answers = [_Answer(n, rows[n], AnswerText(served.tokenizer, rows[n].request.stop)) for n in numbers]
        decoder: Decoder | None = None
        while answers:
            living = [answer for answer in answers if not (cancelled and cancelled(answer.row))]
            if len(living) < len(answers):
                yield [self._last(answer, "", "cancelled", started) for answer in answers if answer not in living]
            if not living:
                return
            if served.family == "encoder":
                yield self._labels(served, living, started)
                return
            if decoder is None:
                decoder = self._decoder([answer.prepared for answer in living])
            elif len(living) < len(answers):
                decoder.keep([line for line, answer in enumerate(answers) if answer in living])
            tokens = decoder.step()
            for answer, nats in zip(living, decoder.entropies, strict=True):
                answer.entropy += nats
            deltas = [self._advance(a, t, started) for a, t in zip(living, tokens, strict=True)]
            yield [delta for delta in deltas if delta.text or delta.done]
            on = [line for line, delta in enumerate(deltas) if delta.done is None]
            if on and len(on) < len(living):
                decoder.keep(on)
            answers = [living[line] for line in on]

    def _labels(self, served: Served, answers: Sequence[_Answer], started: float) -> list[Delta]:
        found = classify(self._through(served), [_row(answer.prepared) for answer in answers])
        return [
            Delta(answer.row, verdict.text, self._end(answer, "stop", started, nats, verdict.probability))
            for answer, (verdict, nats) in zip(answers, found, strict=True)
        ]

    def _decoder(self, rows: Sequence[Prepared]) -> Decoder:
        served = rows[0].served
        kind = Seq2SeqDecoder if served.family == "seq2seq" else CausalDecoder
        return kind(self._through(served), [_row(row) for row in rows])

    def _through(self, served: Served) -> Through:
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

    def _advance(self, answer: _Answer, token: int, started: float) -> Delta:
        answer.tokens += 1
        if token in answer.prepared.ends:
            return self._last(answer, answer.text.flush(), "stop", started)
        text = answer.text.push(token)
        if answer.text.stopped:
            return self._last(answer, text, "stop", started)
        if answer.tokens >= answer.prepared.limit:
            text += answer.text.flush()
            return self._last(answer, text, "stop" if answer.text.stopped else "length", started)
        return Delta(answer.row, text)

    def _last(self, answer: _Answer, text: str, reason: FinishReason, started: float) -> Delta:
        mean = answer.entropy / answer.tokens if answer.tokens else None
        return Delta(answer.row, text, self._end(answer, reason, started, mean))

    def _end(
        self,
        answer: _Answer,
        reason: FinishReason,
        started: float,
        entropy: float | None,
        probability: float | None = None,
    ) -> Finished:
        prepared = answer.prepared
        return Finished(
            reason=reason,
            prompt_tokens=len(prepared.ids),
            completion_tokens=answer.tokens,
            seconds=time.monotonic() - started,
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
        raise BadInput(f"The prompt has {prompt} tokens, but this model's context window holds {context}: shorten it.")
    return min(room, asked)


def _sampling(request: GenerationRequest) -> Sampling:
    seed = secrets.randbits(63) if request.seed is None else request.seed
    return Sampling(request.temperature, request.top_p, seed)
