"""Which device and number format a model runs in, decided at run time and never guessed at install time."""

from __future__ import annotations

import torch

from studio.errors import BadSpec


def pick_device(wanted: str = "auto") -> torch.device:
    """The device to compute on: CUDA, else Apple's MPS, else the CPU. Raises BadSpec when `wanted` is not here."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, here in available.items() if here))
    if wanted not in available:
        raise BadSpec(f"Setting 'device' cannot be '{wanted}': choose auto, cpu, cuda or mps.")
    if not available[wanted]:
        raise BadSpec(f"This machine has no {wanted} device that torch can use; choose device=auto or device=cpu.")
    return torch.device(wanted)


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The number format of the base weights: bfloat16 on CUDA devices that have it, float32 elsewhere."""
    if wanted == "float32":
        return torch.float32
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bfloat16":
        if device.type == "cuda" and not native:
            raise BadSpec("This GPU cannot compute in bfloat16; choose dtype=auto or dtype=float32.")
        return torch.bfloat16
    if wanted == "auto":
        return torch.bfloat16 if native else torch.float32
    raise BadSpec(f"Setting 'dtype' cannot be '{wanted}': choose auto, float32 or bfloat16.")


def device_name(device: torch.device) -> str:
    """What to call the device on a screen, for example 'NVIDIA L4' or 'CPU (2 threads)'."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU ({torch.get_num_threads()} threads)"
