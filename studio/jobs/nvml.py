"""NVIDIA GPUs as NVML tells of them; a machine without the library, the driver or a GPU is a normal case.

What it leaves out: parts of a GPU (MIG), which are counted as the whole one, and anything that would change a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Process:
    """A process on a device; `memory_bytes` is None where the driver does not tell."""

    pid: int
    memory_bytes: int | None
    name: str = ""


@dataclass(frozen=True)
class Gpu:
    """A GPU: bytes, share of the last moments in which it worked (0 to 1), degrees Celsius, watts, and joules since its
    driver was loaded; None where it does not tell."""

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    free_bytes: int | None
    utilisation: float | None
    temperature: float | None
    watts: float | None
    joules: float | None
    processes: tuple[Process, ...]


def read_gpus(visible: str | None = None) -> list[Gpu] | None:
    """The GPUs there are now, those in `visible` alone (as CUDA_VISIBLE_DEVICES has them; None: that variable's value).
    None where NVML cannot be asked; [] where it knows of no GPU."""
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or one that does not fit the library
        return None
    try:
        handles = [(number, pynvml.nvmlDeviceGetHandleByIndex(number)) for number in range(pynvml.nvmlDeviceGetCount())]
        found = [_read(pynvml, number, handle) for number, handle in handles]
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return seen(found, os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible)


def seen(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """The GPUs that a process with this CUDA_VISIBLE_DEVICES sees, in its order: by number or by the beginning of the
    UUID; as in CUDA, the first entry that fits none ends the list."""
    if visible is None:
        return list(gpus)
    found: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        named = (
            [gpu for gpu in gpus if str(gpu.index) == entry]
            if entry.isdecimal()
            else [gpu for gpu in gpus if entry and gpu.uuid.startswith(entry)]
        )
        if len(named) != 1:
            break
        found.append(named[0])
    return found


def _read(nvml: Any, number: int, handle: Any) -> Gpu:
    def ask(question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except nvml.NVMLError:  # each figure is missing on some GPUs
            return None

    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    busy = ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    degrees = ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    milliwatts = ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    millijoules = ask(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    running = ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return Gpu(
        index=number,
        uuid=_text(ask(lambda: nvml.nvmlDeviceGetUUID(handle))),
        name=_text(ask(lambda: nvml.nvmlDeviceGetName(handle))) or "NVIDIA GPU",
        memory_bytes=int(memory.total) if memory else None,
        free_bytes=int(memory.free) if memory else None,
        utilisation=None if busy is None else busy / 100,
        temperature=None if degrees is None else float(degrees),
        watts=None if milliwatts is None else milliwatts / 1000,
        joules=None if millijoules is None else millijoules / 1000,
        processes=tuple(Process(int(one.pid), _bytes(one.usedGpuMemory)) for one in running),
    )


def _bytes(count: object) -> int | None:
    return int(count) if isinstance(count, int) else None


def _text(name: object) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")
