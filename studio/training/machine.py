"""What a run says of the machine that it works on, and which GPU of a launcher's is its own."""

from __future__ import annotations

import os
from importlib.metadata import version

import torch

from studio.models.devices import device_name
from studio.training.together import world_size


def machine_of(device: torch.device) -> dict[str, object]:
    """What a run says of its process, device and libraries when it begins."""
    packages = ("torch", "transformers", "peft")
    return {
        "pid": os.getpid(),
        "device": device.type,
        "device_name": device_name(device),
        "processes": world_size(),
        "versions": {name: version(name) for name in packages},
    }


def own_device(wanted: str) -> str:
    """Under a launcher each process takes the GPU that the launcher gave it."""
    own = int(os.environ.get("LOCAL_RANK", "0"))
    if world_size() > 1 and own < torch.cuda.device_count() and wanted != "cpu":
        torch.cuda.set_device(own)
    return wanted
