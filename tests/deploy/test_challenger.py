"""The verdict on a challenger: promoted only where shown better on the same rows, and no check fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from studio.contract.evaluation import CaseReport, EvalReport, MetricReport, RegressionReport, VerdictReport
from studio.deploy.challenger import Decision, Evaluation, verdict_of_challenger


def evaluation(
    scores: Sequence[float], higher: bool = True, cases: Sequence[bool] | None = None, **given: Any
) -> Evaluation:
    """An evaluation whose own answers got these scores."""
    mean = sum(scores) / max(1, len(scores))
    metric = MetricReport(
        title="accuracy",
        base=0.5,
        tuned=mean,
        difference=0.0,
        low=None,
        high=None,
        p=None,
        rows=len(scores),
        higher=higher,
    )
    checks = tuple(CaseReport(name=f"check {n}", base=True, tuned=ok) for n, ok in enumerate(cases or ()))
    fields: dict[str, Any] = {
        **{"run": "r", "snapshot": "s", "split": "test", "held_out": "h", "rows": len(scores), "most_tokens": 8},
        "verdict": VerdictReport(metric="accuracy", kind="better", sentence="Better.", rows=len(scores)),
        "metrics": {"accuracy": metric},
        "regression": None if cases is None else RegressionReport(sentence="", cases=checks),
    }
    return Evaluation(EvalReport(**(fields | given)), {(n, f"e{n}"): score for n, score in enumerate(scores)})


WORSE = [0.0, 1.0] * 20
BETTER = [1.0, 1.0] * 20


def decided(challenger: Evaluation, champion: Evaluation | None = None, **given: Any) -> Decision:
    return verdict_of_challenger(challenger, champion, name="run 1", **given)


def test_the_better_one_is_promoted() -> None:
    found = decided(evaluation(BETTER), evaluation(WORSE))
    assert found == Decision(
        True, "Promoted: better than run 1 (better on 20, worse on 0 of 40 held-out answers by accuracy)."
    )


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.0] * 40, "it is worse than run 1"),
        (WORSE, "as well as run 1 on each of 40"),
        ([1.0, 1.0, *WORSE[2:]], "not shown to be better than run 1"),
        ([1.0, 0.0] * 20, "not shown to be better than run 1"),
    ],
)
def test_what_is_not_shown_to_be_better_is_kept_out(scores: list[float], told: str) -> None:
    found = decided(evaluation(scores), evaluation(WORSE))
    assert not found.promote and told in found.sentence


def test_less_is_better_for_a_loss() -> None:
    low = evaluation([0.1 * n for n in range(40)], higher=False)
    high = evaluation([0.1 * n + 1 + 0.05 * (n % 3) for n in range(40)], higher=False)
    assert decided(low, high).promote and not decided(high, low).promote


def test_a_failed_check_keeps_even_the_better_one_out() -> None:
    assert decided(evaluation(BETTER, cases=[True, True]), evaluation(WORSE), suite=True).promote
    found = decided(evaluation(BETTER, cases=[True, False]), evaluation(WORSE), suite=True)
    assert not found.promote and "a check of the regression suite failed (check 1)" in found.sentence
    many = decided(evaluation(BETTER, cases=[False] * 5), None)
    assert "5 checks of the regression suite failed (check 0, check 1, check 2 and others)" in many.sentence


def test_a_suite_that_was_not_run_keeps_it_out() -> None:
    found = decided(evaluation(BETTER), evaluation(WORSE), suite=True)
    assert not found.promote and "did not run the regression suite" in found.sentence


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"held_out": "x"}, "same held-out rows"),
        ({"split": "validation"}, "same held-out rows"),
        ({"most_tokens": 9}, "same length"),
        ({"verdict": VerdictReport(metric="f1", kind="better", sentence="", rows=1)}, "same metric"),
    ],
)
def test_only_like_is_compared_with_like(other: dict[str, Any], told: str) -> None:
    found = decided(evaluation(BETTER), evaluation(WORSE, **other))
    assert not found.promote and told in found.sentence


def test_other_rows_under_the_same_name_are_not_compared() -> None:
    assert "same held-out rows" in decided(evaluation(BETTER), evaluation(WORSE[:-1])).sentence
    assert "no held-out rows" in decided(evaluation([]), evaluation([])).sentence


@pytest.mark.parametrize(
    ("kind", "promote"), [("better", True), ("worse", False), ("unshown", False), ("unknown", False)]
)
def test_with_nothing_in_production_its_base_is_what_to_beat(kind: Any, promote: bool) -> None:
    said = VerdictReport(metric="accuracy", kind=kind, sentence="So it is.", rows=40)
    found = decided(evaluation(BETTER, verdict=said))
    assert found.promote is promote and "So it is." in found.sentence
