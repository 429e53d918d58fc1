"""Adapters are checked before they are loaded, replaced when their file changes, and bounded in number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.contract.chat import Message
from studio.contract.events import EventWriter
from studio.errors import BadInput, NotFound
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.models.hashes import adapter_hash
from tests.inference.conftest import make_adapter


@pytest.fixture
def mine(engine: Engine, runs: Path, tmp_path: Path) -> Path:
    """Runs of this test alone, put under the engine."""
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    engine.runs = engine.adapters._runs = folder
    return folder


def answer(engine: Engine, run: str) -> str:
    request = GenerationRequest((Message("user", "Hello"),), run, max_tokens=12)
    return "".join(delta.text for delta in engine.generate([request]))


def edit(runs: Path, run: str, **fields: object) -> None:
    path = runs / run / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_changed_file_is_loaded_anew(engine: Engine, mine: Path, base_folder: Path) -> None:
    old, two = answer(engine, "one"), answer(engine, "two")
    make_adapter(mine, "one", base_folder, scale=0.5, seed=2, lora_alpha=16)
    assert answer(engine, "one") == two != old
    hashes = {adapter.run: adapter.hash for adapter in engine.adapters.loaded}
    assert hashes["one"] == hashes["two"] == adapter_hash(mine / "one" / "adapter")
    assert len(engine.adapters._peft.peft_config) == 2


def test_a_touched_file_is_not_loaded_again(engine: Engine, mine: Path) -> None:
    slot = engine.adapters.get("one").slot
    (mine / "one" / "adapter" / "adapter_model.safetensors").touch()
    assert engine.adapters.get("one").slot == slot


def test_the_least_used_adapters_leave_memory(engine: Engine, mine: Path) -> None:
    engine.adapters._keep = 2
    before = answer(engine, "one")
    for run in ("two", "zero", "two"):
        answer(engine, run)
    assert [adapter.run for adapter in engine.adapters.loaded] == ["zero", "two"]
    assert answer(engine, "one") == before
    assert len(engine.adapters._peft.peft_config) == 2


def test_the_only_adapter_can_be_replaced(engine: Engine, mine: Path, base_folder: Path) -> None:
    answer(engine, "one")
    (mine / "one" / "adapter" / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(BadInput, match="damaged"):
        answer(engine, "one")
    engine.adapters.trim()
    assert answer(engine, "two") != ""


def test_pickled_weights_are_refused(engine: Engine, mine: Path) -> None:
    folder = mine / "one" / "adapter"
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(BadInput, match="pickle"):
        engine.adapters.get("one")


def test_a_folder_outside_the_runs_is_not_found(engine: Engine, mine: Path, tmp_path: Path) -> None:
    (mine / "one").rename(tmp_path / "elsewhere")
    (mine / "one").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotFound):
        engine.adapters.get("one")


@pytest.mark.parametrize(
    "fields",
    [
        {"peft_type": "POLY"},
        {"peft_type": ["LORA"]},
        {"target_modules": "(a+)+$"},
        {"target_modules": ["(a+)+$"]},
        {"modules_to_save": ["lm_head"]},
        {"layer_replication": [[0, 2]]},
        {"r": 10**9},
        {"r": "16"},
        {"bias": "all"},
    ],
)
def test_settings_that_are_no_plain_lora_are_refused(engine: Engine, mine: Path, fields: dict[str, object]) -> None:
    edit(mine, "one", **fields)
    with pytest.raises(BadInput, match="adapter settings of run 'one'"):
        engine.adapters.get("one")
    assert answer(engine, "two") != ""


@pytest.mark.parametrize("fields", [{"r": 8}, {"target_modules": ["q_proj"]}, {"target_modules": ["nowhere"]}])
def test_an_adapter_that_does_not_fit_is_refused(engine: Engine, mine: Path, fields: dict[str, object]) -> None:
    expected = answer(engine, "two")
    edit(mine, "one", **fields)
    with pytest.raises(BadInput, match="does not fit the base model"):
        engine.adapters.get("one")
    assert answer(engine, "two") == expected
    assert [adapter.run for adapter in engine.adapters.loaded] == ["two"]


def test_a_first_adapter_that_does_not_fit_leaves_the_base_alone(engine: Engine, mine: Path) -> None:
    before = answer(engine, None)
    edit(mine, "one", r=8)
    with pytest.raises(BadInput, match="does not fit"):
        engine.adapters.get("one")
    assert answer(engine, None) == before
    assert answer(engine, "two") != before


def test_an_adapter_of_another_base_is_refused(engine: Engine, mine: Path) -> None:
    (mine / "one" / "spec.json").write_text(json.dumps({"snapshot": "/s", "models": "/m", "base_model": "other"}))
    with pytest.raises(BadInput, match="trained on 'other'"):
        engine.adapters.get("one")


def write_run(mine: Path, base_model: str, base_hash: str) -> None:
    """What the trainer left of run `one`: its spec and its base's name by content."""
    (mine / "one" / "spec.json").write_text(json.dumps({"snapshot": "/s", "models": "/m", "base_model": base_model}))
    writer = EventWriter(mine / "one")
    writer.write("state", state="training", base_hash=base_hash)
    writer.close()


def test_an_adapter_of_other_weights_of_the_same_name_is_refused(engine: Engine, mine: Path) -> None:
    write_run(mine, engine.base.name, "0" * 64)
    with pytest.raises(BadInput, match="trained on other weights of"):
        engine.adapters.get("one")


def test_the_same_weights_under_another_name_or_path_are_the_same(engine: Engine, mine: Path) -> None:
    write_run(mine, "starter", engine.base.weights_hash)
    assert engine.adapters.get("one").run == "one"


def test_a_run_without_adapter_is_told_what_to_do(engine: Engine, mine: Path) -> None:
    shutil.rmtree(mine / "one" / "adapter")
    with pytest.raises(NotFound, match="has taken all its steps, or resume this one"):
        engine.adapters.get("one")


def test_a_replaced_adapter_stays_while_rows_are_written_with_it(
    base_folder: Path, tmp_path: Path, engine: Engine
) -> None:
    engine.adapters._runs = engine.runs = tmp_path
    make_adapter(tmp_path, "a", base_folder, scale=0.5, seed=1)
    first = engine.adapters.get("a").slot
    make_adapter(tmp_path, "a", base_folder, scale=0.5, seed=2)
    second = engine.adapters.get("a").slot
    engine.trim({first})
    assert first != second and {first, second} <= set(engine.adapters._peft.peft_config)
    engine.trim()
    assert set(engine.adapters._peft.peft_config) == {second}
