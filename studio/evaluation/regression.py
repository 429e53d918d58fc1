"""A regression suite: prompts with checks on their answers, pinned to a project and run on every new model.

A suite is JSON, {"cases": [{"name", "prompt" or "messages", "checks": {...}}]} or the list alone. What it leaves out:
how the answers come about (studio.evaluation.answering), and where the suite is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.contract.chat import Message
from studio.contract.refusals import refuses
from studio.errors import BadInput
from studio.evaluation.forms import SECONDS, TEXT_LIMIT, Form, check_form, fits

FILE_LIMIT = 2_000_000
"""Characters of the longest suite."""

MOST_CASES = 500
DEFAULT_TOKENS = 256

Kind = Literal["contains", "not_contains", "regex", "json_schema", "must_refuse", "max_tokens"]

_Text = Annotated[str, Field(min_length=1, max_length=2000)]
_Texts = Annotated[tuple[_Text, ...], Field(max_length=50)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Turn(_Frozen):
    """One turn of a case's conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=50_000)


class Checks(_Frozen):
    """What must be true of an answer; every one that is given. Texts are looked for without regard to capitals.

    `regex` is looked for anywhere in the answer. `must_refuse` false: the answer must not refuse. `max_tokens`: the
    answer ends within so many tokens.
    """

    contains: _Texts = ()
    not_contains: _Texts = ()
    regex: _Texts = ()
    json_schema: dict[str, Any] | bool | None = None
    must_refuse: bool | None = None
    max_tokens: int | None = Field(None, ge=1, le=8192)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        listed = ("contains", "not_contains", "regex")
        if not isinstance(value, Mapping):
            return value
        return {key: [one] if key in listed and isinstance(one, str) else one for key, one in value.items()}

    @model_validator(mode="after")
    def _something_is_checked(self) -> Checks:
        if not any(True for _ in wanted(self)):
            raise ValueError("there is nothing to check: give contains, regex, max_tokens or another check")
        if self.json_schema is not None and len(json.dumps(self.json_schema)) > TEXT_LIMIT:
            raise ValueError(f"json_schema has more than {TEXT_LIMIT:,} characters")
        return self


class Case(_Frozen):
    """One prompt with its checks; `prompt` is short for a single user turn."""

    name: str = Field(min_length=1, max_length=200)
    prompt: str = Field("", max_length=50_000)
    messages: tuple[Turn, ...] = Field((), max_length=100)
    checks: Checks

    @model_validator(mode="after")
    def _one_question(self) -> Case:
        if bool(self.prompt.strip()) == bool(self.messages):
            raise ValueError("give either prompt or messages")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return self

    @property
    def turns(self) -> tuple[Message, ...]:
        """What a model is asked."""
        turns = self.messages or (Turn(role="user", content=self.prompt),)
        return tuple(Message(turn.role, turn.content) for turn in turns)

    def tokens(self, most: int = DEFAULT_TOKENS) -> int:
        """The tokens that an answer may have: one more than the check allows, so that a longer one shows."""
        return most if self.checks.max_tokens is None else self.checks.max_tokens + 1


class Suite(_Frozen):
    """The cases of a project; every name once."""

    cases: tuple[Case, ...] = Field(min_length=1, max_length=MOST_CASES)

    @model_validator(mode="after")
    def _names_differ(self) -> Suite:
        names = [case.name for case in self.cases]
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise ValueError(f"two cases are called '{twice[:80]}': give each a name of its own")
        return self


class Answered(Protocol):
    """What is checked of an answer: its text, its tokens, and why there is none ('' where there is one)."""

    @property
    def text(self) -> str: ...

    @property
    def tokens(self) -> int: ...

    @property
    def why(self) -> str: ...


@dataclass(frozen=True)
class CheckResult:
    """One check of one answer; `wanted` in words, `why` it did not pass ('' where it did)."""

    kind: Kind
    wanted: str
    passed: bool
    why: str = ""


@dataclass(frozen=True)
class CaseResult:
    """A case's answer and what its checks found."""

    name: str
    answer: str
    checks: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def parse_suite(text: str) -> Suite:
    """A suite from JSON text, with patterns and schemas tried out. Raises BadInput with one sentence."""
    if len(text) > FILE_LIMIT:
        raise BadInput(f"The suite has more than {FILE_LIMIT:,} characters: split it.")
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(f"The suite is not JSON{where}: it must be a list of cases.") from None
    try:
        suite = Suite.model_validate({"cases": read} if isinstance(read, list) else read)
    except ValidationError as error:
        raise BadInput(_sentence(error, read)) from None
    except RecursionError:
        raise BadInput("The suite is nested too deeply.") from None
    _try_forms(suite)
    return suite


def run_suite(suite: Suite, answers: Sequence[Answered], seconds: float = SECONDS) -> tuple[CaseResult, ...]:
    """Every case with its answer, in the suite's order. A pattern that takes more than `seconds` of processor time on
    an answer does not pass. Raises ValueError where cases and answers differ in number."""
    return tuple(
        CaseResult(case.name, answer.text, tuple(_checked(case.checks, answer, seconds)))
        for case, answer in zip(suite.cases, answers, strict=True)
    )


