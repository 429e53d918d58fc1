"""The JSON of OpenAI's chat completions, as far as this engine speaks it: checked requests, responses, stream chunks.

Additions on the last chunk (or the response): the object `weights` names base and adapter with their hashes, `entropy`
is the mean token entropy of the answer in nats, `probability` how likely a classifier holds the label it answers.
Unknown fields are passed over, as clients send many; those that would change the answer (`n`) are checked.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.chat import Message
from studio.inference.request import Finished, GenerationRequest

BASE_MODEL = "base"
DONE = b"data: [DONE]\n\n"
NO_CLASSIFIER = "no_classifier"
"""Code of the refusal of a base without labels, so that a comparison can tell it from an error."""

_Stop = Annotated[str, Field(min_length=1, max_length=200)]


class ChatMessage(BaseModel):
    """One turn of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions. `model` is "base" or a run id; `max_tokens` counts answer tokens."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(min_length=1, max_length=200)
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=32_768)
    max_completion_tokens: int | None = Field(None, ge=1, le=32_768)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    n: Literal[1] = 1
    stream: bool = False

    def generation(self) -> GenerationRequest:
        """The engine's request."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return GenerationRequest(
            messages=tuple(Message(turn.role, turn.content) for turn in self.messages),
            adapter=None if self.model == BASE_MODEL else self.model,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens or 256,
            seed=self.seed,
            stop=tuple(stop),
        )


@dataclass(frozen=True)
class Reply:
    """The frame of one answer: what all its chunks share. `created` is in seconds since 1970."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, text: str | None = None, done: Finished | None = None, first: bool = False) -> bytes:
        """One server-sent event: the role (`first`), a piece of text, or the end with usage and weights."""
        delta: dict[str, str] = {"role": "assistant", "content": ""} if first else {}
        if text:
            delta["content"] = text
        end = done.reason if done else None
        body = self._body("chat.completion.chunk", {"index": 0, "delta": delta, "finish_reason": end}, done)
        return event(body)

    def whole(self, text: str, done: Finished) -> dict[str, Any]:
        """The response of a request that does not stream."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": done.reason}
        return self._body("chat.completion", choice, done)

    def _body(self, kind: str, choice: dict[str, Any], done: Finished | None) -> dict[str, Any]:
        body = {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": [choice]}
        if done:
            total = done.prompt_tokens + done.completion_tokens
            body["usage"] = {
                "prompt_tokens": done.prompt_tokens,
                "completion_tokens": done.completion_tokens,
                "total_tokens": total,
            }
            body["weights"] = weights(done)
            body["entropy"] = None if done.entropy is None else round(done.entropy, 6)
            if done.probability is not None:
                body["probability"] = round(done.probability, 6)
            body["seconds"] = round(done.seconds, 3)
        return body


def event(body: dict[str, Any]) -> bytes:
    """`body` as one server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


def weights(done: Finished) -> dict[str, str | bool | None]:
    """The weights that wrote an answer; `whole`: the adapter's names are those of a whole model that began as base."""
    return {
        "base": done.base,
        "base_hash": done.base_hash,
        "adapter": done.adapter,
        "adapter_hash": done.adapter_hash,
        "whole": done.whole,
    }


def failure(message: str, kind: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """An error body as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def parse(body: bytes) -> ChatRequest:
    """Check a request body. Raises pydantic's ValidationError; `sentence` puts it in words."""
    return ChatRequest.model_validate_json(body)


def sentence(error: ValidationError) -> str:
    """What is wrong with a request, without repeating what the client sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "The request is no JSON object."
    where = ".".join(str(part)[:60] for part in first["loc"]) or "request"
    return f"Field '{where}' cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}."
