"""The child process of studio.evaluation.forms: one pattern or schema, then one answer a line; each line is answered.

Started by its path in Python's isolated mode, so it imports nothing of the studio. Patterns, schemas and answers are
hostile here: a timer of processor time, by which the kernel ends the process, runs while a line is worked on, and
memory has a limit. Schemas are never looked up anywhere: a reference to another document is an error.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

MEMORY = 2**30
_WHY = 200

Check = Callable[[str], str]
"""'' for an answer that fits, else why it does not."""


class Unusable(Exception):
    """The pattern or schema itself; the text says what is wrong."""


def regex_check(pattern: str) -> Check:
    """Whether the whole answer, without white space around it, is what the regular expression says."""
    try:
        made = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise Unusable(f"it is no regular expression ({error})") from None
    return lambda answer: "" if made.fullmatch(answer.strip()) else "does not fit the pattern"


def search_check(pattern: str) -> Check:
    """Whether the regular expression is found anywhere in the answer."""
    try:
        made = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise Unusable(f"it is no regular expression ({error})") from None
    return lambda answer: "" if made.search(answer) else "has nothing that fits the pattern"


def schema_check(text: str) -> Check:
    """Whether the answer is JSON that the schema allows."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    try:
        schema = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it is not JSON ({error})") from None
    if not isinstance(schema, dict | bool):
        raise Unusable("a schema is an object in braces")
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise Unusable(f"at {error.json_path}: {error.message[:_WHY]}") from None
    except RecursionError:
        raise Unusable("it is nested too deeply") from None
    validator = kind(schema, registry=Registry())
    return lambda answer: _misfit(validator, answer)


def strict_json(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity. Raises ValueError, RecursionError."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON value")

    return json.loads(text, parse_constant=refuse)


def _misfit(validator: Any, answer: str) -> str:
    from referencing.exceptions import Unresolvable

    try:
        value = strict_json(answer)
    except (ValueError, RecursionError):
        return "is not JSON"
    try:
        error = next(validator.iter_errors(value), None)
    except Unresolvable as problem:
        raise Unusable(f"it refers to {str(problem.ref)[:_WHY]}, which is not in it") from None
    except re.error as problem:
        raise Unusable(f"one of its patterns is no regular expression ({problem})") from None
    except RecursionError:
        return "is nested too deeply"
    return "" if error is None else f"{error.json_path}: {error.message}"[:_WHY]


CHECKS = {"regex": regex_check, "search": search_check, "schema": schema_check}


@contextlib.contextmanager
def timed(seconds: float) -> Any:
    """End this process when so much processor time has gone by before the block is left."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Lines of JSON in: {"kind", "text", "seconds"}, then a string an answer. Lines out: [fits, why], or [null, why]
    once where pattern or schema cannot be used."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    asked = json.loads(sys.stdin.readline())
    try:
        with timed(2 * asked["seconds"]):
            check = CHECKS[asked["kind"]](asked["text"])
        say([True, ""])
        for line in sys.stdin:
            with timed(asked["seconds"]):
                why = check(json.loads(line))
            say([not why, why])
    except Unusable as problem:
        say([None, str(problem)])


def say(reply: list[Any]) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
