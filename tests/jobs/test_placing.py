"""Which job starts where: slots, memory beside what is planned, the order, and a large one not passed over for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from storage.queued import Job
from studio.contract.spec import parse_train_spec
from studio.jobs.devices import Device
from studio.jobs.placing import OVERTAKES, AtWork, Placed, Wanted, asked_device, place, wanted

GB = 2**30
NOW = datetime(2026, 11, 22, tzinfo=UTC)
JOB = Job("a", "run", "p", "me", "waiting", 0, 1, "auto", "", GB, 0, 0, 0, "", NOW, NOW)
GPU = Device("cuda", "H100", 80 * GB, 80 * GB)
CPU = Device("cpu", "CPU", 16 * GB, 8 * GB)
SLOTS = {"cuda": 4, "cpu": 1}


def job(name: str, gigabytes: float, **other: object) -> Job:
    """A waiting job."""
    return replace(JOB, job_id=name, memory_bytes=int(gigabytes * GB), **other)  # type: ignore[arg-type]


def placed(jobs: list[Job], devices: list[Device], at_work: list[AtWork] | None = None, **more: object) -> Placed:
    """What becomes of jobs, called by their ids."""
    return place(jobs, devices, at_work or [], SLOTS, lambda one: one.job_id, **more)  # type: ignore[arg-type]


def test_small_ones_share_a_gpu_as_far_as_they_fit() -> None:
    found = placed([job("a", 30), job("b", 30), job("c", 30)], [GPU, CPU])
    assert list(found.starts) == ["a", "b"] and found.reasons == {"c": "waits for 30.0 GB; 18.0 GB free on cuda:0"}


def test_what_a_run_has_taken_already_is_not_counted_twice() -> None:
    gpu = replace(GPU, free_bytes=50 * GB)
    at_work = [AtWork("Run 1", "cuda:0", 30 * GB, reached=30 * GB)]
    assert "b" in placed([job("b", 40)], [gpu, CPU], at_work).starts
    assert "b" not in placed([job("b", 40)], [gpu, CPU], [replace(at_work[0], reached=0)]).starts


def test_slots_are_kept_and_named() -> None:
    found = placed([job("a", 1), job("b", 1)], [CPU])
    assert list(found.starts) == ["a"] and found.reasons == {"b": "waits for a on cpu"}


def test_one_whose_memory_is_not_known_is_alone() -> None:
    found = placed([job("a", 0), job("b", 1)], [GPU, CPU])
    assert list(found.starts) == ["a"] and "not all memory there can be planned" in found.reasons["b"]


def test_a_free_machine_starts_at_once_whatever_the_plan_says_of_its_memory() -> None:
    assert "a" in placed([job("a", 12)], [CPU]).starts
    assert "a" in placed([job("a", 100)], [GPU, CPU]).starts  # fits no device: its plan has said so
    busy = replace(GPU, free_bytes=2 * GB)  # held by other programs: a GPU gives nothing back
    assert placed([job("a", 12)], [busy, CPU]).reasons == {"a": "waits for 12.0 GB; 1.8 GB free on cuda:0"}


def test_a_small_one_overtakes_a_large_one_only_so_often() -> None:
    at_work = [AtWork("Run 1", "cuda:0", 60 * GB, 0)]
    found = placed([job("large", 40), job("small", 2)], [GPU, CPU], at_work)
    assert list(found.starts) == ["small"] and found.overtaken == ("large",)
    tired = [job("large", 40, overtaken=OVERTAKES), job("small", 2)]
    found = placed(tired, [GPU, CPU], at_work)
    assert not found.starts and "waits behind large" in found.reasons["small"]


def test_the_emptiest_gpu_is_taken_and_idle_ones_are_filled() -> None:
    gpus = [GPU, replace(GPU, index=1)]
    found = placed([job("a", 30), job("b", 30), job("c", 60)], [*gpus, CPU])
    assert [device.key for device in found.starts.values()] == ["cuda:0", "cuda:1"] and "c" in found.reasons


def test_a_kind_that_is_not_here_is_the_processs_own_to_say_and_a_refusal_stands() -> None:
    assert "a" in placed([job("a", 1, device="cuda")], [CPU]).starts
    assert placed([job("a", 1)], [CPU], refused={"a": "no hours"}).reasons == {"a": "no hours"}


def test_one_that_shares_its_steps_takes_as_many_gpus_at_once() -> None:
    gpus = [replace(GPU, index=number) for number in range(3)]
    at_work = [AtWork("Run 1", "cuda:0", 70 * GB, 0)]
    found = placed([job("a", 30, device="auto*2"), job("b", 30, device="cuda*2")], [*gpus, CPU], at_work)
    taken = found.starts["a"]
    assert [taken.key, *(one.key for one in taken.beside)] == ["cuda:1", "cuda:2"]
    assert list(found.starts) == ["a", "b"]  # beside it there is room on the same two
    found = placed([job("a", 60, device="auto*2"), job("b", 30, device="cuda*2")], [*gpus, CPU], at_work)
    assert list(found.starts) == ["a"] and "free on cuda:" in found.reasons["b"]


def test_gpus_that_are_named_are_the_ones_that_are_taken() -> None:
    gpus = [replace(GPU, index=number) for number in range(3)]
    found = placed([job("a", 30, device="cuda:0,2"), job("b", 1, device="cuda:7")], [*gpus, CPU])
    taken = found.starts["a"]
    assert sorted([taken.key, *(one.key for one in taken.beside)]) == ["cuda:0", "cuda:2"]
    assert found.reasons["b"] == "waits for cuda:7: there are 0 such GPUs"
    assert placed([job("a", 30, device="cuda*4")], [*gpus, CPU]).reasons["a"].endswith("there are 3 such GPUs")


def test_processes_of_a_cpu_share_that_one_device() -> None:
    found = placed([job("a", 1, device="cpu*2")], [GPU, CPU])
    assert found.starts["a"].key == "cpu" and found.starts["a"].beside == ()


def test_what_a_run_asks_for_can_be_read_again() -> None:
    for fields, asked, wants in (
        ({}, "auto", Wanted("auto")),
        ({"device": "cpu", "processes": 2}, "cpu*2", Wanted("cpu", 2)),
        ({"devices": "1"}, "cuda:1", Wanted("cuda", 1, (1,))),
        ({"devices": "0,3"}, "cuda:0,3", Wanted("cuda", 2, (0, 3))),
    ):
        told = asked_device(parse_train_spec({"snapshot": "/s", "models": "/m"} | fields))
        assert (told, wanted(told)) == (asked, wants)


def test_what_memory_lacks_is_told_by_device_also_of_one_that_starts() -> None:
    gpus = [replace(GPU, free_bytes=10 * GB), replace(GPU, free_bytes=20 * GB, index=1)]
    found = placed([job("a", 40)], [*gpus, CPU])
    assert list(found.missing["a"]) == ["cuda:1", "cuda:0"]  # where less lacks comes first
    assert found.missing["a"]["cuda:1"] == 40 * GB - int(0.9 * 20 * GB)
    assert placed([job("a", 1)], [*gpus, CPU]).missing == {}
    alone = placed([job("a", 12)], [CPU])
    assert "a" in alone.starts and alone.missing == {"a": {"cpu": 12 * GB - int(0.9 * 8 * GB)}}
    taken = [AtWork("Run 1", "cpu", GB)]
    assert placed([job("a", 12)], [CPU], taken).missing == {}, "it waits for the slot, which no server has"