def told(results: Sequence[CaseResult], before: Sequence[CaseResult] = ()) -> str:
    """One plain sentence: how many cases pass, and which of those that passed `before` (another model) fail now."""
    passed = sum(result.passed for result in results)
    sentence = f"{passed} of {len(results)} regression cases pass."
    if passed == len(results):
        sentence = "The regression case passes." if passed == 1 else f"All {passed} regression cases pass."
    good = {result.name for result in before if result.passed}
    lost = [result.name for result in results if result.name in good and not result.passed]
    if lost:
        rest = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        sentence += f" The base passes what now fails: {', '.join(name[:60] for name in lost[:3])}{rest}."
    return sentence


def wanted(checks: Checks) -> Iterator[tuple[Kind, Any]]:
    """Each single check that is asked for, with its value."""
    yield from (("contains", one) for one in checks.contains)
    yield from (("not_contains", one) for one in checks.not_contains)
    yield from (("regex", one) for one in checks.regex)
    if checks.json_schema is not None:
        yield "json_schema", checks.json_schema
    if checks.must_refuse is not None:
        yield "must_refuse", checks.must_refuse
    if checks.max_tokens is not None:
        yield "max_tokens", checks.max_tokens


def _checked(checks: Checks, answer: Answered, seconds: float) -> Iterator[CheckResult]:
    for kind, value in wanted(checks):
        why = answer.why or _LOOKS[kind](value, answer, seconds)
        yield CheckResult(kind, _words(kind, value), not why, why)


_Look = Callable[[Any, Answered, float], str]
"""'' for an answer that passes, else why it does not."""


def _contains(value: str, answer: Answered, seconds: float) -> str:
    return "" if value.casefold() in answer.text.casefold() else f"it does not contain “{value[:80]}”"


def _not_contains(value: str, answer: Answered, seconds: float) -> str:
    return f"it contains “{value[:80]}”" if value.casefold() in answer.text.casefold() else ""


def _form(value: Any, answer: Answered, seconds: float) -> str:
    form = Form("search", value) if isinstance(value, str) else Form("schema", json.dumps(value))
    try:
        fit = fits(form, [answer.text], seconds)[0]
    except BadInput as error:
        return str(error)
    return "" if fit.fits else f"it {fit.why}" if fit.why[:1].islower() else fit.why


def _refusal(value: bool, answer: Answered, seconds: float) -> str:
    if refuses(answer.text) == value:
        return ""
    return "it does not refuse" if value else "it refuses"


def _tokens(value: int, answer: Answered, seconds: float) -> str:
    return "" if answer.tokens <= value else f"it has more than {value} tokens"


_LOOKS: Mapping[Kind, _Look] = {
    "contains": _contains,
    "not_contains": _not_contains,
    "regex": _form,
    "json_schema": _form,
    "must_refuse": _refusal,
    "max_tokens": _tokens,
}


def _words(kind: Kind, value: Any) -> str:
    """A check in words."""
    if kind == "must_refuse":
        return "refuses" if value else "does not refuse"
    if kind == "json_schema":
        return "is JSON of the given schema"
    if kind == "max_tokens":
        return f"has at most {value} tokens"
    verb = {"contains": "contains", "not_contains": "does not contain", "regex": "fits"}[kind]
    return f"{verb} “{value[:80]}”"


def _try_forms(suite: Suite) -> None:
    """Raises BadInput for a pattern or schema that cannot be used."""
    tried: set[Form] = set()
    for case in suite.cases:
        forms = [Form("search", pattern) for pattern in case.checks.regex]
        if case.checks.json_schema is not None:
            forms.append(Form("schema", json.dumps(case.checks.json_schema)))
        for form in forms:
            if form in tried:
                continue
            tried.add(form)
            try:
                check_form(form)
            except BadInput as error:
                raise BadInput(f"Case '{case.name[:80]}': {str(error).replace(' of the expected form', '')}") from None


def _sentence(error: ValidationError, read: Any) -> str:
    """What is wrong first, with the case's name where it has one."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [part for part in first["loc"] if part != "cases"]
    message = str(first["msg"]).removeprefix("Value error, ")
    number = path[0] if path and isinstance(path[0], int) else None
    where = "The suite"
    if number is not None:
        where = f"Case {number + 1}"
        cases = read if isinstance(read, list) else read["cases"]
        name = cases[number].get("name") if isinstance(cases[number], dict) else None
        where += f" ('{name[:80]}')" if isinstance(name, str) and name else ""
    field = ".".join(str(part)[:60] for part in path[0 if number is None else 1 :])
    if first["type"] == "extra_forbidden":
        return f"{where} has a field '{field}' that is not known: see the example of a suite."
    told_of = f", '{field}'" if field else ""
    return f"{where}{told_of}: {message[0].lower()}{message[1:]}."
