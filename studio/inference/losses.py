"""How likely base and tuned models hold given answers: the loss of each, by one engine, without writing a word.

What it leaves out: classifiers, which write no answer, and losses for training (studio.training.loss).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from torch.nn import functional

from studio.contract.chat import Message, render
from studio.errors import BadInput
from studio.inference.decode import DecodeRow, Sampling, Through, padded
from studio.inference.engine import Engine, Prepared
from studio.inference.request import GenerationRequest, PromptRefused
from studio.models.seq2seq import answer_ids, start_token

_LOGITS = 2**25
"""Scores in memory at a time (128 MB in float32)."""


@dataclass(frozen=True)
class Said:
    """An answer that was given or is right. `run` is a run id, None stands for the base."""

    messages: tuple[Message, ...]
    answer: str
    run: str | None = None


@dataclass(frozen=True)
class AnswerLoss:
    """The summed loss of an answer in nats and its tokens, the end token included; of no tokens where the model cannot
    be asked this (too long, refused by its template), and `why` says so.

    `right` says of each token whether it is the one that the model itself would write next: where all are, the model
    writes this very answer by greedy decoding.
    """

    total: float
    tokens: int
    right: tuple[bool, ...] = ()
    why: str = ""

    @property
    def mean(self) -> float | None:
        """Nats a token."""
        return self.total / self.tokens if self.tokens else None


@dataclass(frozen=True, eq=False)
class _Line:
    """One answer behind its prompt: `ids` are read, and of them the last `answer` are foretold (seq2seq: apart)."""

    at: int
    prepared: Prepared
    answer: tuple[int, ...]

    @property
    def width(self) -> int:
        return len(self.prepared.ids) + len(self.answer)


def answer_losses(
    engine: Engine,
    said: Sequence[Said],
    batch_rows: int = 16,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[AnswerLoss]:
    """The loss of each answer, in the order given. Raises BadInput for a classifier, NotFound, BadInput for a run whose
    weights cannot be used; `on_progress(done, total)` may raise to stop."""
    if engine.shared.family == "encoder":
        raise BadInput("A classifier writes no answers, so there is no loss of their words.")
    found: dict[int, AnswerLoss] = {}
    lines: list[_Line] = []
    for at, one in enumerate(said):
        try:
            lines.append(_line(engine, at, one))
        except PromptRefused as error:
            found[at] = AnswerLoss(0.0, 0, why=str(error))
    for batch in _batches(lines, batch_rows):
        found |= {line.at: one for line, one in zip(batch, _measured(engine, batch), strict=True)}
        on_progress(len(found), len(said))
    return [found[at] for at in range(len(said))]


def _line(engine: Engine, at: int, one: Said) -> _Line:
    prepared = engine.prepare(GenerationRequest(one.messages, one.run, max_tokens=1))
    served, tokenizer = prepared.served, prepared.tokenizer
    if served.family == "seq2seq":
        answer = tuple(answer_ids(tokenizer, one.answer))
        room = served.context
    else:
        answer = _answer_ids(tokenizer, one, len(prepared.ids))
        prefix = 0 if prepared.prefix is None else len(prepared.prefix)
        room = None if served.context is None else served.context - len(prepared.ids) - prefix
    if room is not None and len(answer) > room:
        raise PromptRefused("Prompt and answer together are longer than this model's context window.")
    return _Line(at, prepared, answer)


def _answer_ids(tokenizer: Any, one: Said, prompt: int) -> tuple[int, ...]:
    """The answer's tokens up to the end of its turn, as training has them behind the prompt."""
    try:
        rendered = render(tokenizer, [*one.messages, Message("assistant", one.answer)])
    except (TemplateError, ValueError) as error:
        raise PromptRefused(f"The chat template of this model refuses this answer: {error}.") from None
    last = max(index for index, target in enumerate(rendered.mask) if target)
    ids = rendered.ids[prompt : last + 1]
    targets = rendered.mask[prompt : last + 1]
    return tuple(ids) if all(targets) else tuple(token for token, target in zip(ids, targets, strict=True) if target)


def _batches(lines: Sequence[_Line], most: int) -> Iterator[list[_Line]]:
    """Rows of one model and of like length, as many as the scores have room for."""
    groups: dict[Any, list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.prepared.served, []).append(line)
    for served, group in groups.items():
        vocabulary = int(served.model.config.get_text_config(decoder=True).vocab_size)
        group.sort(key=lambda line: (len(line.answer), line.width))
        batch: list[_Line] = []
        for line in group:
            if batch and (len(batch) >= most or (len(batch) + 1) * (len(line.answer) + 1) * vocabulary > _LOGITS):
                yield batch
                batch = []
            batch.append(line)
        yield batch


@torch.inference_mode()
def _measured(engine: Engine, batch: Sequence[_Line]) -> list[AnswerLoss]:
    """The loss of each row of a batch."""
    through = engine.through(batch[0].prepared.served)
    left = through.served.family == "seq2seq"
    scores = (_seq2seq_scores if left else _causal_scores)(through, batch).float()
    found = []
    for own, line in zip(scores, batch, strict=True):
        targets = torch.tensor(line.answer, device=own.device)
        # The answers stand at the right end of causal rows, and at the left end of a decoder's.
        own = own[: len(targets)] if left else own[len(own) - len(targets) :]
        losses = functional.cross_entropy(own, targets, reduction="none")
        right = tuple((own.argmax(-1) == targets).tolist())
        found.append(AnswerLoss(float(losses.double().sum()), len(targets), right))
    return found


def _causal_scores(through: Through, batch: Sequence[_Line]) -> torch.Tensor:
    """Scores of the answers' tokens, shape (rows, longest answer, vocabulary), each answer at the right end."""
    rows = [
        DecodeRow((*line.prepared.ids, *line.answer), line.prepared.slot, Sampling(), line.prepared.prefix)
        for line in batch
    ]
    ids, mask, embeds = padded(through, rows, left=True)
    longest = max(len(line.answer) for line in batch)
    inputs: dict[str, Any] = {"input_ids": ids} if embeds is None else {"inputs_embeds": embeds}
    inputs["use_cache"] = False
    if not bool(mask.all()):
        inputs["attention_mask"] = mask
    takes = through.served.takes
    if takes.position_ids:
        inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    if takes.logits_to_keep:
        inputs["logits_to_keep"] = longest + 1
    logits: torch.Tensor = through.forward([row.adapter for row in rows], inputs).logits
    return logits[:, -longest - 1 : -1]


def _seq2seq_scores(through: Through, batch: Sequence[_Line]) -> torch.Tensor:
    """Like `_causal_scores`, each answer at the left end."""
    rows = [DecodeRow(line.prepared.ids, line.prepared.slot, Sampling(), line.prepared.prefix) for line in batch]
    ids, mask, embeds = padded(through, rows, left=False)
    begun = ids.new_zeros((len(batch), max(len(line.answer) for line in batch)))
    begun[:, 0] = start_token(through.served.model)
    for row, line in enumerate(batch):
        begun[row, 1 : len(line.answer)] = torch.tensor(line.answer[:-1], device=begun.device)
    inputs: dict[str, Any] = {"input_ids": ids} if embeds is None else {"inputs_embeds": embeds}
    inputs |= {"attention_mask": mask, "decoder_input_ids": begun, "use_cache": False}
    scores: torch.Tensor = through.forward([row.adapter for row in rows], inputs).logits
    return scores
