"""Whether answers have the expected form: a JSON schema or a regular expression that a project gives.

Both can be written so that they never end ((a+)+ and its kind), by mistake too, so they run in a child process with a
limit on processor time for each answer (studio.evaluation.form_check). The limit does not depend on how busy the
machine is. What it leaves out: where the form is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studio.errors import BadInput

SECONDS = 1.0
"""Processor time for one answer."""

TOO_LONG = "takes too long to check"
TEXT_LIMIT = 100_000
"""Characters of the longest pattern or schema."""

_PATIENCE = 3
_CHILD = Path(__file__).with_name("form_check.py")
_WORDS = {"regex": "regular expression", "search": "regular expression", "schema": "JSON schema"}


@dataclass(frozen=True)
class Form:
    """What an answer must look like. `regex`: the whole answer, white space around it aside; `search`: anything in
    it; `schema`: JSON Schema, of the draft that its $schema names, else 2020-12."""

    kind: Literal["regex", "search", "schema"]
    text: str


@dataclass(frozen=True)
class Fit:
    """Whether one answer has the form, and why not."""

    fits: bool
    why: str = ""


def check_form(form: Form, seconds: float = SECONDS) -> None:
    """Raises BadInput with a sentence for who wrote the form, if it cannot be used."""
    list(fits(form, [""], seconds))


def fits(form: Form, answers: Sequence[str], seconds: float = SECONDS) -> list[Fit]:
    """Each answer against the form. An answer that takes longer than `seconds` of processor time does not fit.

    Raises BadInput for a form that cannot be used, or that takes too long on more than three answers.
    """
    if not form.text.strip() or len(form.text) > TEXT_LIMIT:
        raise BadInput(f"The {_WORDS[form.kind]} of the expected form needs 1 to {TEXT_LIMIT:,} characters.")
    found: list[Fit] = []
    late = 0
    while len(found) < len(answers):
        found += list(_until_late(form, answers[len(found) :], seconds))
        if len(found) < len(answers):
            found.append(Fit(False, TOO_LONG))
            late += 1
        if late > _PATIENCE:
            raise BadInput(f"The {_WORDS[form.kind]} of the expected form {TOO_LONG} on some answers: make it simpler.")
    return found


def _until_late(form: Form, answers: Sequence[str], seconds: float) -> Iterator[Fit]:
    """Fits in a child of its own; ends early where the child was ended."""
    with subprocess.Popen(
        [sys.executable, "-I", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            if _ask(child, {"kind": form.kind, "text": form.text, "seconds": seconds}, form) is None:
                raise BadInput(f"The {_WORDS[form.kind]} of the expected form {TOO_LONG}: make it simpler.")
            for answer in answers:
                if (fit := _ask(child, answer, form)) is None:
                    return
                yield fit
        finally:
            child.kill()


def _ask(child: subprocess.Popen[str], question: object, form: Form) -> Fit | None:
    """The child's reply, None where it died over the question. Raises BadInput where it cannot use the form."""
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdin.write(json.dumps(question) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
    except BrokenPipeError:
        return None
    if not line.endswith("\n"):
        return None
    good, why = json.loads(line)
    if good is None:
        raise BadInput(f"The {_WORDS[form.kind]} of the expected form cannot be used: {why}.")
    return Fit(bool(good), str(why))
