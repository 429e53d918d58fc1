"""NVIDIA GPUs as the program nvidia-smi tells of them, where the library of NVML is not installed.

What it leaves out: what changes each second (work, temperature, watts, processes), which studio.jobs.nvml tells.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from studio.jobs.nvml import Gpu, seen

_FIELDS = "index,uuid,memory.total,memory.free,name"  # a name may have commas, so it is the last
_SECONDS = 5


def read_by_smi(visible: str | None = None) -> list[Gpu]:
    """The GPUs there are now, those in `visible` alone (as CUDA_VISIBLE_DEVICES has them; None: that variable's value).
    [] where the program is missing, fails or is too slow."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = [gpu for line in answer.splitlines() if (gpu := _gpu(line))]
    return seen(found, os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible)


def _gpu(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",", _FIELDS.count(","))]
    if len(parts) <= _FIELDS.count(",") or not parts[0].isdecimal():
        return None
    index, uuid, total, free, name = parts
    return Gpu(
        index=int(index),
        uuid="" if uuid.startswith("[") else uuid,
        name=name,
        memory_bytes=_bytes(total),
        free_bytes=_bytes(free),
        utilisation=None,
        temperature=None,
        watts=None,
        joules=None,
        processes=(),
    )


def _bytes(mebibytes: str) -> int | None:
    """None for [N/A], as GPUs say that share the machine's memory."""
    return int(mebibytes) * 2**20 if mebibytes.isdecimal() else None
