"""The plan before the click: plausible, and larger where the run is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.runs import create_run, take_up_events
from studio.errors import BadFile, BadModel, BadSpec, NotFound
from studio.jobs import plan as planning
from studio.jobs import plan_spec
from studio.jobs.devices import Device
from studio.jobs.plan import Plan, plan_run
from tests.jobs.conftest import Room

SMALL_CPU = Device("cpu", "test", 8 * 2**30, 4 * 2**30)


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU of 100 GFLOP/s, whatever runs the tests."""
    monkeypatch.setattr(planning, "_cpu_flops", lambda: 1e11)
    monkeypatch.setattr(plan_spec, "list_devices", lambda: [SMALL_CPU])


def plan(room: Room, model: str = "starter", **settings: object) -> Plan:
    """The plan for the room's snapshot."""
    return plan_run(room.db, room.workspace, room.snapshot.id, model, settings)


def test_the_plan_of_the_starter_is_plausible(room: Room) -> None:
    found = plan(room)
    assert found.train_rows == room.snapshot.train_rows == 32
    assert found.steps == 20 and found.method == "LoRA r8"
    assert found.minutes is not None and found.memory_bytes is not None
    assert 0.1 < found.minutes < 5
    assert 1e9 < found.memory_bytes < 4e9
    assert {one.name for one in found.chosen} >= {"method", "epochs", "learning_rate", "lora_rank", "max_length"}
    assert {name for name, _ in found.reasons} >= {"Steps", "Time", "Loss"}


def test_it_starts_nothing(room: Room) -> None:
    plan(room)
    assert not room.workspace.runs.exists()


@pytest.mark.parametrize(("fewer", "more"), [({"epochs": 1}, {"epochs": 2}), ({"max_steps": 3}, {"max_steps": 30})])
def test_a_longer_run_has_more_steps_and_minutes(room: Room, fewer: dict, more: dict) -> None:
    short, long = plan(room, **fewer), plan(room, **more)
    assert short.minutes is not None and long.minutes is not None
    assert (short.steps, short.tokens, short.minutes) < (long.steps, long.tokens, long.minutes)
    assert long.steps > short.steps and long.minutes > short.minutes


def test_max_steps_are_the_steps(room: Room) -> None:
    assert plan(room, max_steps=7, epochs=100).steps == 7


def test_a_larger_batch_takes_more_memory_and_fewer_steps(room: Room) -> None:
    small, large = plan(room, batch_size=1), plan(room, batch_size=16)
    assert (small.memory_bytes or 0) < (large.memory_bytes or 0)
    assert small.steps > large.steps


def test_a_higher_rank_takes_more_memory(room: Room) -> None:
    assert (plan(room, lora_rank=4).memory_bytes or 0) < (plan(room, lora_rank=256).memory_bytes or 0)


def test_of_a_model_that_is_not_here_yet_nothing_is_claimed(room: Room) -> None:
    found = plan(room, "org/some-model")
    assert (found.minutes, found.memory_bytes) == (None, None)
    assert found.steps == 20
    assert "first steps will tell" in dict(found.reasons)["Time"]


def test_a_finished_run_of_the_same_kind_is_believed_over_arithmetic(room: Room) -> None:
    run = create_run(room.db, "run-1", room.snapshot.project_id, room.snapshot.id, "starter", "{}", 1)
    measured = {"state": "done", "device": "CPU (float32)", "tokens_per_second": 1.0}
    take_up_events(room.db, run.id, [], 0, measured)
    found = plan(room)
    assert found.minutes is not None and found.tokens < 60 * found.minutes < 3 * found.tokens
    assert "reached 1 tokens/s" in dict(found.reasons)["Time"]
    assert plan(room, str(room.model)).minutes != found.minutes


def test_a_gpu_is_planned_for_without_a_guess_at_its_speed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = plan(room)
    gpu = Device("cuda", "T4", 15 * 2**30, 14 * 2**30)
    monkeypatch.setattr(plan_spec, "list_devices", lambda: [gpu, SMALL_CPU])
    found = plan(room)
    assert found.device == gpu and found.minutes is None
    assert (found.memory_bytes or 0) < (on_cpu.memory_bytes or 0)
    assert plan(room, device="cpu").device == SMALL_CPU


def test_rows_longer_than_the_limit_do_not_count_as_more(room: Room) -> None:
    assert plan(room, max_length=8).tokens < plan(room, max_length=1024).tokens


def test_a_snapshot_without_validation_rows_says_so(room: Room) -> None:
    assert plan(room).validation_rows == room.snapshot.validation_rows > 0


def test_what_cannot_be_planned_is_one_sentence(room: Room, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="epochs"):
        plan(room, epochs=-1)
    with pytest.raises(BadModel):
        plan(room, str(tmp_path / "gone"))
    with pytest.raises(NotFound):
        plan_run(room.db, room.workspace, "f" * 16, "starter")
    rows = room.workspace.snapshots / room.snapshot.id / "train.parquet"
    rows.write_bytes(b"PAR1 no more PAR1")
    with pytest.raises(BadFile, match="damaged"):
        plan(room)
    rows.unlink()
    with pytest.raises(NotFound, match="gone"):
        plan(room)


def test_going_on_from_a_run_is_planned_with_its_method_and_rank(room: Room) -> None:
    spec = json.dumps({"method": "dora", "lora_rank": 4, "lora_alpha": 8.0})
    run = create_run(room.db, "run-1", room.snapshot.project_id, room.snapshot.id, "starter", spec, 1)
    take_up_events(room.db, run.id, [], 0, {"state": "done"})
    with pytest.raises(NotFound, match="weights of run 1"):
        plan_run(room.db, room.workspace, room.snapshot.id, "starter", {}, None, run.id)
    folder = room.workspace.runs / run.id / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"")
    found = plan_run(room.db, room.workspace, room.snapshot.id, "starter", {}, None, run.id)
    assert (found.spec.method, found.spec.lora_rank, found.spec.start_from) == ("dora", 4, folder)
    assert "method" not in {one.name for one in found.chosen}
