"""Which devices this machine has, found without torch: the app holds no GPU memory and starts in seconds.

GPUs are asked through NVML where nvidia-ml-py is installed, else by nvidia-smi. No GPU is a normal case.
"""

from __future__ import annotations

import platform
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import psutil

from studio.jobs.nvml import Gpu, Process, read_gpus
from studio.jobs.smi import read_by_smi


@dataclass(frozen=True)
class Device:
    """A device that can train. `kind` is cuda, mps or cpu; memory in bytes.

    `index`: its number among those of its kind; `utilisation`: 0 to 1; `temperature`: degrees Celsius; `watts`;
    `joules`: since its driver was loaded. None is what it does not tell. `beside`: those that a job takes with it.
    """

    kind: str
    name: str
    memory_bytes: int
    free_bytes: int
    index: int = 0
    uuid: str = ""
    utilisation: float | None = None
    temperature: float | None = None
    watts: float | None = None
    joules: float | None = None
    processes: tuple[Process, ...] = ()
    beside: tuple[Device, ...] = ()

    @property
    def label(self) -> str:
        """What a screen shows of it."""
        free, total = self.free_bytes / 2**30, self.memory_bytes / 2**30
        return f"{self.kind.upper()} · {self.name} · {free:.0f} of {total:.0f} GB free"

    @property
    def key(self) -> str:
        """What it is called in the queue: cpu, mps, cuda:0, cuda:1."""
        return f"cuda:{self.index}" if self.kind == "cuda" else self.kind


def list_devices() -> list[Device]:
    """Devices of this machine, the one that `auto` takes first."""
    return [*_cuda(), *_mps(), _cpu()]


def inventory(cpu_seconds: float | None = 0.2) -> list[Device]:
    """The same with how busy the CPU is, over `cpu_seconds` (None: since the last call), and which processes of the
    studio are on it; GPUs tell both by themselves."""
    found = list_devices()
    cpu = replace(found[-1], utilisation=psutil.cpu_percent(cpu_seconds) / 100, processes=tuple(_studio_processes()))
    return [*(replace(one, processes=tuple(map(_named, one.processes))) for one in found[:-1]), cpu]


@dataclass(frozen=True)
class Sample:
    """How a device was at a time (seconds since the epoch): shares of 1, None for what it does not tell."""

    at: float
    utilisation: float | None
    memory: float


class History:
    """How busy each device was in the last minutes; `sample` it from one thread, `of` may be asked from any."""

    def __init__(self, kept: int = 150, read: Callable[[], list[Device]] = list_devices) -> None:
        self._kept, self._read = kept, read
        self._lock = threading.Lock()
        self._samples: dict[str, deque[Sample]] = {}
        self._newest: list[Device] = []

    def sample(self) -> list[Device]:
        """Look at the devices now, and keep it."""
        busy = psutil.cpu_percent(None) / 100  # since the last look
        found = [replace(one, utilisation=busy) if one.kind == "cpu" else one for one in self._read()]
        with self._lock:
            self._newest = found
            for one in found:
                used = 1 - one.free_bytes / max(one.memory_bytes, 1)
                line = self._samples.setdefault(one.key, deque(maxlen=self._kept))
                line.append(Sample(time.time(), one.utilisation, min(1.0, max(0.0, used))))
        return found

    def newest(self) -> list[Device]:
        """The devices as they were last seen; looks now where nobody has yet."""
        with self._lock:
            known = list(self._newest)
        return known or self.sample()

    def of(self, key: str) -> list[Sample]:
        """The last minutes of a device, the oldest first."""
        with self._lock:
            return list(self._samples.get(key, ()))


def _named(process: Process) -> Process:
    with suppress(psutil.Error):
        return replace(process, name=psutil.Process(process.pid).name())
    return process


def _studio_processes() -> list[Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        words = process.info["cmdline"] or []
        if len(words) > 2 and words[1] == "-m" and words[2].startswith("studio."):
            found.append(Process(process.pid, process.info["memory_info"].rss, words[2]))
    return found


def _cuda() -> list[Device]:
    if _torch_is_cpu_only():
        return []
    told = read_gpus()
    return [_gpu(number, gpu) for number, gpu in enumerate(read_by_smi() if told is None else told)]


def _gpu(number: int, gpu: Gpu) -> Device:
    """`number`: as processes of ours count, which may see only some; GPUs that share the machine's memory have that."""
    memory = psutil.virtual_memory()
    return Device(
        kind="cuda",
        name=gpu.name,
        memory_bytes=memory.total if gpu.memory_bytes is None else gpu.memory_bytes,
        free_bytes=memory.available if gpu.free_bytes is None else gpu.free_bytes,
        index=number,
        uuid=gpu.uuid,
        utilisation=gpu.utilisation,
        temperature=gpu.temperature,
        watts=gpu.watts,
        joules=gpu.joules,
        processes=gpu.processes,
    )


def _mps() -> list[Device]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    memory = psutil.virtual_memory()
    return [Device("mps", "Apple GPU", memory.total, memory.available)]


def _cpu() -> Device:
    memory = psutil.virtual_memory()
    return Device("cpu", f"{_cpu_name()}, {psutil.cpu_count() or 1} threads", memory.total, memory.available)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _torch_is_cpu_only() -> bool:
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return True
