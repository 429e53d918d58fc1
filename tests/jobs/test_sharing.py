"""Runs that several devices share, as the studio sees them: asked for, planned, started, counted and resumed."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import pytest

from storage.queued import get_job
from storage.usage import open_spans
from studio.commands.spec_flags import with_share
from studio.contract.spec import read_train_spec
from studio.errors import BadInput, BadSpec
from studio.jobs import plan, plan_spec, queueing, runs
from studio.jobs.accounting import Compute, planned_cost
from studio.jobs.devices import Device, list_devices
from tests.jobs.conftest import Room, wait_until

GB = 2**30
GPUS = [Device("cuda", "H100", 80 * GB, 80 * GB, number, f"GPU-{number}", joules=float(number)) for number in range(3)]


def test_a_job_on_two_gpus_sees_both_and_counts_on_both(room: Room) -> None:
    room.start("slow")
    run = room.start("slow")
    job = get_job(room.db, run.id)
    assert job is not None
    both = replace(GPUS[0], beside=(GPUS[2],))
    assert queueing._claim(room.db, job, both, Compute(prices={"cuda": 2.0}), 0)
    spans = [span for span in open_spans(room.db) if span.job_id == run.id]
    told = {(span.device, span.price_hour, span.energy_mark) for span in spans}
    assert told == {("cuda:0", 2.0, 0.0), ("cuda:2", 2.0, 2.0)}
    assert get_job(room.db, run.id).on_device == "cuda:0,cuda:2"  # type: ignore[union-attr]
    taken = queueing._at_work(room.db, room.workspace, list_devices())
    assert [one.device for one in taken if one.name.startswith("Run 2")] == ["cuda:0", "cuda:2"]
    assert queueing._environment(both) == {"CUDA_VISIBLE_DEVICES": "GPU-0,GPU-2"}
    assert planned_cost(Compute(prices={"cuda": 2.0}), "cuda", 30.0, devices=2) == 2.0


def test_a_stopped_run_goes_on_with_another_number_of_processes(room: Room) -> None:
    run = room.start("slow", processes=2)
    assert get_job(room.db, run.id).device == "auto*2"  # type: ignore[union-attr]
    wait_until(lambda: (room.folder(run) / "events.jsonl").exists())
    with pytest.raises(BadInput, match="at work already"):
        runs.resume_run(room.db, room.workspace, run.id, share={"processes": 3})
    runs.stop_run(room.db, room.workspace, run.id)
    before = read_train_spec(room.folder(run))
    assert room.ended(run).state == "stopped"
    room.mode("quick")
    with pytest.raises(BadSpec, match="'processes' cannot be 0"):
        runs.resume_run(room.db, room.workspace, run.id, share={"processes": 0})
    runs.resume_run(room.db, room.workspace, run.id, share={"processes": 1})
    after = read_train_spec(room.folder(run))
    assert before.ranks == 2 and after == before.model_copy(update={"processes": 1})
    assert get_job(room.db, run.id).device == "auto"  # type: ignore[union-attr]
    assert room.ended(run).state == "done"


def test_gpus_that_are_not_here_are_refused_at_the_click(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSpec, match="There is no GPU 0: there is none here"):
        room.start(devices="0,1")
    monkeypatch.setattr(plan_spec, "list_devices", lambda: [*GPUS, *list_devices()])
    with pytest.raises(BadSpec, match="There is no GPU 3: there are 3, counted from 0"):
        room.start(devices="0,3")
    with pytest.raises(BadSpec, match="4 processes need a GPU each, and there are 3: set processes=3"):
        room.start(processes=4)


def test_the_plan_says_how_many_share_a_run_and_how_many_could(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(**settings: object) -> plan.Plan:
        return plan.plan_run(room.db, room.workspace, room.snapshot.id, str(room.model), {"batch_size": 8, **settings})

    alone, pair = planned(device="cpu"), planned(device="cpu", processes=2)
    assert "Devices" not in dict(alone.reasons) and pair.device_count == 1
    assert dict(pair.reasons)["Devices"].startswith("2 processes of the CPU share each step's 8 rows")
    for module in (plan, plan_spec):
        monkeypatch.setattr(module, "list_devices", lambda: [*GPUS, *list_devices()])
    assert dict(planned().reasons)["Devices"].startswith("1 of 3 GPUs; with processes=3 as many share")
    pair = planned(devices="1,2")
    assert dict(pair.reasons)["Devices"].startswith("2 GPUs share") and (pair.device.key, pair.device_count) == (
        "cuda:1",
        2,
    )
    assert pair.spec.rows_per_pass == 4


def test_the_flags_are_settings_and_may_not_contradict_them() -> None:
    assert with_share({"seed": 1}, Namespace(devices="0,1", processes=None)) == {"seed": 1, "devices": "0,1"}
    assert with_share({}, Namespace(devices=None, processes=None)) == {}
    with pytest.raises(BadInput, match="contradict each other"):
        with_share({"processes": "3"}, Namespace(devices=None, processes=2))
