"""GPUs through a stand-in of NVML: figures in our units, what is missing, and which of them a process sees."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from studio.jobs import devices
from studio.jobs.devices import History, list_devices
from studio.jobs.nvml import Gpu, read_gpus, seen

GB = 2**30


class NVMLError(Exception):
    """What NVML raises."""


def missing(*about: object) -> None:
    """A figure that this GPU does not tell."""
    raise NVMLError


def stand_in(**changed: object) -> SimpleNamespace:
    """A module like pynvml with one GPU."""
    usual = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 * GB, free=50 * GB),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=37),
        "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
        "nvmlDeviceGetPowerUsage": lambda handle: 312_500,
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 7_200_000,
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=7, usedGpuMemory=None)],
        "nvmlDeviceGetUUID": lambda handle: b"GPU-abc",
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100",
    }
    return SimpleNamespace(**(usual | changed))


def test_figures_come_in_our_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", stand_in())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_torch_is_cpu_only", lambda: False)
    gpu = list_devices()[0]
    assert (gpu.key, gpu.name, gpu.uuid, gpu.memory_bytes, gpu.free_bytes) == (
        "cuda:0", "NVIDIA H100", "GPU-abc", 80 * GB, 50 * GB,
    )  # fmt: skip
    assert (gpu.utilisation, gpu.temperature, gpu.watts, gpu.joules) == (0.37, 61.0, 312.5, 7200.0)
    assert [(one.pid, one.memory_bytes) for one in gpu.processes] == [(7, None)]


def test_what_a_gpu_does_not_tell_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("MemoryInfo", "UtilizationRates", "Temperature", "PowerUsage", "TotalEnergyConsumption")
    monkeypatch.setitem(sys.modules, "pynvml", stand_in(**{f"nvmlDeviceGet{name}": missing for name in names}))
    (gpu,) = read_gpus("0") or []
    assert (gpu.memory_bytes, gpu.utilisation, gpu.temperature, gpu.watts, gpu.joules) == (None,) * 5


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount"])
def test_no_driver_means_that_nvml_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", stand_in(**{broken: missing}))
    assert read_gpus() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_gpus() is None


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, [0, 1]), ("1", [1]), ("1,0", [1, 0]), ("GPU-b", [1]), ("", []), ("-1", []), ("0,9,1", [0]), ("GPU-", [])],
)
def test_only_gpus_that_a_process_sees_are_counted(visible: str | None, found: list[int]) -> None:
    both = [Gpu(n, f"GPU-{name}", "", 1, 1, None, None, None, None, ()) for n, name in enumerate("ab")]
    assert [gpu.index for gpu in seen(both, visible)] == found


def test_the_last_minutes_are_kept_and_no_more() -> None:
    history = History(kept=3, read=lambda: [devices.Device("cpu", "x", 4 * GB, GB)])
    for _ in range(5):
        history.sample()
    assert [sample.memory for sample in history.of("cpu")] == [0.75] * 3 and history.of("cuda:0") == []
