"""Devices are found without torch: nvidia-smi is asked where it is, and its answers are never trusted to be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.jobs import devices, queueing

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
    nvidia_smi("echo '0, GPU-a1, 81559, 80000, NVIDIA H100, 80GB HBM3'; echo '1, GPU-b2, 15360, 15000, NVIDIA T4'")
    found = devices.list_devices()
    assert [device.kind for device in found][:2] == ["cuda", "cuda"] and found[-1].kind == "cpu"
    assert (found[0].name, found[0].memory_bytes) == ("NVIDIA H100, 80GB HBM3", 81559 * 2**20)
    assert [(device.key, device.uuid) for device in found[:2]] == [("cuda:0", "GPU-a1"), ("cuda:1", "GPU-b2")]
    assert found[0].label == "CUDA · NVIDIA H100, 80GB HBM3 · 78 of 80 GB free"


def test_a_gpu_that_shares_the_machines_memory_has_that(nvidia_smi: Tool) -> None:
    nvidia_smi("echo '0, [N/A], [N/A], [N/A], NVIDIA GB10'")
    gpu, cpu = devices.list_devices()[0], devices.list_devices()[-1]
    assert (gpu.kind, gpu.name) == ("cuda", "NVIDIA GB10")
    assert gpu.memory_bytes == cpu.memory_bytes


def test_only_gpus_that_the_studio_may_use_are_shown(nvidia_smi: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi('for n in 0 1 2; do echo "$n, GPU-$n, 15360, 15000, NVIDIA T4"; done')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-0")
    found = [device for device in devices.list_devices() if device.kind == "cuda"]
    assert [(device.key, device.uuid) for device in found] == [("cuda:0", "GPU-2"), ("cuda:1", "GPU-0")]


def test_a_job_sees_the_gpu_it_was_given_alone(nvidia_smi: Tool) -> None:
    nvidia_smi('for n in 0 1; do echo "$n, GPU-$n, 15360, 15000, NVIDIA T4"; done')
    assert queueing._environment(devices.list_devices()[1]) == {"CUDA_VISIBLE_DEVICES": "GPU-1"}


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "echo 'No devices were found'",
        "echo '0, GPU-a, 1, 2, x'; exit 1",
        "",
        "kill -9 $$",
        "printf '\\n\\n'",
        "echo 'a, b, c, d, e'",
    ],
)
def test_a_tool_that_fails_means_no_gpu(nvidia_smi: Tool, script: str) -> None:
    nvidia_smi(script)
    assert [device.kind for device in devices.list_devices()] == ["cpu"]


def test_a_gpu_is_no_device_for_a_torch_without_cuda(nvidia_smi: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi("echo '0, GPU-b2, 15360, 15000, NVIDIA T4'")
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
