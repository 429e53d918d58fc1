"""Which devices this machine has, found without torch: the app holds no GPU memory and starts in seconds."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Device:
    """A device that can train. `kind` is cuda, mps or cpu; memory in bytes."""

    kind: str
    name: str
    memory_bytes: int
    free_bytes: int

    @property
    def label(self) -> str:
        """What a screen shows of it."""
        free, total = self.free_bytes / 2**30, self.memory_bytes / 2**30
        return f"{self.kind.upper()} · {self.name} · {free:.0f} of {total:.0f} GB free"


def list_devices() -> list[Device]:
    """Devices of this machine, the one that `auto` takes first."""
    return [*_cuda(), *_mps(), _cpu()]


def _cuda() -> list[Device]:
    tool = shutil.which("nvidia-smi")
    if tool is None or _torch_is_cpu_only():
        return []
    query = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run([tool, *query], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rsplit(",", 2) for line in answer.splitlines() if line.count(",") >= 2]
    return [_cuda_device(name.strip(), total.strip(), free.strip()) for name, total, free in rows]


def _cuda_device(name: str, total: str, free: str) -> Device:
    """Memory as nvidia-smi says it, in MiB; GPUs that share the machine's memory say [N/A]."""
    if total.isdecimal() and free.isdecimal():
        return Device("cuda", name, int(total) * 2**20, int(free) * 2**20)
    memory = psutil.virtual_memory()
    return Device("cuda", name, memory.total, memory.available)


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
