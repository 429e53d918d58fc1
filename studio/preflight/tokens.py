"""What the model will see: each row rendered as training renders it, its length, where loss lies, and what is cut off.

Every row goes through the one renderer; only the tokenising is gathered into batches. What it leaves out: weights.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from studio.contract.answers import with_flags
from studio.contract.chat import Message, Rendered, render
from studio.contract.preflight import Lengths, PreflightSpec, ShownRow
from studio.contract.spec import STARTER
from studio.errors import BadModel
from studio.language import mark
from studio.preflight.found import Beat, Checked, Found, of
from studio.preflight.rows import Rows

_BATCH = 512
_BINS = 40
_SHOWN_TOKENS = 1600
"""Tokens of a shown row; of a longer one, the first and the last half of so many."""

_Conversation = tuple[list[Message], str]


@dataclass(frozen=True)
class Tokens(Checked):
    """Findings, lengths and shown rows of one model."""

    lengths: Lengths | None = None
    shown: tuple[ShownRow, ...] = ()


@dataclass
class _Seen:
    """What is kept of all rows: tokens up to the last target and in all, and the reasons against some."""

    ends: list[int] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    targets: int = 0
    no_target: dict[int, str] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    beyond: list[int] = field(default_factory=list)
    truncated: list[int] = field(default_factory=list)


def load(models: Path, base_model: str) -> Any:
    """The tokenizer of a base model that is on this machine; nothing is downloaded. Raises BadModel."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # before be_quiet, which would turn it off
    from studio.models import hub
    from studio.models.loading import load_tokenizer, resolve
    from studio.models.quiet import be_quiet

    be_quiet()
    name = base_model.strip()
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        local = name == STARTER or Path(name).expanduser().is_dir()
        if not local and hub.is_hub_id(name) and hub.cached(name) is None:
            raise BadModel(f"'{name}' is not on this machine yet: it comes with the first run, or give its folder.")
    return load_tokenizer(resolve(models, name), name)


def check_tokens(rows: Rows, spec: PreflightSpec, tokenizer: Any, beat: Beat) -> Tokens:
    """Render every row; which have no target, which are cut, how long they are, and a few as the model sees them."""
    seen = _Seen()
    for first, batch in _batches(rows):
        beat(first, len(rows))
        for row, rendered in enumerate(render_batch(tokenizer, batch), start=first):
            _note(seen, row, rendered, spec.max_length)
    shown = _shown(rows, spec, tokenizer, seen)
    return Tokens(list(_findings(rows, spec, seen)), {}, _lengths(seen, spec.max_length), shown)


def render_batch(tokenizer: Any, batch: Sequence[_Conversation]) -> list[Rendered | str]:
    """Each conversation rendered, or the reason why it cannot be. One call of the tokenizer for all of them.

    The renderer runs twice: first it only says which texts it wants tokenised, then it gets them.
    """
    gathered = _Gathered(tokenizer)
    first = [_render(gathered.recording(), *one) for one in batch]
    gathered.tokenise()
    return [
        one if isinstance(one, str) else _render(gathered.replaying(), *talk)
        for one, talk in zip(first, batch, strict=True)
    ]


