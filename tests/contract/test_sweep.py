"""What a sweep may be asked: fields, values, ranges, and the sentence for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.contract.spec import SPEC_FILE, TRAIN_FIELDS, TrainSpec
from studio.contract.sweep import (
    REPORT_FILE,
    SWEPT_FIELDS,
    Choices,
    Range,
    SweepReport,
    Trial,
    combinations,
    parse_over,
    parse_sweep_spec,
    read_report,
    read_sweep_spec,
    trial_spec,
    write_report,
)
from studio.errors import BadSpec

BASE = {"snapshot": Path("/s"), "models": Path("/m")}


def test_values_take_their_fields_types() -> None:
    over = parse_over(["learning_rate=1e-4, 5e-4", "lora_rank=8,16,8", "method=lora,dora"])
    assert over["learning_rate"] == Choices(choices=(1e-4, 5e-4))
    assert over["lora_rank"] == Choices(choices=(8, 16))
    assert over["method"] == Choices(choices=("lora", "dora"))
    assert combinations(over) == 8


def test_ranges_are_tried_by_exponents_where_they_are_wide() -> None:
    over = parse_over(["learning_rate=1e-5..1e-3", "lora_rank=4..64", "warmup_ratio=0 .. 0.3"])
    assert over["learning_rate"] == Range(low=1e-5, high=1e-3, log=True)
    assert over["lora_rank"] == Range(low=4, high=64, whole=True, log=True)
    assert over["warmup_ratio"] == Range(low=0, high=0.3)
    assert combinations(over) is None


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("snapshot=/etc,/root", "cannot try 'snapshot'"),
        ("start_from=/etc,/root", "cannot try 'start_from'"),
        ("__class__=1,2", "cannot try '__class__'"),
        ("<script>alert(1)</script>=1,2", "cannot try"),
        ("max_length=64,128", "cannot try 'max_length'"),
        ("learning_rate", "nothing to try"),
        ("=1,2", "cannot try ''"),
        ("learning_rate=0,1e-4", "'learning_rate' cannot be '0'"),
        ("learning_rate=nan,1e-4", "learning_rate"),
        ("lora_rank=8", "2 to 50"),
        ("lora_rank=8,8,", "2 to 50"),
        ("lora_rank=8.5,9", "lora_rank"),
        ("lora_rank=8..x", "lora_rank"),
        ("lora_rank=16..8", "greater"),
        ("lora_rank=8..8", "greater"),
        ("learning_rate=1e-4..inf", "learning_rate"),
        ("method=lora..dora", "no numbers"),
        ("method=lora,pickle", "method"),
        ("seed=" + ",".join(map(str, range(51))), "2 to 50"),
    ],
)
def test_what_cannot_be_tried_gets_one_sentence(assignment: str, said: str) -> None:
    with pytest.raises(BadSpec) as error:
        parse_over([assignment])
    assert said in str(error.value) and str(error.value).endswith((".", "'"))
    assert "\n" not in str(error.value)


def test_a_field_twice_or_none_at_all_is_refused() -> None:
    with pytest.raises(BadSpec, match="twice"):
        parse_over(["lora_rank=8,16", "lora_rank=4,8"])
    with pytest.raises(BadSpec, match="at least one field"):
        parse_over([])


def test_only_fields_of_a_run_are_swept() -> None:
    assert set(SWEPT_FIELDS) <= TRAIN_FIELDS


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"over": {}}, "over"),
        ({"over": {"base_model": {"choices": ["a", "b"]}}}, "base_model"),
        ({"over": {"lora_rank": {"choices": [8, 10**9]}}}, "lora_rank"),
        ({"over": {"lora_rank": {"low": 1.5, "high": 9}}}, "range of lora_rank"),
        ({"over": {"warmup_ratio": {"low": 0.0, "high": 0.5, "log": True}}}, "range of warmup_ratio"),
        ({"trials": 0}, "trials"),
        ({"trials": 10**6}, "trials"),
        ({"metric": "accuracy"}, "metric"),
        ({"hello": 1}, "hello"),
        ({"base": {**BASE, "evaluations": 0}}, "evaluations"),
    ],
)
def test_a_spec_that_was_made_by_hand_is_checked_as_well(fields: dict[str, object], said: str) -> None:
    whole = {"base": BASE, "over": {"lora_rank": {"choices": [8, 16]}}, **fields}
    with pytest.raises(BadSpec, match=said):
        parse_sweep_spec(whole)


def test_a_spec_and_a_report_come_back_as_they_were(tmp_path: Path) -> None:
    spec = parse_sweep_spec({"base": TrainSpec(**BASE), "over": parse_over(["lora_rank=8,16", "epochs=1..3"])})
    (tmp_path / SPEC_FILE).write_text(spec.model_dump_json())
    assert read_sweep_spec(tmp_path) == spec
    report = SweepReport(trials=(Trial(number=0, values={"lora_rank": 8}, state="done", loss=1.5),), best=0)
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report and report.best_trial is report.trials[0]


def test_a_damaged_report_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / REPORT_FILE).write_text('{"trials": [{"number"')
    assert read_report(tmp_path) == SweepReport()


def test_a_trial_of_a_method_or_rank_takes_what_goes_with_it() -> None:
    base = TrainSpec(**BASE)
    bases = {"full": base.model_copy(update={"method": "full", "learning_rate": 2e-5})}
    over = parse_over(["method=lora,full", "lora_rank=8,16"])
    sweep = parse_sweep_spec({"base": base, "bases": bases, "alpha_by_rank": 2.0, "over": over})
    assert trial_spec(sweep, {"method": "full", "lora_rank": 8}).learning_rate == 2e-5
    lora = trial_spec(sweep, {"method": "lora", "lora_rank": 8})
    assert (lora.method, lora.learning_rate, lora.lora_alpha) == ("lora", base.learning_rate, 16.0)
    assert trial_spec(sweep, {"lora_rank": 8, "lora_alpha": 5.0}).lora_alpha == 5.0
