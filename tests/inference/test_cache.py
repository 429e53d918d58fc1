"""The cache with room holds what transformers' own holds, for every kind of model; other kinds are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.contract.chat import Message
from studio.inference import cache
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.inference.running import decoder_of
from studio.models.loading import load_base
from tests import tiny

WORDS = [
    "Where is my order?",
    "It left the warehouse on Monday. " * 4,
    "Hi",
    "The kettle sings before the water boils.",
]


def written(engine: Engine, at_once: int, tokens: int = 48) -> list[str]:
    asked = [GenerationRequest((Message("user", words),), max_tokens=tokens - 9 * n) for n, words in enumerate(WORDS)]
    texts = [""] * len(asked)
    for delta in engine.decode([engine.prepare(one) for one in asked], at_once=at_once):
        texts[delta.row] += delta.text
    return texts


@pytest.mark.parametrize(("family", "joins"), [("gpt2", True), ("qwen3", True), ("gemma2", False), ("t5", False)])
def test_a_running_batch_writes_what_each_row_writes_alone(tmp_path: Path, family: str, joins: bool) -> None:
    base = load_base(tmp_path, str(tiny.make_model(tmp_path / family, family)), device="cpu", dtype="float32")
    engine = Engine(base, tmp_path / "runs")
    assert written(engine, 2) == written(engine, 4) == written(engine, 1)
    decoder = decoder_of(engine.through(engine.shared), [engine.prepare(GenerationRequest((Message("user", "Hi"),)))])
    decoder.step()
    assert decoder.joins == joins


def test_rows_that_have_ended_do_not_run_out_of_positions(tmp_path: Path) -> None:
    path = tiny.make_model(tmp_path / "gpt2", "gpt2", positions=96)
    engine = Engine(load_base(tmp_path, str(path), device="cpu", dtype="float32"), tmp_path / "runs")
    texts = ["The kettle sings. " * 4, *["Hi"] * 15]
    asked = [engine.prepare(GenerationRequest((Message("user", text),), max_tokens=90)) for text in texts]
    assert sum(1 for delta in engine.decode(asked) if delta.done) == 16


def test_only_plain_layers_get_room() -> None:
    assert cache.roomy(object()) is False
