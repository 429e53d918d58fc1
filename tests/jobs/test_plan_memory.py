"""The memory planner: the right parts grow with the right things, and the micro-batch fits the room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.contract.footprint import Batch, footprint, trainable
from studio.contract.shapes import Shape, family_of_config, shape_of_config
from studio.contract.spec import TrainSpec
from studio.errors import BadModel, BadSpec
from studio.jobs import plan_spec
from studio.jobs.devices import Device
from studio.jobs.models import ENCODER_SHAPE, STARTER_SHAPE, family_of, folder_of, model_shape
from studio.jobs.plan_memory import fit
from studio.jobs.plan_spec import complete
from studio.jobs.plan_tokens import Lengths, characters_per_token, row_lengths
from tests import tiny
from tests.jobs.conftest import Room

GB = 10**9
BATCH = Batch(8, 256, 128, 1024)
LENGTHS = Lengths(np.full(100, 300.0), np.full(100, 100.0))


def total(shape: Shape = STARTER_SHAPE, method: Any = "lora", batch: Batch = BATCH, **more: Any) -> int:
    return footprint(shape, method, 16, batch, "cpu", **more).total


def spec(**fields: Any) -> TrainSpec:
    return TrainSpec(snapshot=Path("/s"), models=Path("/m"), **fields)


def test_full_fine_tuning_takes_four_times_the_weights() -> None:
    short = Batch(1, 16, 8, 8)
    assert total(method="full", batch=short) - total(batch=short) == pytest.approx(3 * 4 * 134.5e6, rel=0.2)


def test_a_longer_batch_takes_more_and_checkpointing_less() -> None:
    assert total() < total(batch=Batch(16, 256, 128, 2048)) < total(batch=Batch(16, 512, 128, 2048))
    assert total(checkpointing=True) < 0.7 * total()
    assert total(half=True) < total() < total(method="dora")


def test_lora_trains_what_peft_says() -> None:
    assert trainable(STARTER_SHAPE, "lora", 16) == 4_884_480
    assert trainable(STARTER_SHAPE, "prompt", 16, 20) == 20 * 576
    assert trainable(ENCODER_SHAPE, "full", 16) == 22_713_216


def test_the_micro_batch_is_the_largest_that_fits_and_keeps_the_step() -> None:
    wanted = spec(batch_size=16, packing="off")
    free = [fit(wanted, STARTER_SHAPE, Device("cpu", "", 64 * GB, int(room * GB)), LENGTHS) for room in (32, 4, 2.2, 1)]
    assert [one.fits for one in free] == [True, True, True, False]
    assert free[0].micro_batch == 16 and not free[0].checkpointing
    assert free[0].micro_batch > free[1].micro_batch > free[2].micro_batch >= 1
    assert all(16 % one.micro_batch == 0 for one in free)


def test_checkpointing_comes_before_giving_up() -> None:
    long = Lengths(np.full(10, 8000.0), np.full(10, 100.0))
    found = fit(spec(max_length=8192), STARTER_SHAPE, Device("cpu", "", 64 * GB, 6 * GB), long)
    assert found.checkpointing and found.fits
    never = fit(spec(max_length=8192, gradient_checkpointing="off"), STARTER_SHAPE, Device("cpu", "", 1, 6 * GB), long)
    assert not never.fits


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "llama"}, "causal"),
        ({"model_type": "t5"}, "seq2seq"),
        ({"model_type": "unheard-of", "is_encoder_decoder": True}, "seq2seq"),
        ({"model_type": "bert"}, "encoder"),
        ({}, "causal"),
    ],
)
def test_the_family_is_told_from_the_config(config: dict[str, object], family: str) -> None:
    assert family_of_config(config) == family


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3", "gemma2", "t5", "bart", "bert"])
def test_the_shape_of_every_architecture_is_read(tmp_path: Path, kind: str) -> None:
    folder = tiny.make_model(tmp_path / kind, kind)
    shape = model_shape(tmp_path, str(folder))
    assert shape and (shape.layers, shape.hidden, shape.intermediate) in {(2, 32, 64), (2, 32, 128)}
    assert shape.family == family_of(tmp_path, str(folder)) and shape.heads == 2
    assert shape.decoder_layers == (2 if shape.family == "seq2seq" else 0)
    assert shape.parameters > 10_000 and total(shape) > 5 * 10**8


def test_models_that_are_not_here_and_numbers_that_are_none(tmp_path: Path) -> None:
    assert family_of(tmp_path, "starter-encoder") == "encoder" and family_of(tmp_path, "starter") == "causal"
    assert family_of(tmp_path, "org/name") is None and folder_of(tmp_path, "org/name") is None
    folder = tiny.make_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))
    with pytest.raises(BadModel, match="hidden_size"):
        model_shape(tmp_path, str(folder))
    assert shape_of_config({"text_config": {"hidden_size": 8, "num_hidden_layers": 1}}, 1).hidden == 8


def test_tokens_are_counted_by_the_models_own_vocabulary(tmp_path: Path) -> None:
    text = "Where is my order? It left the warehouse on Monday. The kettle sings."
    for make in (tiny.make_tokenizer, tiny.make_bert_tokenizer):
        tokenizer = make()
        tokenizer.save_pretrained(tmp_path)
        real = len(text) / len(tokenizer(text, add_special_tokens=False)["input_ids"])
        found = characters_per_token(text, tmp_path / "tokenizer.json")
        (tmp_path / "tokenizer.json").rename(tmp_path / f"{make.__name__}.json")
        assert found == pytest.approx(real, rel=0.15)
    assert characters_per_token(text, None) == 3.8 and characters_per_token(text, tmp_path / "gone") == 3.8


def test_lengths_are_those_of_the_rows_and_their_answers(tmp_path: Path) -> None:
    snapshot = tiny.make_snapshot(tmp_path / "s", [("a" * 38, "b" * 19), ("a" * 76, "b" * 380)])
    causal = row_lengths(snapshot / "train.parquet", "causal", None)
    assert [round(n) for n in causal.tokens] == [27, 132] and [round(n) for n in causal.answers] == [6, 101]
    encoder = row_lengths(snapshot / "train.parquet", "encoder", None)
    assert [round(n) for n in encoder.tokens] == [11, 21] and not encoder.answers.any()
    assert causal.longest(2, 1000) == Batch(2, 132, 101, 107) and causal.longest(2, 1000, packed=True).tokens == 80


def test_a_method_that_is_not_offered_here_is_refused_before_anything_starts(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_spec, "list_devices", lambda: [Device("cpu", "", 8 * GB, 8 * GB)])
    with pytest.raises(BadSpec, match="needs a CUDA GPU"):
        complete(room.workspace, room.snapshot.id, "starter", {"method": "qlora"})
    with pytest.raises(BadSpec, match="not for encoder models"):
        complete(room.workspace, room.snapshot.id, "starter-encoder", {"method": "qlora"})


def test_a_small_room_splits_the_batch_that_nobody_set(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_spec, "list_devices", lambda: [Device("cpu", "", GB, int(1.45 * GB))])
    made = complete(room.workspace, room.snapshot.id, "starter", {}).spec
    assert made.rows_per_step == 8 and made.batch_size < 8
    assert complete(room.workspace, room.snapshot.id, "starter", {"batch_size": 8}).spec.batch_size == 8
