"""The faster product for few rows computes what the usual one computes, whoever shares the batch."""

from __future__ import annotations

import pytest
import torch

from studio.inference import skinny


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 1), (1, 4), (4,), (5, 1), (2, 7), (0, 3)])
def test_it_equals_the_usual_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(96, 40, bias=bias)
    x = torch.randn(*shape, 96)
    assert torch.allclose(skinny.few_rows_linear(layer, x), layer(x), atol=1e-5)


def test_a_row_is_the_same_bits_alone_and_in_company() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(576, 1536)
    x = torch.randn(4, 1, 576)
    together = skinny.few_rows_linear(layer, x)
    for row in range(4):
        assert torch.equal(skinny.few_rows_linear(layer, x[row : row + 1])[0], together[row])


def test_only_float32_layers_of_the_cpu_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skinny, "_worth_it", lambda weight: True)
    large = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.Linear(512, 8))
    assert skinny.speed_up(large) and all("forward" in vars(layer) for layer in large)
    small, half = torch.nn.Linear(8, 8), torch.nn.Linear(512, 512).bfloat16()
    assert not skinny.speed_up(torch.nn.Sequential(small, half))
    assert "forward" not in vars(small) and "forward" not in vars(half)


def test_it_stays_out_where_it_is_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skinny, "_worth_it", lambda weight: False)
    layer = torch.nn.Linear(512, 512)
    assert not skinny.speed_up(layer) and "forward" not in vars(layer)
