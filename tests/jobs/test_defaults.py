"""Good settings: by family, method, size and rows; the user's own always win."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio.contract.methods import METHODS
from studio.contract.spec import TrainSpec
from studio.jobs.defaults import good_defaults
from studio.jobs.models import ENCODER_SHAPE, STARTER_SHAPE
from studio.jobs.plan_tokens import Lengths


def chosen(family: str = "causal", rows: int = 500, longest: int = 100, **given: object) -> dict[str, object]:
    """The values chosen for a starter model."""
    shape = ENCODER_SHAPE if family == "encoder" else STARTER_SHAPE
    lengths = Lengths(np.linspace(5, longest, rows), np.full(rows, 5.0))
    found = good_defaults(family, shape, rows, lengths, given)  # type: ignore[arg-type]
    assert all(one.why for one in found)
    return {one.name: one.value for one in found}


def test_a_style_is_learnt_by_lora_and_labels_by_the_whole_encoder() -> None:
    assert chosen()["method"] == "lora" and chosen("encoder")["method"] == "full"
    assert "lora_rank" not in chosen("encoder") and "weight_decay" not in chosen()


def test_full_learns_slower_than_lora_and_that_slower_than_a_handful_of_numbers() -> None:
    rates = [float(str(chosen(method=method)["learning_rate"])) for method in ("full", "lora", "vera", "prompt")]
    assert rates == sorted(rates) and len(set(rates)) == 4


def test_few_rows_are_read_more_often_and_take_a_lower_rank() -> None:
    few, many = chosen(rows=50), chosen(rows=20_000)
    assert (few["epochs"], few["lora_rank"]) == (5.0, 8) and (many["epochs"], many["lora_rank"]) == (1.0, 32)
    assert int(str(many["batch_size"])) > int(str(few["batch_size"]))


def test_what_was_given_is_not_chosen_and_what_hangs_on_it_follows() -> None:
    found = chosen(lora_rank="64", epochs=1, gradient_accumulation=4)
    assert found["lora_alpha"] == 128.0
    assert not {"lora_rank", "epochs", "batch_size", "gradient_accumulation"} & set(found)


@pytest.mark.parametrize(("longest", "limit"), [(100, 1024), (3000, 3456), (100_000, 8192)])
def test_the_length_leaves_room_for_the_rows_and_ends_where_the_model_does(longest: int, limit: int) -> None:
    assert chosen(longest=longest, rows=5000)["max_length"] == pytest.approx(limit, abs=128)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("family", ["causal", "seq2seq", "encoder"])
@pytest.mark.parametrize("rows", [1, 300, 3000, 30_000, 300_000])
def test_every_choice_is_a_valid_spec(method: str, family: str, rows: int) -> None:
    found = chosen(family, min(rows, 4000), method=method)
    TrainSpec(snapshot=Path("/s"), models=Path("/m"), method=method, **found)  # type: ignore[arg-type]


def test_a_classifier_on_ten_thousand_rows_gets_what_banking77_was_learnt_with() -> None:
    found = chosen("encoder", rows=10_003)
    wanted = {"epochs": 3.0, "batch_size": 32, "learning_rate": 2e-4, "schedule": "linear", "warmup_ratio": 0.1}
    assert wanted.items() <= found.items()


def test_preferences_want_a_far_lower_rate() -> None:
    lengths = Lengths(np.full(100, 9.0), np.full(100, 3.0), True)
    found = {one.name: one.value for one in good_defaults("causal", STARTER_SHAPE, 100, lengths, {}, "dpo")}
    assert float(str(found["learning_rate"])) <= 5e-5
