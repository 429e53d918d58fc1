"""What goes into the engine and what comes out of it, as frozen data; no torch, so that every file may know these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from studio.contract.chat import Message
from studio.errors import BadInput

FinishReason = Literal["stop", "length", "cancelled"]


class PromptRefused(BadInput):
    """This prompt cannot be asked of this model; others can."""


class NoMemory(BadInput):
    """The device's memory does not hold the batch."""


@dataclass(frozen=True)
class GenerationRequest:
    """One answer to write. `adapter` is a run id, None asks the base; temperature 0 is greedy; `seed` None is random.

    `max_tokens` counts answer tokens. `stop` strings end the answer and are not part of it. `prompt`, a text or token
    ids, is gone on from as it stands, in place of the messages and without a chat template. `logprobs`: how many rivals
    are told of each token; None tells nothing of tokens. `form`: the JSON schema (text) that the answer is held to.
    """

    messages: tuple[Message, ...]
    adapter: str | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None
    stop: tuple[str, ...] = ()
    prompt: str | tuple[int, ...] | None = None
    logprobs: int | None = None
    form: str | None = None


@dataclass(frozen=True)
class TokenScore:
    """A token of an answer: its text, its log-probability (natural, before temperature), and the likeliest tokens in
    its place, the likeliest first."""

    text: str
    logprob: float
    rivals: tuple[TokenScore, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end of one answer: why, how long (seconds since its batch began), and the weights that wrote it.

    Hashes are SHA-256 of safetensors files; `adapter` and `adapter_hash` are None for the base. With `whole` they are
    those of a run's own model, which only began as the base. `entropy` is the mean over the answer's tokens, its end
    token included, of the model's own uncertainty in nats (before temperature); of a classifier it is that of its
    labels, and `probability` how likely it holds its answer. `certainty`: the geometric mean of the probabilities of
    its tokens, or of a classifier its probability.
    """

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    base: str
    base_hash: str
    adapter: str | None
    adapter_hash: str | None
    entropy: float | None = None
    probability: float | None = None
    whole: bool = False
    certainty: float | None = None


@dataclass(frozen=True)
class Delta:
    """The next piece of text of request number `row` (may be empty); `done` is set on the last one. `scores`: its
    tokens, where they were asked for."""

    row: int
    text: str
    done: Finished | None = None
    scores: tuple[TokenScore, ...] = ()


def answer_limit(context: int | None, prompt: int, asked: int, causal: bool = True) -> int:
    """Tokens that an answer to a prompt of so many tokens may have, in a window of `context` that a causal model's
    prompt and answer share. Raises PromptRefused where there is no room for any."""
    if context is None:
        return asked
    room = context - prompt if causal else context
    if room < 1 or prompt > context:
        raise PromptRefused(
            f"The prompt has {prompt} tokens, but this model's context window holds {context}: shorten it."
        )
    return min(room, asked)
