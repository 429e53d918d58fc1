"""Whether a newly trained run takes the place of the one in production: decided from their evaluations alone.

It does only where it is shown to be better on the same held-out rows and no check of the regression suite fails. Both
runs answered the same rows, so their scores are compared in pairs (studio.evaluation.verdict). What it leaves out:
having them evaluated, and promoting (studio.deploy.retraining).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.contract.evaluation import EvalReport
from studio.deploy import sentences
from studio.evaluation.verdict import verdict

Floats = NDArray[np.float64]
_NAMED = 3


@dataclass(frozen=True)
class Evaluation:
    """A run's evaluation: the report, and the score of its own answer to each held-out row, by (row, example id)."""

    report: EvalReport
    scores: Mapping[tuple[int, str], float]


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why, in one sentence."""

    promote: bool
    sentence: str


@dataclass(frozen=True, eq=False)
class _Rows:
    """A number a row, whose mean is the value."""

    rows: Floats

    @property
    def each(self) -> Floats:
        return self.rows

    @property
    def value(self) -> float:
        return float(self.rows.mean()) if len(self.rows) else float("nan")

    def __len__(self) -> int:
        return len(self.rows)

    def resampled(self, indices: Any) -> Any:
        return self.rows[indices].mean(axis=-1)

    def joined(self, other: _Rows) -> _Rows:
        return _Rows(np.concatenate([self.rows, other.rows]))


def verdict_of_challenger(
    challenger: Evaluation, champion: Evaluation | None, suite: bool = False, name: str = sentences.SOME_CHAMPION
) -> Decision:
    """Promote or keep. `champion`: the run in production, None where none is; the challenger is then held against its
    base. `suite`: the project has a regression suite, so the challenger has to have been through it; `name`: what the
    champion is called."""
    report = challenger.report
    if suite and report.regression is None:
        return _keep(sentences.NO_SUITE)
    failed = [case.name for case in report.regression.cases if not case.tuned] if report.regression else []
    if failed:
        named = ", ".join(failed[:_NAMED]) + (" and others" if len(failed) > _NAMED else "")
        told = sentences.CHECK_FAILED if len(failed) == 1 else sentences.CHECKS_FAILED
        return _keep(told.format(count=len(failed), names=named))
    if champion is None:
        if report.verdict.kind == "better":
            return Decision(True, sentences.FIRST.format(verdict=report.verdict.sentence))
        return _keep(sentences.AS_ITS_BASE.format(verdict=report.verdict.sentence))
    if why := _incomparable(challenger, champion):
        return _keep(why)
    return _compared(challenger, champion, name)


def incomparable(one: EvalReport, other: EvalReport) -> str:
    """Why two runs' evaluations cannot be compared, as far as their reports say; '' where they can."""
    if one.held_out != other.held_out or one.split != other.split:
        return sentences.OTHER_ROWS
    if one.verdict.metric != other.verdict.metric or one.verdict.metric not in one.metrics:
        return sentences.OTHER_METRIC
    if one.most_tokens != other.most_tokens:
        return sentences.OTHER_LENGTH
    return ""


def _incomparable(challenger: Evaluation, champion: Evaluation) -> str:
    if why := incomparable(challenger.report, champion.report):
        return why
    if set(challenger.scores) != set(champion.scores):
        return sentences.OTHER_ROWS
    if not challenger.scores:
        return sentences.NO_ROWS
    return ""


def _compared(challenger: Evaluation, champion: Evaluation, name: str) -> Decision:
    lead = challenger.report.metrics[challenger.report.verdict.metric]
    keys = sorted(challenger.scores)
    before, after = (_Rows(np.array([one.scores[key] for key in keys], np.float64)) for one in (champion, challenger))
    found = verdict(before, after, lead.title, lead.higher)
    rows = f"{found.rows:,}"
    told = sentences.COUNTED.format(wins=found.wins, losses=found.losses, rows=rows, metric=lead.title)
    if found.kind == "better":
        return Decision(True, sentences.BETTER.format(model=name, told=told))
    if found.kind == "worse":
        return _keep(sentences.WORSE.format(model=name, told=told))
    if found.kind == "same":
        return _keep(sentences.SAME.format(model=name, rows=rows))
    return _keep(sentences.UNSURE.format(model=name, told=told))


def _keep(why: str) -> Decision:
    return Decision(False, sentences.KEPT.format(why=why))
