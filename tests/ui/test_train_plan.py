"""What the Train tab shows of a plan, and what its controls say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.context import Studio
from studio.contract.footprint import Footprint
from studio.contract.spec import TrainSpec
from studio.jobs.defaults import Chosen
from studio.jobs.devices import Device
from studio.jobs.plan import Plan
from studio.ui.train_form import Wanted, planned, start_menu, swept
from studio.ui.train_plan import placeholder, plan_html, why_html
from studio.ui.train_settings import CHOSEN, NAMES, given
from tests.ui.conftest import EVIL, read, tags

GB = 2**30
PLAN = Plan(
    spec=TrainSpec(snapshot=Path("/s"), models=Path("/m"), learning_rate=2e-4, batch_size=4, gradient_accumulation=2),
    device=Device("cpu", EVIL, 8 * GB, 4 * GB),
    family="causal",
    train_rows=32,
    validation_rows=4,
    steps=1200,
    tokens=9000,
    minutes=3.4,
    footprint=Footprint(GB // 2, GB // 2, 0, GB // 4, GB // 2, GB // 4, 0),
    checkpointing=False,
    trainable=4_900_000,
    chosen=(Chosen("learning_rate", 2e-4, EVIL), Chosen("method", "lora", "it is small")),
    reasons=(("Time", EVIL),),
)
_INITIAL = {name: None if name in (*CHOSEN, "schedule") else TrainSpec.model_fields[name].default for name in NAMES}


def values(**changed: Any) -> list[Any]:
    """The values of the settings' controls, as they are at first but for some."""
    return list((_INITIAL | changed).values())


def test_a_plan_says_device_method_steps_time_memory_and_micro_batch() -> None:
    said = read(plan_html(PLAN))
    for part in ("CPU", "LoRA r16", "1,200", "~3 min", "~2.0 GB at the peak, 4.0 GB of 8.0 GB free", "4 × 2"):
        assert part in said


def test_each_chosen_setting_stands_with_its_value_and_reason() -> None:
    said = read(why_html(PLAN))
    for part in ("Learning rate 0.0002", "Method LoRA r16", "it is small", "Why these?", EVIL, "4.9 million numbers"):
        assert part in said
    assert "QLoRA" not in said and "DoRA" in said


def test_the_memory_bar_is_as_long_as_the_memory() -> None:
    spans = {str(tag["class"]): str(tag["style"]) for tag in tags(plan_html(PLAN), "span")}
    assert spans["others"] == "width:50.00%" and spans["weights"] == "width:6.25%"
    assert "over" not in plan_html(PLAN)
    small = replace(PLAN, device=Device("cpu", "", 8 * GB, GB))
    assert "memory over" in plan_html(small) and "choose LoRA or a smaller model" in read(plan_html(small))


def test_a_plan_says_what_it_does_not_know() -> None:
    said = read(plan_html(replace(PLAN, minutes=None, footprint=None)))
    assert "after the first steps" in said and "unknown until" in said
    assert "no validation rows" in read(plan_html(replace(PLAN, validation_rows=0)))
    assert "no validation rows" not in said


@pytest.mark.parametrize(("minutes", "said"), [(0.2, "~1 min"), (89.4, "~89 min"), (150, "~2.5 h")])
def test_minutes_are_said_as_people_do(minutes: float, said: str) -> None:
    assert said in read(plan_html(replace(PLAN, minutes=minutes)))


def test_only_what_was_changed_is_given() -> None:
    assert given(values()) == {}
    assert given(values(epochs=" 2 ", max_steps=7, schedule="linear", learning_rate="")) == {
        "epochs": "2",
        "max_steps": 7,
        "schedule": "linear",
    }
    assert {name: placeholder(PLAN, name) for name in ("learning_rate", "lora_rank", "epochs")} == {
        "learning_rate": "0.0002",
        "lora_rank": "16",
        "epochs": "3",
    }


def test_the_menus_go_into_the_settings() -> None:
    want = Wanted.of(["snap", "starter", "", "dora", "dpo", *values(seed=3)])
    assert want.settings == {"method": "dora", "objective": "dpo", "seed": 3} and want.start_from == ""
    assert swept("snap", "starter", "run-1", "", None, *values(seed=3)) == ("snap", "starter", {"seed": 3}, "run-1")
    assert Wanted.of(["snap", None, None, "", None, *values()]) == Wanted("snap", "starter", "", {})


def test_without_project_or_snapshot_there_is_a_hint(studio: Studio) -> None:
    nothing = planned(studio, None, [None, "starter", "", "", None, *values()])
    assert "No project chosen" in str(nothing[0])
    assert "No snapshot yet" in str(planned(studio, "p", [None, "starter", "", "", None, *values()])[0])
    assert start_menu(studio, None, "run-1").value == ""
