"""Whole models of full fine-tuning are served beside their base, within the memory there is, and checked before."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from studio.contract.chat import Message, prompt_ids
from studio.errors import BadInput, NotFound
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.models.hashes import file_hash
from studio.models.loading import load_base
from tests.inference.conftest import make_adapter, make_tokenizer
from tests.inference.kinds import edit_json

PROMPTS = ["Hi", "What is the capital of France?"]
TOKENS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> Path:
    """Runs `full` and `fuller` of the tiny Llama, `gpt` of another architecture, and the adapter `one`."""
    runs = tmp_path_factory.mktemp("full") / "runs"
    for seed, run in enumerate(("full", "fuller")):
        save(runs, run, LlamaForCausalLM.from_pretrained(base_folder), seed)
    ids = {"bos_token_id": None, "eos_token_id": 257, "pad_token_id": 256}
    shape = {"vocab_size": 258, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.4}
    save(runs, "gpt", GPT2LMHeadModel(GPT2Config(**shape, **ids)), 5)
    make_adapter(runs, "one", base_folder, scale=0.5, seed=1)
    return runs


@pytest.fixture
def engine(base_folder: Path, made: Path, tmp_path: Path) -> Engine:
    """An engine over the tiny Llama and runs of this test alone."""
    shutil.copytree(made, tmp_path / "runs")
    return Engine(load_base(tmp_path / "models", str(base_folder), "cpu", "float32"), tmp_path / "runs")


def save(runs: Path, run: str, model: Any, seed: int) -> Path:
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(runs / run / "model")
    make_tokenizer().save_pretrained(runs / run / "model")
    return runs / run / "model"


def ask(prompt: str, run: str | None = None, tokens: int = TOKENS) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), run, max_tokens=tokens)


def answers(engine: Engine, *requests: GenerationRequest) -> list[str]:
    deltas = list(engine.generate(requests))
    return ["".join(delta.text for delta in deltas if delta.row == row) for row in range(len(requests))]


def of_transformers(engine: Engine, run: str, prompt: str) -> str:
    model: Any = AutoModelForCausalLM.from_pretrained(engine.runs / run / "model").eval()
    ids = torch.tensor([prompt_ids(engine.base.tokenizer, [Message("user", prompt)])])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS)
    return engine.base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("run", ["full", "gpt"])
def test_greedy_answers_equal_those_of_transformers(engine: Engine, run: str) -> None:
    expected = [of_transformers(engine, run, prompt) for prompt in PROMPTS]
    assert answers(engine, *(ask(prompt, run) for prompt in PROMPTS)) == expected
    assert expected != answers(engine, *map(ask, PROMPTS))


def test_whole_models_adapters_and_the_base_share_a_batch_of_requests(engine: Engine) -> None:
    requests = [ask(prompt, run) for prompt in PROMPTS for run in (None, "full", "one", "fuller", "gpt")]
    together = answers(engine, *requests)
    assert together == [answers(engine, request)[0] for request in requests]
    assert len(set(together[:5])) == 5


def test_the_end_names_the_whole_model(engine: Engine) -> None:
    ends = {delta.row: delta.done for delta in engine.generate([ask("Hi"), ask("Hi", "full")]) if delta.done}
    digest = file_hash([engine.runs / "full" / "model" / "model.safetensors"])
    assert (ends[1].adapter, ends[1].adapter_hash, ends[1].whole) == ("full", digest, True)
    assert ends[1].base_hash == ends[0].base_hash == engine.base.weights_hash and not ends[0].whole
    assert engine.available() == ["full", "fuller", "gpt", "one"]


def test_the_least_used_makes_room_and_nothing_is_dropped_from_a_batch(engine: Engine) -> None:
    engine.others._free = lambda: 0 if engine.loaded else 1 << 40
    first = answers(engine, ask("Hi", "full"))
    assert answers(engine, ask("Hi", "fuller")) != first
    assert [run for run, _ in engine.loaded] == ["fuller"]
    with pytest.raises(BadInput, match=r"no room for it now: ask it alone"):
        engine.generate([ask("Hi", "fuller"), ask("Hi", "full")])
    engine.rest()
    assert answers(engine, ask("Hi", "full")) == first


def test_one_that_nobody_asks_is_dropped(engine: Engine) -> None:
    answers(engine, ask("Hi", "full"), ask("Hi", "one"))
    engine.rest()
    assert {run for run, _ in engine.loaded} == {"one", "full"}
    engine.others._idle_seconds = -1.0
    engine.rest()
    assert {run for run, _ in engine.loaded} == {"one"}


def test_a_model_that_was_trained_again_is_loaded_anew(engine: Engine, base_folder: Path) -> None:
    before = answers(engine, ask("Hi", "full"))
    save(engine.runs, "full", LlamaForCausalLM.from_pretrained(base_folder), seed=7)
    assert answers(engine, ask("Hi", "full")) != before


def test_a_model_of_another_base_is_refused(engine: Engine) -> None:
    (engine.runs / "full" / "spec.json").write_text('{"snapshot": "/s", "models": "/m", "base_model": "other"}')
    with pytest.raises(BadInput, match="trained on 'other'"):
        engine.prepare(ask("Hi", "full"))


def test_pickled_weights_are_refused(engine: Engine) -> None:
    folder = engine.runs / "full" / "model"
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="only safetensors weights are loaded"):
        engine.prepare(ask("Hi", "full"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_link_out_of_the_run_is_refused(engine: Engine, tmp_path: Path, name: str) -> None:
    path = engine.runs / "full" / "model" / name
    path.rename(tmp_path / name)
    path.symlink_to(tmp_path / name)
    with pytest.raises(NotFound, match="outside of its own folder"):
        engine.prepare(ask("Hi", "full"))


def test_an_adapter_put_among_the_weights_is_refused(engine: Engine) -> None:
    (engine.runs / "full" / "model" / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/model"}')
    with pytest.raises(BadInput, match="is an adapter"):
        engine.prepare(ask("Hi", "full"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "evil", "auto_map": {"AutoConfig": "evil.py--C"}}, "code of its own"),
        ({"model_type": "evil"}, "is damaged"),
        ({"architectures": ["os"]}, "is damaged"),
        ({"architectures": ["../x"]}, "is damaged"),
        ({"vocab_size": 10**12}, "asks for more than its weights"),
        ({"num_hidden_layers": 10**6}, "is damaged"),
        ({"num_hidden_layers": 40}, "asks for more than its weights|has no weights for"),
        ({"hidden_size": -1}, "is damaged"),
        ({"id2label": {str(10**9): "x"}}, "is damaged"),
    ],
)
def test_settings_that_do_not_go_with_the_weights(engine: Engine, fields: dict[str, Any], said: str) -> None:
    edit_json(engine.runs / "full" / "model" / "config.json", **fields)
    with pytest.raises(BadInput, match=said) as refused:
        engine.prepare(ask("Hi", "full"))
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
    assert answers(engine, ask("Hi")) != [""]


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b'{"a": 1 }'],
)
def test_weights_that_are_none(engine: Engine, content: bytes) -> None:
    (engine.runs / "full" / "model" / "model.safetensors").write_bytes(content)
    with pytest.raises(BadInput, match="is damaged"):
        engine.prepare(ask("Hi", "full"))


def test_an_index_that_names_files_elsewhere_is_refused(engine: Engine) -> None:
    index = engine.runs / "full" / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../one/adapter/adapter_model.safetensors"}}))
    with pytest.raises(BadInput, match="damaged"):
        engine.prepare(ask("Hi", "full"))
