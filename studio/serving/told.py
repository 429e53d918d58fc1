"""What clients are told, in the JSON of OpenAI's chat completions, completions and errors."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from studio.inference.request import Finished, TokenScore

Route = Literal["chat", "completion"]

DONE = b"data: [DONE]\n\n"
_PREFIX: Mapping[Route, str] = {"chat": "chatcmpl-", "completion": "cmpl-"}
_KIND: Mapping[Route, str] = {"chat": "chat.completion", "completion": "text_completion"}
_LEAST = -9999.0
"""Log-probability of what cannot be; JSON knows no infinity."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one request; those of a prompt are counted once, however many answers it gets."""

    prompt: int = 0
    answer: int = 0

    def body(self) -> dict[str, int]:
        """As OpenAI says it."""
        total = self.prompt + self.answer
        return {"prompt_tokens": self.prompt, "completion_tokens": self.answer, "total_tokens": total}


@dataclass(frozen=True)
class Piece:
    """Some text of answer `index`, its tokens where they are wanted, and its end if this is the last."""

    index: int
    text: str
    scores: Sequence[TokenScore] | None = None
    done: Finished | None = None


@dataclass
class Reply:
    """The frame of the answers to one request. `with_usage`: every chunk has the field, and one more tells it."""

    route: Route
    model: str
    id: str
    with_usage: bool = False
    created: int = field(default_factory=lambda: int(time.time()))
    _begun: set[int] = field(default_factory=set)
    _offsets: dict[int, int] = field(default_factory=dict)

    def chunk(self, piece: Piece) -> bytes:
        """A piece as one server-sent event."""
        choice: dict[str, Any] = {"index": piece.index}
        if self.route == "chat":
            delta: dict[str, str] = {} if piece.index in self._begun else {"role": "assistant", "content": ""}
            self._begun.add(piece.index)
            choice["delta"] = delta | ({"content": piece.text} if piece.text else {})
        else:
            choice["text"] = piece.text
        choice["logprobs"] = self._logprobs(piece)
        choice["finish_reason"] = piece.done.reason if piece.done else None
        body = self._body(f"{_KIND[self.route]}.chunk" if self.route == "chat" else _KIND[self.route], [choice])
        if piece.done:
            body["system_fingerprint"] = fingerprint(piece.done)
        return event(body | ({"usage": None} if self.with_usage else {}))

    def usage_chunk(self, usage: Usage) -> bytes:
        """The event that tells the usage at a stream's end."""
        kind = f"{_KIND[self.route]}.chunk" if self.route == "chat" else _KIND[self.route]
        return event(self._body(kind, []) | {"usage": usage.body()})

    def whole(self, pieces: Sequence[Piece], usage: Usage) -> dict[str, Any]:
        """The response of a request that does not stream: each answer as one piece."""
        choices = []
        for piece in pieces:
            choice: dict[str, Any] = {"index": piece.index}
            if self.route == "chat":
                choice["message"] = {"role": "assistant", "content": piece.text, "refusal": None}
            else:
                choice["text"] = piece.text
            choice["logprobs"] = self._logprobs(piece)
            choice["finish_reason"] = piece.done.reason if piece.done else None
            choices.append(choice)
        body = self._body(_KIND[self.route], choices) | {"usage": usage.body()}
        if pieces and pieces[0].done:
            body["system_fingerprint"] = fingerprint(pieces[0].done)
        return body

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        if piece.scores is None:
            return None
        if self.route == "chat":
            content = [_token(one) | {"top_logprobs": [_token(rival) for rival in one.rivals]} for one in piece.scores]
            return {"content": content, "refusal": None}
        start = self._offsets.get(piece.index, 0)
        offsets = []
        for one in piece.scores:
            offsets.append(start)
            start += len(one.text)
        self._offsets[piece.index] = start
        return {
            "tokens": [one.text for one in piece.scores],
            "token_logprobs": [_finite(one.logprob) for one in piece.scores],
            "top_logprobs": [{rival.text: _finite(rival.logprob) for rival in one.rivals} for one in piece.scores],
            "text_offset": offsets,
        }


def new_id(route: Route) -> str:
    """A name for a request, by which feedback speaks of it."""
    return f"{_PREFIX[route]}{uuid.uuid4().hex}"


def fingerprint(done: Finished) -> str:
    """Names the weights that answered: the first digits of the base's hash and of the run's."""
    return f"fp_{done.base_hash[:8]}{(done.adapter_hash or '')[:8]}"


def event(body: Mapping[str, Any]) -> bytes:
    """`body` as one server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


def failure(
    message: str, kind: str = "invalid_request_error", code: str | None = None, field: str | None = None
) -> dict[str, Any]:
    """An error body as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": field, "code": code}}


def _token(one: TokenScore) -> dict[str, Any]:
    return {"token": one.text, "logprob": _finite(one.logprob), "bytes": list(one.text.encode("utf-8", "replace"))}


def _finite(logprob: float) -> float:
    return round(max(logprob, _LEAST), 6)
