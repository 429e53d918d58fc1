"""Answers that have to be JSON of a schema: which tokens may come next, by llguidance where that package is installed.

What it leaves out: regular expressions and grammars of other kinds, which llguidance could do as well.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch

from studio.errors import BadInput
from studio.inference.served import Served

_SPACING: Any = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
"""As Python writes JSON. A free choice of blanks lets a small model write nothing else until its tokens are used up."""
_MOST_SCHEMA = 100_000
_READERS: WeakKeyDictionary[Served, Any] = WeakKeyDictionary()


class Guide(Protocol):
    """What a row is allowed to write."""

    def rule(self, scores: torch.Tensor) -> None:
        """Rule tokens out (-inf, in place); `scores`: shape (vocabulary,)."""

    def take(self, token: int) -> None:
        """The row has written a token."""


class JsonGuide:
    """Keeps one answer within a JSON schema; `ends`: tokens that end it, allowed when the JSON is whole."""

    def __init__(self, matcher: Any, ends: frozenset[int]) -> None:
        self._matcher = matcher
        self._ends = ends

    def rule(self, scores: torch.Tensor) -> None:
        """See Guide."""
        if self._matcher.is_error() or self._matcher.is_stopped():
            self._only_ends(scores)
            return
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8).bool()
        known = min(len(allowed), len(scores))
        scores[known:] = -torch.inf
        scores[:known].masked_fill_(~allowed[:known].to(scores.device), -torch.inf)
        if self._matcher.is_accepting():
            return
        if not bool(torch.isfinite(scores).any()):  # a schema that nothing fits leaves no token at all
            self._only_ends(scores)

    def take(self, token: int) -> None:
        """See Guide."""
        if token not in self._ends and not self._matcher.is_stopped():
            self._matcher.consume_token(token)

    def _only_ends(self, scores: torch.Tensor) -> None:
        scores.fill_(-torch.inf)
        scores[list(self._ends)] = 0.0


def can_guide() -> bool:
    """Whether llguidance is installed."""
    return find_spec("llguidance") is not None


def json_guide(served: Served, schema: str, ends: frozenset[int]) -> Guide:
    """A guide for one answer of a model. Raises BadInput where there is none, and for a schema that cannot be used."""
    if not can_guide():
        raise BadInput("This server cannot hold answers to a JSON form: install llguidance, or leave it out.")
    if served.family == "encoder" or not ends:
        raise BadInput("This model cannot be held to a JSON form: leave it out.")
    if len(schema) > _MOST_SCHEMA:
        raise BadInput(f"The JSON schema is longer than {_MOST_SCHEMA} characters: shorten it.")
    from llguidance import LLMatcher

    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, defaults=_SPACING)
        matcher = LLMatcher(_reader(served, ends), grammar, log_level=0)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"This JSON schema cannot be followed: {_brief(str(error))}.") from None
    if matcher.is_error():
        raise BadInput(f"This JSON schema cannot be followed: {_brief(matcher.get_error())}.")
    return JsonGuide(matcher, ends)


def _reader(served: Served, ends: frozenset[int]) -> Any:
    """What llguidance knows of a tokenizer; a second's work for a large vocabulary, so it is kept."""
    if served not in _READERS:
        from llguidance.hf import from_tokenizer

        size = int(served.model.get_output_embeddings().weight.shape[0])
        size = max(size, len(served.tokenizer))
        try:
            _READERS[served] = from_tokenizer(served.tokenizer, n_vocab=size, eos_token=sorted(ends))
        except Exception as error:  # llguidance knows not every kind of tokenizer, and says so in many ways
            raise BadInput("This model's tokenizer cannot be held to a JSON form: leave it out.") from error
    return _READERS[served]


def _brief(text: str) -> str:
    return " ".join(text.split())[:200].rstrip(".")
