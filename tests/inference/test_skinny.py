"""The faster product computes what the usual one computes, whoever shares the batch, and only where it is faster."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from studio.contract.chat import Message
from studio.inference import skinny
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.inference.skinny import Packed, packed_linear, speed_up
from studio.models.loading import load_base


@pytest.fixture(autouse=True)
def worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skinny, "_worth_it", lambda layers: True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 1), (1, 4), (4,), (), (5, 1), (2, 7), (0, 3)])
def test_it_equals_the_usual_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(96, 40, bias=bias)
    x, packed = torch.randn(*shape, 96), Packed(layer.weight)
    with torch.inference_mode():
        found = packed_linear(layer, packed, x)
    assert found.shape == layer(x).shape and torch.allclose(found, layer(x), atol=1e-5)


@pytest.mark.parametrize("sizes", [(576, 1536), (1536, 576)])
def test_a_row_is_the_same_bits_alone_and_in_company(sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(*sizes)
    packed, x = Packed(layer.weight), torch.randn(40, 1, sizes[0])
    with torch.inference_mode():
        together = packed_linear(layer, packed, x)
        alone = [packed_linear(layer, packed, x[row : row + 1])[0] for row in range(40)]
    assert torch.equal(torch.stack(alone), together)


def test_only_float32_layers_of_the_cpu_change() -> None:
    large = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.Linear(512, 8))
    assert speed_up(large) and all("forward" in vars(layer) for layer in large)
    small, half = torch.nn.Linear(8, 8), torch.nn.Linear(512, 512).bfloat16()
    assert not speed_up(torch.nn.Sequential(small, half))
    assert "forward" not in vars(small) and "forward" not in vars(half)


def test_it_stays_out_where_it_is_no_faster_or_memory_is_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Linear(512, 512)
    monkeypatch.setattr(skinny, "_SPARE", 1e9)
    assert not speed_up(layer)
    monkeypatch.setattr(skinny, "_SPARE", 2.0)
    monkeypatch.setattr(skinny, "_worth_it", lambda layers: False)
    assert not speed_up(layer) and "forward" not in vars(layer)


def test_other_weights_or_changed_ones_are_not_taken_for_those_that_were_packed() -> None:
    layer = torch.nn.Linear(512, 512)
    speed_up(layer)
    x = torch.randn(3, 512)
    with torch.no_grad():
        layer.weight.mul_(2)
        assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    layer.weight = torch.nn.Parameter(torch.zeros(512, 512))
    with torch.inference_mode():
        assert torch.allclose(layer(x), layer.bias.expand(3, 512))


def test_twins_share_what_was_packed_and_gradients_go_the_usual_way() -> None:
    layer = torch.nn.Linear(512, 512)
    speed_up(layer)
    twin = copy.deepcopy(layer, {id(layer.weight): layer.weight, id(layer.bias): layer.bias})
    assert twin.forward.args[0] is twin and twin.forward.args[1] is layer.forward.args[1]
    x = torch.randn(2, 512, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and bool(x.grad.any())


def test_measuring_works_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert skinny._worth_it([torch.nn.Linear(512, 512)]) in (True, False)
    monkeypatch.setattr(Packed, "__init__", lambda self, weight: torch.ops.mkldnn.there_is_no_such)
    assert not skinny._worth_it([torch.nn.Linear(512, 512)])


def test_an_engine_with_packed_weights_gives_the_same_answers_with_and_without_adapters(
    base_folder: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        GenerationRequest((Message("user", text),), adapter=run, max_tokens=8, temperature=0.0)
        for text in ("Hi", "What is it?")
        for run in (None, "one", "two")
    ]

    def answers() -> list[str]:
        engine, texts = Engine(load_base(tmp_path, str(base_folder), "cpu", "float32"), runs), [""] * len(asked)
        assert engine.fast_rows == bool(skinny._PROBE_NUMBERS == 1)
        for delta in engine.generate(asked):
            texts[delta.row] += delta.text
        return texts

    usual, count = answers(), []
    product = Packed.product
    monkeypatch.setattr(Packed, "product", lambda self, *given: count.append(1) or product(self, *given))
    monkeypatch.setattr(skinny, "_PROBE_NUMBERS", 1)
    assert answers() == usual
    assert len(count) >= 8 * 15  # each layer of each step
