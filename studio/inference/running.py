"""Rows that one model answers together, step by step: where one ends, the next joins, without waiting for the others.

What it leaves out: loading and prompts (engine.py), and who waits for the answers (batcher.py, studio.serving).
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import torch

from studio.inference.classify import classify
from studio.inference.decode import CausalDecoder, Decoder, DecodeRow, Picked, Sampling, Through
from studio.inference.guide import Guide
from studio.inference.request import Delta, Finished, FinishReason, GenerationRequest, TokenScore
from studio.inference.seq2seq import Seq2SeqDecoder
from studio.inference.served import Served
from studio.inference.text import AnswerText, token_text, within


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that can be answered: its prompt's token ids, the model in memory, and the tokens it may write.

    `ends`: tokens that end the answer. `tokenizer` has read the prompt. `slot` is the adapter's name in the base's own
    batch, `prefix` its virtual tokens; `run`, `hash` and `whole` name the weights, run None standing for the base.
    `guide` keeps the answer in the form that was asked for.
    """

    request: GenerationRequest
    ids: tuple[int, ...]
    served: Served
    limit: int
    ends: frozenset[int]
    tokenizer: Any
    slot: str
    prefix: torch.Tensor | None = None
    run: str | None = None
    hash: str | None = None
    whole: bool = False
    guide: Guide | None = None


@dataclass(eq=False)
class _Answer:
    """A row while it is written."""

    row: int
    prepared: Prepared
    text: AnswerText
    started: float = 0.0
    tokens: int = 0
    entropy: float = 0.0
    logprob: float = 0.0
    scores: list[TokenScore] = field(default_factory=list)


_AT_ONCE = {"cpu": 512}
_AT_ONCE_ELSEWHERE = 8192
"""Prompt positions that are read together: more are no faster, and nobody's first token should wait for all."""

_JOINABLE: WeakSet[Served] = WeakSet()
"""Models whose batches were seen to let rows join; others read all prompts of a batch at once."""

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

    def step(self) -> Iterator[tuple[_Answer, Picked]]:
        """The next token of each row that goes on."""
        assert self.decoder is not None
        for answer, picked in zip(list(self.lines), self.decoder.step(), strict=True):
            if answer is not None:
                yield answer, picked

    def leave(self, rows: Collection[int]) -> None:
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


