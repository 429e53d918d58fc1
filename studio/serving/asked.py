"""What clients ask, as OpenAI's clients write it: each field checked, and what cannot be done refused by name.

Nothing that would change an answer is passed over in silence: a field that is not known here is an error, and so is a
known one with a value that the engine has no way to follow. What it leaves out: tools, images, audio, logit_bias,
penalties, best_of, suffix and echo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.contract.chat import Message
from studio.contract.serving import ServeSpec
from studio.errors import BadInput
from studio.inference.request import GenerationRequest

_IGNORED = frozenset(
    {"user", "metadata", "store", "service_tier", "prompt_cache_key", "safety_identifier", "parallel_tool_calls"}
    | {"prompt_cache_retention"}
)
"""Fields that tell OpenAI's platform something and change no answer."""

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
    "best_of": (1,),
    "suffix": ("",),
    "echo": (False,),
}
"""Known fields that this server cannot follow, with the values that ask for nothing."""

_Stop = Annotated[str, Field(min_length=1, max_length=200)]
_Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Tokens = Annotated[int, Field(ge=1)]
_Temperature = Annotated[float, Field(ge=0, le=2)]
_TopP = Annotated[float, Field(gt=0, le=1)]
_MOST_PROMPTS = 128


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class TextPart(_Body):
    """A piece of a message; pictures and sound are not read here."""

    type: Literal["text"]
    text: str


class Turn(_Body):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=1000)]
    name: str | None = Field(None, max_length=200, description="who speaks; not shown to the model")

    def message(self) -> Message:
        """As the engine reads it; OpenAI's `developer` is its newer word for `system`."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


class Schema(_Body):
    """The schema of an answer."""

    name: str = Field(max_length=100)
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = Field(None, max_length=10_000)
    strict: bool | None = None


class Format(_Body):
    """What form an answer has to have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None

    @model_validator(mode="after")
    def _whole(self) -> Format:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema, and has to be there then")
        return self


class StreamOptions(_Body):
    """What a stream tells besides."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Asked(_Body):
    model: str = Field(min_length=1, max_length=200)
    temperature: _Temperature | None = None
    top_p: _TopP | None = None
    seed: _Seed | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=16)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        for name, neutral in _NEUTRAL.items():
            if fields.get(name) is not None and fields[name] not in neutral:
                raise ValueError(f"'{name}' is not offered by this server: leave it out")
        kept = {name: value for name, value in fields.items() if name not in _NEUTRAL and name not in _IGNORED}
        if unknown := sorted(str(name) for name in set(kept) - set(cls.model_fields)):
            raise ValueError(f"there is no field '{unknown[0][:60]}' here: leave it out")
        return kept

    @property
    def form(self) -> str | None:
        """The JSON schema that an answer is held to, None for any text."""
        return None

    @property
    def usage_wanted(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    def _common(self, index: int, run: str | None, tokens: int) -> dict[str, Any]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return {
            "adapter": run,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "max_tokens": tokens,
            # Each answer of several has a seed of its own, or they would all be one.
            "seed": None if self.seed is None else (self.seed + index + 2**63) % 2**64 - 2**63,
            "stop": tuple(stop),
        }


class ChatAsked(_Asked):
    """The body of POST /v1/chat/completions."""

    messages: list[Turn] = Field(min_length=1, max_length=2000)
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: Format | None = None

    @property
    def form(self) -> str | None:
        """The JSON schema that an answer is held to, None for any text."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        return json.dumps(wanted.json_schema.schema_) if wanted.json_schema else '{"type": "object"}'

    def requests(self, run: str | None, spec: ServeSpec) -> list[GenerationRequest]:
        """One request for each answer. Raises BadInput for more than the server gives."""
        _check_choices(self.choices, spec)
        if self.top_logprobs and not self.logprobs:
            raise BadInput("top_logprobs needs logprobs: true.")
        tokens = _tokens(self.max_completion_tokens or self.max_tokens, spec, spec.most_tokens)
        turns = tuple(turn.message() for turn in self.messages)
        told = (self.top_logprobs or 0) if self.logprobs else None
        return [
            GenerationRequest(turns, logprobs=told, form=self.form, **self._common(index, run, tokens))
            for index in range(self.choices)
        ]


class CompletionAsked(_Asked):
    """The body of POST /v1/completions: texts, or token ids, to be gone on from."""

    prompt: (
        str
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[list[str] | list[list[int]], Field(min_length=1, max_length=_MOST_PROMPTS)]
    )
    max_tokens: _Tokens | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """Each prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if all(isinstance(one, int) for one in self.prompt):
            return [tuple(one for one in self.prompt if isinstance(one, int))]
        return [one if isinstance(one, str) else tuple(one) for one in self.prompt if not isinstance(one, int)]

    def requests(self, run: str | None, spec: ServeSpec) -> list[GenerationRequest]:
        """One request for each answer, those of one prompt together. Raises BadInput for more than the server gives."""
        _check_choices(self.choices * len(self.prompts), spec)
        tokens = _tokens(self.max_tokens, spec, min(16, spec.most_tokens))  # OpenAI's own default
        made = []
        for prompt in self.prompts:
            for choice in range(self.choices):
                common = self._common(choice, run, tokens)
                made.append(GenerationRequest((), prompt=prompt, logprobs=self.logprobs, **common))
        return made


class FeedbackAsked(_Body):
    """The body of POST /v1/feedback: what somebody says of one answer; rating -1, 0 or 1."""

    request_id: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")
    rating: Literal[-1, 0, 1]
    text: str = Field("", max_length=4000)


def sentence(error: ValidationError) -> tuple[str, str | None]:
    """What is wrong with a request, without repeating what the client sent, and the field's name."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "The request is no JSON object.", None
    if first["type"] == "value_error" and not first["loc"]:
        text = first["msg"].removeprefix("Value error, ")
        return f"{text[:1].upper()}{text[1:]}.", None
    where = ".".join(str(part)[:60] for part in first["loc"]) or "request"
    return f"Field '{where}' cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}.", where


def _tokens(asked: int | None, spec: ServeSpec, usual: int) -> int:
    if asked is not None and asked > spec.most_tokens:
        raise BadInput(f"{asked} answer tokens were asked for, but this server gives at most {spec.most_tokens}.")
    return usual if asked is None else asked


def _check_choices(count: int, spec: ServeSpec) -> None:
    if count > spec.most_choices:
        raise BadInput(f"{count} answers were asked for, but this server gives at most {spec.most_choices} at once.")
