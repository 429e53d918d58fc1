"""What a report says besides: the regression suite, general ability, and training answers learnt by heart.

Each part stands on its own: one that fails is told, and the others are there all the same. What it leaves out: how
each is measured (regression.py, general.py, memorising.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from studio.contract.canaries import canaries
from studio.contract.chat import Message
from studio.contract.evaluation import CaseReport, EvalSpec, GeneralReport, MemorisedReport, RegressionReport
from studio.contract.spec import read_train_spec
from studio.errors import BadSpec, StudioError
from studio.evaluation.answering import Asked, Given, answer_all
from studio.evaluation.general import by_kind, general_losses
from studio.evaluation.held_rows import read_rows
from studio.evaluation.memorising import exposure, verbatim
from studio.evaluation.regression import DEFAULT_TOKENS, CaseResult, Suite, parse_suite, run_suite, told
from studio.inference.engine import Engine
from studio.inference.served import NoClassifier

_SHOWN_CHARACTERS = 2_000

Say = Callable[[str], None]
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Further:
    """The parts that could be made."""

    regression: RegressionReport | None = None
    general: GeneralReport | None = None
    memorised: MemorisedReport | None = None


def look_further(engine: Engine, spec: EvalSpec, begun: Say, failed: Say) -> Further:
    """Every part that the spec asks for; `begun` is told what begins, `failed` what could not be done."""
    suite = _tried(lambda: _regression(engine, spec), "Running the regression suite", begun, failed, bool(spec.suite))
    general = _tried(lambda: _general(engine, spec), "Asking general questions", begun, failed, spec.further)
    words = "Looking for training answers learnt by heart"
    return Further(suite, general, _tried(lambda: _memorised(engine, spec), words, begun, failed, spec.further))


def _tried(part: Callable[[], _Part | None], words: str, begun: Say, failed: Say, wanted: bool) -> _Part | None:
    if not wanted:
        return None
    begun(words)
    try:
        return part()
    except StudioError as error:
        failed(f"{words} failed: {error}")
        return None


def _regression(engine: Engine, spec: EvalSpec) -> RegressionReport:
    suite = parse_suite(spec.suite)
    tuned = run_suite(suite, _answers(engine, suite, spec.run))
    try:
        base: Sequence[CaseResult] = run_suite(suite, _answers(engine, suite, None))
    except NoClassifier:
        base = ()
    passed = {one.name for one in base if one.passed}
    cases = tuple(
        CaseReport(
            name=one.name,
            base=one.name in passed,
            tuned=one.passed,
            why="; ".join(check.why for check in one.checks if check.why),
            answer=one.answer[:_SHOWN_CHARACTERS],
        )
        for one in tuned
    )
    return RegressionReport(sentence=told(tuned, base), cases=cases)


def _answers(engine: Engine, suite: Suite, run: str | None) -> list[Given]:
    asked = [
        Asked(
            tuple(Message(turn.role, turn.content) for turn in case.messages) or (Message("user", case.prompt),),
            run,
            case.checks.max_tokens + 1 if case.checks.max_tokens else DEFAULT_TOKENS,
        )
        for case in suite.cases
    ]
    return answer_all(engine, asked)


def _general(engine: Engine, spec: EvalSpec) -> GeneralReport | None:
    found = general_losses(engine, spec.run)
    if found is None:
        return None
    kinds = tuple((kind, *figures) for kind, figures in by_kind(found.rows).items())
    return GeneralReport(sentence=found.sentence, base=found.base, tuned=found.tuned, kinds=kinds)


def _memorised(engine: Engine, spec: EvalSpec) -> MemorisedReport | None:
    rows = [(*row.question, Message("assistant", row.reference)) for row in read_rows(spec.snapshot, "train")[0]]
    found = verbatim(engine, spec.run, rows)
    if found is None:
        return None
    codes = exposure(engine, spec.run, canaries(*_planted(spec)), seed=spec.seed)
    return MemorisedReport(
        sentence=found.sentence,
        rows=found.rows,
        base=found.base.count,
        tuned=found.tuned.count,
        codes=len(codes.canaries) if codes else 0,
        codes_base=codes.base.count if codes else 0,
        codes_tuned=codes.tuned.count if codes else 0,
        codes_sentence=codes.sentence if codes else "",
    )


def _planted(spec: EvalSpec) -> tuple[int, int]:
    """How many codes were planted for the run, and the seed that made them."""
    try:
        run = read_train_spec(spec.runs / spec.run)
    except BadSpec:  # of a later version: nothing is known of its codes
        return 0, 0
    return run.canaries, run.seed
