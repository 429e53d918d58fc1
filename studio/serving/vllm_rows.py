"""One row at vLLM: the body of its request, and what comes back as pieces like those of the studio's own engine.

Tokens come as numbers (`return_tokens_as_token_ids`) and become text here, so that half characters, special tokens and
stop strings are treated as everywhere else. What it leaves out: entropy, which vLLM does not tell.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from studio.errors import JobFailed
from studio.inference.request import Delta, Finished, FinishReason, GenerationRequest, TokenScore
from studio.inference.text import AnswerText, token_text, within
from studio.serving.vllm_models import Base, Voice

_SPACING = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
"""As studio.inference.guide has it; both use llguidance."""
_ID = "token_id:"


def body(request: GenerationRequest, voice: Voice, ids: list[int], limit: int) -> dict[str, Any]:
    """The JSON for POST /v1/completions."""
    made: dict[str, Any] = {
        "model": voice.model,
        "prompt": ids,
        "max_tokens": limit,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop),
        "stop_token_ids": sorted(voice.ends),
        "logprobs": request.logprobs or 0,
        "return_tokens_as_token_ids": True,
        "stream": True,
    }
    if request.seed is not None:
        made["seed"] = request.seed
    if request.form is not None:
        made["structured_outputs"] = {"json": json.loads(request.form) | {"x-guidance": _SPACING}}
    return made


class Row:
    """One answer while it is written."""

    def __init__(self, base: Base, voice: Voice, request: GenerationRequest, prompt_tokens: int, limit: int) -> None:
        self._base = base
        self._voice = voice
        self._request = request
        self._prompt_tokens = prompt_tokens
        self._limit = limit
        self._text = AnswerText(voice.tokenizer, request.stop)
        self._scores: list[TokenScore] = []
        self._tokens, self._logprob, self._started = 0, 0.0, time.monotonic()

    def take(self, line: str) -> Delta | None:
        """What a line of the stream brings. Raises JobFailed where vLLM says that it failed, or tells no tokens."""
        if not line.startswith("data:") or line.strip() == "data: [DONE]":
            return None
        told = json.loads(line[5:])
        if "error" in told:
            print(f"vLLM: {reason_of(told)}", file=sys.stderr)
            raise JobFailed("vLLM failed at this answer; the server's log says more.")
        choice = next(iter(told.get("choices") or ()), None)
        return None if choice is None else self._choice(choice)

    def _choice(self, choice: Mapping[str, Any]) -> Delta | None:
        told, finish, text = choice.get("logprobs") or {}, choice.get("finish_reason"), ""
        ready = 0
        columns = [told.get(name) or () for name in ("tokens", "token_logprobs", "top_logprobs")]
        if choice.get("text") and not columns[0] and not self._tokens:
            raise JobFailed("vLLM told a text without its tokens: install another version of it.")
        for name, logprob, rivals in zip(*columns, strict=True):
            token = int(name.removeprefix(_ID))
            self._tokens += 1
            self._logprob += logprob or 0.0
            if token in self._voice.ends:
                return self._last(text + self._text.flush(), "stop")
            if self._request.logprobs is not None:
                self._scores.append(self._named(token, logprob or 0.0, rivals or {}))
            text += (piece := self._text.push(token))
            ready = len(self._scores) if piece else ready  # the tokens of what is held back are not told yet
            if self._text.stopped:
                return self._last(text, "stop")
        if finish in ("stop", "length") or self._tokens >= self._limit:
            text += self._text.flush()
            return self._last(text, "length" if finish != "stop" and not self._text.stopped else "stop")
        if finish is not None:
            raise JobFailed(f"vLLM broke this answer off ({str(finish)[:60]}): ask again.")
        return Delta(0, text, scores=self._told(ready)) if text else None

    def _named(self, token: int, logprob: float, rivals: Mapping[str, float]) -> TokenScore:
        """A token with the likeliest in its place. vLLM tells the token itself too, wherever it stands."""
        likeliest = sorted(rivals.items(), key=lambda one: -one[1])[: self._request.logprobs or 0]
        tokenizer = self._voice.tokenizer
        found = [TokenScore(token_text(tokenizer, int(name.removeprefix(_ID))), value) for name, value in likeliest]
        return TokenScore(token_text(tokenizer, token), logprob, tuple(found))

    def _last(self, text: str, reason: FinishReason) -> Delta:
        if self._text.stopped:  # the tokens of a stop string are no part of the answer
            self._scores = within(self._scores, text)
        done = Finished(
            reason=reason,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._tokens,
            seconds=time.monotonic() - self._started,
            base=self._base.name,
            base_hash=self._base.weights_hash,
            adapter=self._voice.run,
            adapter_hash=self._voice.hash,
            certainty=math.exp(self._logprob / self._tokens) if self._tokens else None,
        )
        return Delta(0, text, done, self._told(len(self._scores)))

    def _told(self, count: int) -> tuple[TokenScore, ...]:
        scores, self._scores = tuple(self._scores[:count]), self._scores[count:]
        return scores


def reason_of(told: Any) -> str:
    """The message in an error of vLLM's, which is flat in older versions."""
    inner = told.get("error", told) if isinstance(told, dict) else told
    words = inner.get("message", inner) if isinstance(inner, dict) else inner
    return " ".join(str(words).split())[:300]
