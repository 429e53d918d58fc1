"""Out of memory: the batch in parts, the same result; and when activations are checkpointed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from studio.contract.events import Event
from studio.contract.spec import read_train_spec
from studio.errors import JobFailed
from studio.models.loading import load_base
from studio.training import memory, trainer
from studio.training.memory import Thrift, parts_of, ran_out
from tests.training.conftest import Place

SMALL = {"epochs": 1, "max_steps": 6, "samples": 0, "evaluations": 0, "keep": "last", "batch_size": 4}
Train = Callable[[Path], tuple[int, list[Event]]]


def fails_above(monkeypatch: pytest.MonkeyPatch, rows: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
    """A device whose memory holds the activations of so many rows, and whose error comes when gradients are there."""
    whole = trainer.AnswerTrainer.compute_loss

    def small(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if inputs["labels"].shape[0] > rows:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.ones_like(parameter)  # as a backward pass that broke off leaves them
            raise error("DefaultCPUAllocator: can't allocate memory")
        return whole(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(trainer.AnswerTrainer, "compute_loss", small)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_a_batch_that_does_not_fit_is_trained_in_parts_with_the_same_result(
    place: Place, train: Train, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    whole = place.run("whole", **SMALL, gradient_accumulation=2)
    parts = place.run("parts", **SMALL, gradient_accumulation=2)
    assert train(whole)[0] == 0
    fails_above(monkeypatch, 1, error)
    code, events = train(parts)
    warned = [str(event.data["message"]) for event in events if event.kind == "warning"]
    assert code == 0 and len([told for told in warned if "Memory ran out at step 1" in told]) == 2
    before, after = weights(whole), weights(parts)
    assert all(torch.allclose(before[name], after[name], atol=2e-6) for name in before)
    assert max(tensor.abs().max() for name, tensor in after.items() if "lora_B" in name) > 1e-4


def test_memory_that_runs_out_later_costs_no_step(place: Place, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, later = place.run("whole", **SMALL), place.run("later", **SMALL)
    assert train(whole)[0] == 0
    step = trainer.AnswerTrainer.training_step
    monkeypatch.setattr(
        trainer.AnswerTrainer,
        "training_step",
        lambda self, *args: (self.state.global_step == 3 and fails_above(monkeypatch, 2), step(self, *args))[1],
    )
    code, events = train(later)
    assert code == 0 and any("ran out at step 4" in str(event.data.get("message")) for event in events)
    before, after = weights(whole), weights(later)
    assert all(torch.allclose(before[name], after[name], atol=2e-6) for name in before)


def test_a_single_row_that_does_not_fit_ends_the_run_with_what_helps(
    place: Place, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_above(monkeypatch, 0)
    code, events = train(place.run("run", **SMALL))
    said = [str(event.data["message"]) for event in events if event.kind == "error"]
    assert code == 1 and "too small for a single row" in said[0] and "gradient_checkpointing=on" in said[0]


def test_parts_add_up_to_the_batch() -> None:
    ids = torch.arange(21).reshape(7, 3)
    cut = parts_of({"input_ids": ids, "labels": ids, "scale": 2}, 3)
    assert [len(part["labels"]) for part in cut] == [2, 2, 3] and {part["scale"] for part in cut} == {2}
    assert torch.equal(torch.cat([part["input_ids"] for part in cut]), ids)


def test_a_packed_batch_is_cut_between_rows() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2, 3]])
    packed = {"input_ids": torch.arange(9)[None], "labels": torch.arange(9)[None], "position_ids": positions}
    cut = parts_of(packed, 2)
    assert [part["input_ids"].tolist() for part in cut] == [[[0, 1, 2]], [[3, 4, 5, 6, 7, 8]]]


def test_only_a_lack_of_memory_is_met_so() -> None:
    assert not ran_out(RuntimeError("shapes cannot be multiplied")) and not ran_out(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="shapes"):
        Thrift(print).train(0, {"labels": torch.zeros(2, 1)}, _broken, lambda: None)


def test_processes_that_share_a_step_do_not_split_it() -> None:
    def full(part: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(JobFailed, match="each process"):
        Thrift(print, alone=False).train(0, {"labels": torch.zeros(2, 1)}, full, lambda: None)


@pytest.mark.parametrize(("setting", "room", "on"), [("on", 1e15, 1), ("off", 0, 0), ("auto", 1e15, 0), ("auto", 1, 1)])
def test_activations_are_checkpointed_when_memory_asks_for_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, setting: str, room: float, on: int
) -> None:
    spec = read_train_spec(place.run("run", gradient_checkpointing=setting))
    model = load_base(spec.models, spec.base_model, "cpu").model
    monkeypatch.setattr(memory, "room_bytes", lambda device: int(room))
    longest = {"input_ids": torch.zeros(2, 9), "labels": torch.zeros(2, 9)}
    assert memory.set_checkpointing(spec, model, longest, torch.device("cpu")) == bool(on)
    assert model.is_activation_checkpointing == bool(on)


def test_checkpointing_changes_nothing_but_memory(place: Place, train: Train) -> None:
    runs = [place.run(setting, **SMALL, gradient_checkpointing=setting) for setting in ("on", "off")]
    assert [train(run)[0] for run in runs] == [0, 0]
    with_it, without = (weights(run) for run in runs)
    assert all(torch.allclose(with_it[name], without[name], atol=1e-6) for name in without)


def _broken(part: Any) -> torch.Tensor:
    raise RuntimeError("shapes cannot be multiplied")
