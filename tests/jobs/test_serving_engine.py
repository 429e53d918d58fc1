"""vLLM is chosen only where it is installed, new enough and has a GPU; what is missing is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from studio.errors import BadSpec
from studio.jobs import serving_engine
from studio.jobs.serving_engine import engine_for


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One with vLLM and a GPU."""
    monkeypatch.setattr(serving_engine, "find_spec", lambda name: name)
    monkeypatch.setattr(serving_engine.metadata, "version", lambda name: "0.12.0rc1")
    monkeypatch.setattr(serving_engine, "list_devices", lambda: [SimpleNamespace(kind=one) for one in ("cuda", "cpu")])
    return monkeypatch


def test_where_all_is_there_what_was_asked_for_stands(machine: pytest.MonkeyPatch) -> None:
    for device in ("auto", "cuda"):
        assert [engine_for(one, device) for one in ("auto", "vllm", "studio")] == ["auto", "vllm", "studio"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("find_spec", lambda name: None, "not installed.*pip install 'vllm>=0.12'"),
        ("_version", lambda: (0, 9), "older than 0.12"),
        ("list_devices", lambda: [SimpleNamespace(kind="cpu")], "needs a CUDA GPU"),
    ],
)
def test_what_is_missing_is_told_with_the_next_step(
    machine: pytest.MonkeyPatch, name: str, value: object, words: str
) -> None:
    machine.setattr(serving_engine, name, value)
    assert engine_for("auto", "auto") == "studio"
    with pytest.raises(BadSpec, match=f"{words}.*--engine studio"):
        engine_for("vllm", "auto")


def test_a_server_on_the_cpu_is_none_of_vllms(machine: pytest.MonkeyPatch) -> None:
    assert engine_for("auto", "cpu") == "studio"
    with pytest.raises(BadSpec, match="CUDA"):
        engine_for("vllm", "cpu")


def test_versions_are_read_as_numbers(machine: pytest.MonkeyPatch) -> None:
    for told, known in (("0.12.0rc1", (0, 12)), ("1.0", (1, 0)), ("0.27.2+cu130", (0, 27)), ("dev", (0,))):
        machine.setattr(serving_engine.metadata, "version", lambda name, told=told: told)
        assert serving_engine._version() == known
