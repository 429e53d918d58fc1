"""The stacked products of a mixed batch are peft's own, whatever the mixture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

from studio.inference.stacked import BASE, Mixture
from tests import tiny

ROWS = ["one", BASE, "two", "one", "three", BASE]
IDS = torch.arange(6 * 7).view(6, 7) % 50


@pytest.fixture
def tuned(tmp_path: Path) -> Any:
    """A tiny Llama with three adapters of different ranks, scalings and layers."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny.make_model(tmp_path / "base", "llama"))
    torch.manual_seed(0)
    made = get_peft_model(model, config(4, 8, ["q_proj", "v_proj"]), "one")
    made.add_adapter("two", config(8, 4, ["q_proj", "up_proj"]))
    made.add_adapter("three", config(2, 16, ["down_proj"], use_rslora=True))
    return made.eval().requires_grad_(False)


def config(rank: int, alpha: int, layers: list[str], **more: Any) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers, init_lora_weights=False, **more)


def taken_over(tuned: Any) -> tuple[Any, Mixture]:
    mixture = Mixture()
    for layer in tuned.modules():
        if isinstance(layer, LoraLayer):
            mixture.take_over(layer)
    return tuned.base_model.model, mixture


@torch.inference_mode()
def scores(model: Any, mixture: Mixture, rows: Sequence[str] | None) -> torch.Tensor:
    mixture.give(rows)
    return model(input_ids=IDS[: len(rows) if rows else 6]).logits


@pytest.mark.parametrize("rows", [ROWS, ["two"] * 6, [BASE] * 6, ["three", "one", "two", "two", "two", "two"], ["one"]])
def test_a_mixed_batch_equals_that_of_peft(tuned: Any, rows: list[str]) -> None:
    with torch.inference_mode():
        expected = tuned(input_ids=IDS[: len(rows)], adapter_names=rows).logits
    assert torch.allclose(scores(*taken_over(tuned), rows), expected, atol=1e-5)


def test_the_mixture_changes_from_pass_to_pass(tuned: Any) -> None:
    model, mixture = taken_over(tuned)
    first = scores(model, mixture, ROWS)
    turned = scores(model, mixture, ROWS[::-1])
    assert not torch.allclose(first, turned, atol=1e-3)
    assert torch.equal(first, scores(model, mixture, ROWS))
    assert torch.equal(scores(model, mixture, None), scores(model, mixture, [BASE] * 6))


def test_many_ranks_and_adapters_with_biases_are_left_to_peft(tuned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned.add_adapter("biased", config(4, 4, ["q_proj"], lora_bias=True))
    mixtures = (["biased", *ROWS[1:]], ROWS)
    with torch.inference_mode():
        expected = [tuned(input_ids=IDS, adapter_names=rows).logits for rows in mixtures]
    monkeypatch.setattr("studio.inference.stacked._MOST_RANKS", 10)
    model, mixture = taken_over(tuned)
    for rows, own in zip(mixtures, expected, strict=True):
        assert torch.allclose(scores(model, mixture, rows), own, atol=1e-5)


def test_an_adapter_that_leaves_is_forgotten(tuned: Any) -> None:
    model, mixture = taken_over(tuned)
    scores(model, mixture, ROWS)
    mixture.forget("two")
    assert not any("two" in slots for slots, _ in mixture._stacks.values())