class Running:
    """The rows of one model, at most `most` decoded together; `base` and `base_hash` name the base in what they end
    with. Rows are told apart by a number of the caller's."""

    def __init__(self, through: Through, base: str, base_hash: str, most: int) -> None:
        self._through = through
        self._served = through.served
        self._names = (base, base_hash)
        self._most = most
        self._waiting: list[_Answer] = []
        self._batch = _Batch()

    @property
    def busy(self) -> bool:
        """Whether any row waits or is written."""
        return bool(self._waiting or self._batch.living)

    @property
    def waiting(self) -> int:
        """Rows that have not begun."""
        return len(self._waiting)

    @property
    def rows(self) -> list[int]:
        """Numbers of the rows that are written or wait."""
        return [answer.row for answer in (*self._batch.living, *self._waiting)]

    @property
    def slots(self) -> set[str]:
        """Adapters of the base's batch that these rows need."""
        return {answer.prepared.slot for answer in (*self._batch.living, *self._waiting)}

    def add(self, row: int, prepared: Prepared) -> None:
        """Let a row wait for its place."""
        self._waiting.append(_Answer(row, prepared, AnswerText(self._served.tokenizer, prepared.request.stop)))

    def drop(self, rows: Collection[int]) -> list[Delta]:
        """Nobody wants these rows any more; their ends."""
        gone = [answer for answer in (*self._batch.living, *self._waiting) if answer.row in rows]
        last = [self._last(answer, "", "cancelled") for answer in gone]
        self._waiting = [answer for answer in self._waiting if answer.row not in rows]
        self._batch.leave(rows)
        return last

    def turn(self) -> list[Delta]:
        """One token for each row that is written, or the first one for those that join now."""
        room = self._batch.room(self._most, len(self._waiting))
        if not room:
            return self._step(self._batch)
        joining = self._joining(room)
        self._waiting = [answer for answer in self._waiting if answer not in joining]
        for answer in joining:
            answer.started = time.monotonic()
        if self._served.family == "encoder":
            return self._labels(joining)
        fresh = _Batch(decoder_of(self._through, [answer.prepared for answer in joining]), list(joining))
        deltas = self._step(fresh)
        if fresh.decoder is not None and fresh.decoder.joins:
            _JOINABLE.add(self._served)
        self._batch.take(fresh)
        return deltas

    def _joining(self, room: int) -> list[_Answer]:
        """Of the rows that wait, `room` at most: the oldest one and those whose prompts are about as long."""
        rows = self._waiting[:room]
        if self._served not in _JOINABLE:
            return rows
        most = _AT_ONCE.get(self._served.device.type, _AT_ONCE_ELSEWHERE)
        oldest, width = len(rows[0].prepared.ids), 0
        chosen: list[_Answer] = []
        for answer in sorted(rows, key=lambda one: abs(len(one.prepared.ids) - oldest)):
            width = max(width, len(answer.prepared.ids))
            if chosen and width * (len(chosen) + 1) > most:
                break
            chosen.append(answer)
        return chosen

    def _step(self, batch: _Batch) -> list[Delta]:
        deltas = [self._advance(answer, picked) for answer, picked in batch.step()]
        batch.leave({delta.row for delta in deltas if delta.done})
        return [delta for delta in deltas if delta.text or delta.done]

    def _labels(self, answers: Sequence[_Answer]) -> list[Delta]:
        found = classify(self._through, [_row(answer.prepared) for answer in answers])
        return [
            Delta(answer.row, verdict.text, self._end(answer, "stop", nats, verdict.probability))
            for answer, (verdict, nats) in zip(answers, found, strict=True)
        ]

    def _advance(self, answer: _Answer, picked: Picked) -> Delta:
        answer.tokens += 1
        answer.entropy += picked.entropy
        answer.logprob += picked.logprob
        if picked.token in answer.prepared.ends:
            return self._last(answer, answer.text.flush(), "stop")
        if answer.prepared.request.logprobs is not None:
            answer.scores.append(_named(answer.prepared.tokenizer, picked))
        text = answer.text.push(picked.token)
        if answer.text.stopped:
            return self._last(answer, text, "stop")
        if answer.tokens >= answer.prepared.limit:
            text += answer.text.flush()
            return self._last(answer, text, "stop" if answer.text.stopped else "length")
        return Delta(answer.row, text, scores=self._scores(answer) if text else ())

    def _last(self, answer: _Answer, text: str, reason: FinishReason) -> Delta:
        mean = answer.entropy / answer.tokens if answer.tokens else None
        if answer.text.stopped:  # the tokens of a stop string are no part of the answer
            answer.scores = within(answer.scores, text)
        return Delta(answer.row, text, self._end(answer, reason, mean), self._scores(answer))

    def _scores(self, answer: _Answer) -> tuple[TokenScore, ...]:
        scores, answer.scores = tuple(answer.scores), []
        return scores

    def _end(
        self, answer: _Answer, reason: FinishReason, entropy: float | None, probability: float | None = None
    ) -> Finished:
        prepared, (base, base_hash) = answer.prepared, self._names
        return Finished(
            reason=reason,
            prompt_tokens=len(prepared.ids),
            completion_tokens=answer.tokens,
            seconds=time.monotonic() - answer.started if answer.started else 0.0,
            base=base,
            base_hash=base_hash,
            adapter=prepared.run,
            adapter_hash=prepared.hash,
            whole=prepared.whole,
            entropy=entropy,
            probability=probability,
            certainty=probability if not answer.tokens else math.exp(answer.logprob / answer.tokens),
        )


def decoder_of(through: Through, rows: Sequence[Prepared]) -> Decoder:
    """A fresh batch of rows of one model."""
    kind = Seq2SeqDecoder if through.served.family == "seq2seq" else CausalDecoder
    return kind(through, [_row(row) for row in rows])


def _row(prepared: Prepared) -> DecodeRow:
    request = prepared.request
    seed = secrets.randbits(63) if request.seed is None else request.seed
    sampling = Sampling(request.temperature, request.top_p, seed)
    return DecodeRow(prepared.ids, prepared.slot, sampling, prepared.prefix, request.logprobs or 0, prepared.guide)


def _named(tokenizer: Any, picked: Picked) -> TokenScore:
    """A token and its rivals with their texts."""
    rivals = tuple(TokenScore(token_text(tokenizer, token), logprob) for token, logprob in picked.rivals)
    return TokenScore(token_text(tokenizer, picked.token), picked.logprob, rivals)
