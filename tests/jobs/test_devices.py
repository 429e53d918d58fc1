"""Devices are found without torch: nvidia-smi is asked where it is, and its answers are never trusted to be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.jobs import devices

Tool = Callable[[str], None]


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Put a script of that name in front of the PATH, on a machine whose torch knows CUDA."""
    monkeypatch.setattr(devices, "_torch_is_cpu_only", lambda: False)

    def write(script: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


def test_gpus_come_first_with_their_memory(nvidia_smi: Tool) -> None:
    nvidia_smi("echo 'NVIDIA H100, 80GB HBM3, 81559, 80000'; echo 'NVIDIA T4, 15360, 15000'")
    found = devices.list_devices()
    assert [device.kind for device in found][:2] == ["cuda", "cuda"] and found[-1].kind == "cpu"
    assert (found[0].name, found[0].memory_bytes) == ("NVIDIA H100, 80GB HBM3", 81559 * 2**20)
    assert found[0].label == "CUDA · NVIDIA H100, 80GB HBM3 · 78 of 80 GB free"


def test_a_gpu_that_shares_the_machines_memory_has_that(nvidia_smi: Tool) -> None:
    nvidia_smi("echo 'NVIDIA GB10, [N/A], [N/A]'")
    gpu, cpu = devices.list_devices()[0], devices.list_devices()[-1]
    assert (gpu.kind, gpu.name) == ("cuda", "NVIDIA GB10")
    assert gpu.memory_bytes == cpu.memory_bytes


@pytest.mark.parametrize(
    "script", ["exit 9", "echo 'No devices were found'", "echo 'x, 1, 2'; exit 1", "", "kill -9 $$", "printf '\\n\\n'"]
)
def test_a_tool_that_fails_means_no_gpu(nvidia_smi: Tool, script: str) -> None:
    nvidia_smi(script)
    assert [device.kind for device in devices.list_devices()] == ["cpu"]


def test_a_gpu_is_no_device_for_a_torch_without_cuda(nvidia_smi: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi("echo 'NVIDIA T4, 15360, 15000'")
    monkeypatch.setattr(devices, "_torch_is_cpu_only", lambda: True)
    assert [device.kind for device in devices.list_devices()] == ["cpu"]


def test_a_mac_has_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(devices.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert [device.kind for device in devices.list_devices()] == ["mps", "cpu"]


def test_the_cpu_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (cpu,) = devices.list_devices()
    assert cpu.kind == "cpu" and cpu.name and 0 < cpu.free_bytes <= cpu.memory_bytes