class _Gathered:
    """Stands for a tokenizer in `render`: remembers templates' texts, and tokenises many texts at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id, self.chat_template = tokenizer.eos_token_id, tokenizer.chat_template
        self._ids: dict[str, list[int]] = {}
        self._wanted: dict[str, None] = {}
        self._texts: dict[str, str] = {}
        self._record = True

    def recording(self) -> _Gathered:
        self._record = True
        return self

    def replaying(self) -> _Gathered:
        self._record = False
        return self

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any:
        key = repr((conversation, kwargs))
        if key not in self._texts:
            self._texts[key] = self._tokenizer.apply_chat_template(conversation, **kwargs)
        return self._texts[key]

    def __call__(self, text: str, **kwargs: Any) -> dict[str, list[int]]:
        if self._record:
            self._wanted[text] = None
            return {"input_ids": [0]}
        return {"input_ids": self._ids[text]}

    def tokenise(self) -> None:
        texts = list(self._wanted)
        if texts:
            self._ids = dict(zip(texts, self._tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True))


def _render(tokenizer: Any, messages: Sequence[Message], tools: str) -> Rendered | str:
    try:
        return render(tokenizer, messages, tools)
    except ValueError as error:
        return _first_line(error)
    except Exception as error:
        # A template's own `raise_exception` is jinja2's, as in studio.training.data.
        if type(error).__module__.split(".")[0] != "jinja2":
            raise
        return f"the chat template of this model refuses it: {_first_line(error)}"


def _batches(rows: Rows) -> Iterator[tuple[int, list[_Conversation]]]:
    batch: list[_Conversation] = []
    first = 0
    for turns, _, tools in rows.conversations():
        batch.append((list(with_flags([turn | {"content": turn["content"] or ""} for turn in turns])), tools))
        if len(batch) == _BATCH:
            yield first, batch
            first, batch = first + len(batch), []
    if batch:
        yield first, batch


def _note(seen: _Seen, row: int, rendered: Rendered | str, limit: int) -> None:
    if isinstance(rendered, str):
        seen.no_target[row] = rendered
        seen.ends.append(0)
        seen.totals.append(0)
        return
    # As in training, what follows the last answer token can teach nothing and falls away.
    end = len(rendered.mask) - rendered.mask[::-1].index(True)
    seen.ends.append(end)
    seen.totals.append(len(rendered.ids))
    seen.targets += rendered.targets
    if end > limit:
        seen.cut.append(row)
        if rendered.mask.index(True) >= limit:
            seen.beyond.append(row)
    elif len(rendered.ids) > limit:
        seen.truncated.append(row)


def _findings(rows: Rows, spec: PreflightSpec, seen: _Seen) -> Iterator[Found]:
    total = len(rows)
    if seen.no_target:
        reasons: dict[str, int] = {}
        for reason in seen.no_target.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        most = max(reasons, key=lambda reason: reasons[reason])
        text = f"{of(len(seen.no_target), total)} would teach nothing and be left out of training: {most}."
        yield Found("no-target", "error", text, list(seen.no_target), ("drop", "edit", "back"), {"reasons": reasons})
    if seen.truncated:
        text = (
            f"{of(len(seen.truncated), total)} would lose what stands behind the answer at {spec.max_length:,} tokens."
        )
        yield Found("truncated", "note", text, _longest(seen.truncated, seen.totals), ("edit", "drop", "back"))
    if seen.cut:
        longest = max(seen.ends[row] for row in seen.cut)
        text = (
            f"{of(len(seen.cut), total)} would be left out of training, for the answer does not end within "
            f"{spec.max_length:,} tokens."
        )
        details = {"longest": longest, "prompt_alone_too_long": len(seen.beyond)}
        yield Found("answer-cut", "error", text, _longest(seen.cut, seen.ends), ("drop", "edit", "back"), details)


def _longest(rows: Sequence[int], lengths: Sequence[int]) -> list[int]:
    return sorted(rows, key=lambda row: -lengths[row])


def _lengths(seen: _Seen, limit: int) -> Lengths:
    ends = np.array([end for end in seen.ends if end], dtype=np.int64)
    if not len(ends):
        return Lengths(limit=limit)
    top = int(ends.max()) + 1
    width = max(1, -(-top // _BINS))
    edges = list(range(0, top + width, width))
    counts, _ = np.histogram(ends, bins=np.array(edges))
    return Lengths(
        limit=limit,
        edges=tuple(edges),
        counts=tuple(int(count) for count in counts),
        median=int(np.quantile(ends, 0.5, method="inverted_cdf")),
        p95=int(np.quantile(ends, 0.95, method="inverted_cdf")),
        longest=top - 1,
        tokens=int(ends.sum()),
        target_tokens=seen.targets,
    )


def _shown(rows: Rows, spec: PreflightSpec, tokenizer: Any, seen: _Seen) -> tuple[ShownRow, ...]:
    """Some rows that are wrong, the longest, and others drawn by the seed, as the model sees them."""
    few = max(1, spec.shown // 6)
    chosen: dict[int, str] = {}
    for why, numbers in (
        (mark("answer cut"), _longest(seen.cut, seen.ends)[:few]),
        (mark("no target"), list(seen.no_target)[:few]),
        (mark("longest"), _longest(range(len(rows)), seen.ends)[:few]),
        (mark("drawn"), random.Random(spec.seed).sample(range(len(rows)), min(len(rows), spec.shown))),  # noqa: S311
    ):
        for row in numbers:
            if len(chosen) < spec.shown:
                chosen.setdefault(row, why)
    talks = {}
    for first, batch in _batches(rows) if chosen else ():
        talks.update({row: batch[row - first] for row in chosen if first <= row < first + len(batch)})
    return tuple(_shown_row(tokenizer, rows.ids[row], why, talks[row], spec.max_length) for row, why in chosen.items())


def _shown_row(tokenizer: Any, example_id: str, why: str, talk: _Conversation, limit: int) -> ShownRow:
    rendered = _render(tokenizer, *talk)
    if isinstance(rendered, str):
        text = "\n".join(f"{message.role}: {message.content}" for message in talk[0])
        return ShownRow(example_id=example_id, why=why, pieces=((text[: 4 * _SHOWN_TOKENS], False),), tokens=0)
    ids, mask = list(rendered.ids[:limit]), list(rendered.mask[:limit])
    if len(ids) > _SHOWN_TOKENS:
        half, left_out = _SHOWN_TOKENS // 2, len(ids) - _SHOWN_TOKENS
        middle = ((f" […{left_out:,} tokens not shown…] ", False),)
        pieces = _pieces(tokenizer, ids[:half], mask[:half]) + middle + _pieces(tokenizer, ids[-half:], mask[-half:])
    else:
        pieces = _pieces(tokenizer, ids, mask)
    tokens = len(rendered.ids)
    return ShownRow(example_id=example_id, why=why, pieces=pieces, tokens=tokens, cut=max(0, tokens - limit))


def _pieces(tokenizer: Any, ids: Sequence[int], mask: Sequence[bool]) -> tuple[tuple[str, bool], ...]:
    """Runs of tokens with and without loss, as text with the special tokens in it."""
    bounds = [0, *(at for at in range(1, len(ids)) if mask[at] != mask[at - 1]), len(ids)]
    spans = [(start, end) for start, end in itertools.pairwise(bounds) if end > start]
    return tuple((str(tokenizer.decode(list(ids[start:end]))), bool(mask[start])) for start, end in spans)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
