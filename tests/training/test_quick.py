"""What makes a model quick changes nothing of what it learns, and says what it decided."""

from __future__ import annotations

import pytest
import torch

from studio.contract.spec import TrainSpec
from studio.training import compiling
from studio.training.compiling import choose, compile_layers, repeated_layers, seconds_eager

CPU = torch.device("cpu")


def spec(tmp_path, **fields):
    return TrainSpec(snapshot=tmp_path, models=tmp_path, **fields)


def test_compiling_is_chosen_where_the_run_is_long_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "can_compile", lambda device: True)
    even = compiling.SECONDS["cpu"] / compiling.SAVING["cpu"]
    assert not choose(spec(tmp_path), CPU, even * 0.9).on and choose(spec(tmp_path), CPU, even * 1.1).on
    assert choose(spec(tmp_path, compile="on"), CPU, 0).on and not choose(spec(tmp_path, compile="off"), CPU, 1e9).on


def test_without_a_compiler_nothing_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not choose(spec(tmp_path, compile="on"), CPU, 1e9).on


def test_more_tokens_take_longer():
    short, long = (seconds_eager(10**8, tokens, CPU, torch.float32) for tokens in (10**3, 10**6))
    assert long > 10 * short > 0


def test_compiled_layers_train_alone_and_the_first_stays(monkeypatch):
    layers = torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(3))
    made = []
    monkeypatch.setattr(torch, "compile", lambda call, **given: lambda *a: made.append(1) or call(*a))
    assert repeated_layers(torch.nn.Sequential(layers)) == list(layers) and compile_layers(layers) == 2
    x = torch.ones(1, 3)
    with torch.no_grad():
        quiet = [layer(x) for layer in layers]
    assert (
        made == [] and all(torch.equal(layer(x), y) for layer, y in zip(layers, quiet, strict=True)) and made == [1, 1]
    )


@pytest.mark.parametrize("fields", [{}, {"gradient_checkpointing": "on"}, {"lora_dropout": 0.1, "packing": "on"}])
def test_a_run_packs_and_learns_the_same(place, train, fields):
    run = place.run("quick", samples=0, **fields)
    code, events = train(run)
    apart, other = train(place.run("apart", samples=0, **{**fields, "packing": "off"}))
    began = next(event.data for event in events if "packed" in event.data)
    assert code == apart == 0 and began["packed"] is True and began["quick_layers"] == 14
    if "lora_dropout" not in fields:
        assert events[-1].data["tuned_loss"] == pytest.approx(other[-1].data["tuned_loss"], rel=1e-3)
