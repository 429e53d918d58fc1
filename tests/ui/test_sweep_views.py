"""What the Train tab shows of a sweep, as HTML: escaped, sorted, marked; and the small decisions of its form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio.contract.spec import TrainSpec
from studio.contract.sweep import SWEPT_FIELDS, SweepReport, Trial, parse_over, parse_sweep_spec, tried_values
from studio.jobs.sweeps import About, Sweep
from studio.ui.components.parallel import Axis, Line, parallel
from studio.ui.sweep import over_of, suggested
from studio.ui.sweep_views import (
    FIELD_NAMES,
    SUGGESTED,
    importances_html,
    picture,
    summary_html,
    sweeps_html,
    table_html,
    trials_html,
)

OVER = ("learning_rate=1e-4..1e-2", "lora_rank=16,4", "schedule=linear,cosine")


def trial(number: int, loss: float | None, state: str = "done", **other: object) -> Trial:
    """A trial of the test's sweep."""
    values = {"learning_rate": 10 ** -(2 + number % 3), "lora_rank": 4 if number % 2 else 16, "schedule": "linear"}
    about = {"values": values, "loss": loss, "steps": 40, "step": 40, "seconds": 65.0, "before": 4.0, **other}
    return Trial.model_validate({"number": number, "state": state, **about})


def sweep(*trials: Trial, state: str = "done", message: str = "", importances: dict[str, float] | None = None) -> Sweep:
    """A sweep with trials."""
    base = TrainSpec(snapshot=Path("/s"), models=Path("/m"))
    spec = parse_sweep_spec({"base": base.model_dump(), "over": parse_over(OVER), "trials": 6})
    done = [one for one in trials if one.state == "done" and one.loss is not None]
    best = min(done, key=lambda one: one.loss or 0.0).number if done else None
    report = SweepReport(trials=trials, best=best, importances=importances or {})
    about = About("p1", 2, "0123456789abcdef", "starter<b>", "", "2026-11-22T08:00:00+00:00")
    return Sweep("sweep-1", about, spec, state, message, report, 125.0 if state == "training" else None)


MIXED = (trial(0, 2.0), trial(1, 1.5), trial(2, 3.0, "pruned", step=10), trial(3, None, "failed", reason="<script>x"))


def test_every_field_has_a_name_and_values_that_can_be_tried() -> None:
    assert set(FIELD_NAMES) == set(SUGGESTED) == set(SWEPT_FIELDS)
    for field, values in SUGGESTED.items():
        tried_values(field, values)


def test_the_summary_tells_the_best_and_what_led_to_it() -> None:
    html = summary_html(sweep(*MIXED))
    assert "Sweep 2" in html and "4.000 → 1.500" in html and "<dt>Trials</dt><dd>4 / 6</dd>" in html
    assert "<dt>Ended early</dt><dd>1</dd>" in html and "<dt>LoRA rank</dt><dd>4</dd>" in html
    assert "starter&lt;b&gt;" in html


def test_a_sweep_at_work_tells_how_far_it_is() -> None:
    running = trial(2, None, "running", step=10)
    html = summary_html(sweep(trial(0, 2.0), trial(1, 1.5), running, state="training", message="Loading <i>"))
    doing = "Trial 3 of 6: Learning rate 0.0001, LoRA rank 16, Schedule linear · step 10 of 40"
    assert f"{doing} · at most 2:05 min left" in html
    assert "Loading &lt;i&gt;" in summary_html(sweep(state="starting", message="Loading <i>"))
    assert 'aria-valuenow="38"' in html


@pytest.mark.parametrize(("state", "kind"), [("failed", "bad"), ("stopped", "warn")])
def test_an_end_before_the_end_says_why(state: str, kind: str) -> None:
    html = summary_html(sweep(state=state, message="No room & no air."))
    assert f'class="notice {kind}"' in html and "No room &amp; no air." in html


def test_the_table_marks_the_best_and_escapes_reasons() -> None:
    html = table_html(sweep(*MIXED))
    rows = re.findall(r"<tr>(?!<th)(.*?)</tr>", html)
    assert len(rows) == 4 and [">best<" in row for row in rows] == [False, True, False, False]
    assert "&lt;script&gt;x" in html and "<script>" not in html
    assert 'data-sort="1.5"' in rows[1] and 'data-sort=""' in rows[3]


def test_a_trial_at_work_in_a_stopped_sweep_is_stopped() -> None:
    running = trial(0, 2.0, "running")
    assert ">running<" in table_html(sweep(running, state="training"))
    assert ">stopped<" in table_html(sweep(running, state="stopped"))


def test_the_picture_has_a_line_a_measured_trial_and_the_best_on_top() -> None:
    html = picture(sweep(*MIXED))
    kinds = re.findall(r'<g class="one (\w+)"', html)
    assert sorted(kinds) == ["best", "done", "pruned"] and kinds[-1] == "best"
    assert html.count('tabindex="0"') == 3 and "Dashed: ended early" in html
    assert "Trial 2: Learning rate 0.001, LoRA rank 4, Schedule linear, loss 1.500" in html


def test_without_a_loss_there_is_no_picture() -> None:
    assert picture(sweep(trial(0, None, "running"))) == ""
    assert trials_html(sweep()) == ""


def test_axes_place_choices_numbers_and_exponents() -> None:
    assert Axis("a", ("x", "y", "z")).place("y") == 0.5
    assert Axis("a", None, 0, 10).place(5) == 0.5
    assert Axis("a", None, 1e-4, 1e-2, log=True).place(1e-3) == pytest.approx(0.5)
    assert Axis("a", None, 3, 3).place(3) == 0.5


def test_hostile_names_and_values_of_a_picture_are_escaped() -> None:
    html = parallel([Axis("<b>", ('"><script>', "b"))], [Line("t", ('"><script>',), 1.0, "done", '"><script>')], "loss")
    assert "<script>" not in html and "<b>" not in html


def test_a_loss_that_is_no_number_is_not_drawn() -> None:
    axis = Axis("a", (1, 2))
    assert parallel([axis], [Line("t", (1,), float("nan"), "done", "")], "loss") == ""


def test_what_matters_is_told_biggest_first() -> None:
    html = importances_html(sweep(*MIXED, importances={"lora_rank": 0.2, "learning_rate": 0.8}))
    assert html.index("Learning rate") < html.index("LoRA rank") and "width:80%" in html
    assert "2 finished trials" in html and "hint" in html
    assert importances_html(sweep(*MIXED)) == ""


def test_one_sweep_is_no_list() -> None:
    one = sweep(*MIXED)
    assert sweeps_html([one], one.id) == ""
    assert sweeps_html([one, one], one.id).count("<button") == 2


def test_rows_without_a_setting_say_nothing() -> None:
    assert over_of(["learning_rate", "", None], ["1,2", "3", None]) == ["learning_rate=1,2"]


def test_typed_values_stay_and_suggested_ones_go_with_their_setting() -> None:
    assert suggested("lora_rank", "3, 5") == "3, 5"
    assert suggested("lora_rank", SUGGESTED["learning_rate"]) == SUGGESTED["lora_rank"]
    assert suggested("", SUGGESTED["learning_rate"]) == ""
