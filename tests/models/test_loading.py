"""Finding and loading base models: what loads, and the one sentence for what does not."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch

from studio.errors import BadModel, BadSpec
from studio.models import hub
from studio.models.answers import greedy_answers, stop_ids
from studio.models.devices import pick_device, pick_dtype
from studio.models.hashes import file_hash
from studio.models.loading import load_base, resolve
from tests import tiny


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory):
    return tiny.make_model(tmp_path_factory.mktemp("base") / "m")


@pytest.fixture
def base(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "base")


def refusal(tmp_path, name) -> str:
    with pytest.raises(BadModel) as caught:
        load_base(tmp_path / "models", str(name), "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_local_folder_loads_frozen_with_pad_token_and_hash(base, tmp_path):
    loaded = load_base(tmp_path / "models", str(base))
    assert loaded.weights_hash == file_hash([base / "model.safetensors"]) and len(loaded.weights_hash) == 64
    assert loaded.tokenizer.pad_token_id is not None and not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_nothing_is_written_into_the_user_s_folder(base, tmp_path):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in base.iterdir())
    load_base(tmp_path / "models", str(base))
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in base.iterdir())
    assert (tmp_path / "models" / "hashes.json").is_file()


def test_a_remembered_hash_is_dropped_when_the_file_changes(base, tmp_path):
    weights = base / "model.safetensors"
    first = file_hash([weights], tmp_path)
    weights.write_bytes(weights.read_bytes() + b" ")
    assert file_hash([weights], tmp_path) != first == file_hash([tiny_copy(weights)], tmp_path)


def tiny_copy(path):
    copy = path.with_name("copy.safetensors")
    copy.write_bytes(path.read_bytes()[:-1])
    return copy


def test_a_tokenizer_without_template_gets_the_plain_one(tmp_path):
    folder = tiny.make_model(tmp_path / "m", "gpt2", template=None)
    assert "Assistant: " in load_base(tmp_path / "models", str(folder)).tokenizer.chat_template


def test_weights_as_pickle_are_refused(base, tmp_path):
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    assert "only safetensors weights are loaded" in refusal(tmp_path, base)


def test_a_folder_without_weights_is_refused(base, tmp_path):
    (base / "model.safetensors").unlink()
    assert "no *.safetensors file" in refusal(tmp_path, base)


def test_a_missing_or_damaged_config_is_one_sentence(base, tmp_path):
    (base / "config.json").write_text('{"model_type": ')
    assert "damaged config.json" in refusal(tmp_path, base)
    (base / "config.json").unlink()
    assert "has no config.json" in refusal(tmp_path, base)


@pytest.mark.parametrize("change", [{"model_type": "no-such-model"}, {"hidden_size": 48}, {"num_hidden_layers": 3}])
def test_a_config_that_does_not_fit_the_weights_is_refused(base, tmp_path, change):
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | change))
    assert str(base) in refusal(tmp_path, base)


@pytest.mark.parametrize("keep", [0, 7, 2000])
def test_half_a_weight_file_is_refused(base, tmp_path, keep):
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert "cannot be loaded" in refusal(tmp_path, base)


def test_a_missing_shard_and_a_shard_elsewhere_are_refused(base, tmp_path):
    index = base / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001.safetensors"}}))
    assert "model-00001.safetensors is missing" in refusal(tmp_path, base)
    index.write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    assert "damaged" in refusal(tmp_path, base)


def test_a_damaged_tokenizer_is_one_sentence(base, tmp_path):
    (base / "tokenizer.json").write_text("{}")
    assert "tokenizer" in refusal(tmp_path, base)


def test_an_adapter_is_not_taken_for_a_base(base, tmp_path):
    (base / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    assert "is an adapter" in refusal(tmp_path, base)


def test_code_beside_the_weights_is_never_run(base, tmp_path):
    config = json.loads((base / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (base / "config.json").write_text(json.dumps(config))
    (base / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refusal(tmp_path, base)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    ["/no/such/folder", "../up", "a/b/c", "-rf", "own er/name", "x\0y", "a/b-", "a/b.", "a-/b", "a/b.git", "a/\u00e9"],
)
def test_what_is_neither_folder_nor_hub_id_is_refused(tmp_path, name):
    assert "Hub id" in refusal(tmp_path, name)


@pytest.mark.timeout(40)  # transformers' own retries take 50 s
def test_a_hub_out_of_reach_is_said_in_seconds(tmp_path, monkeypatch):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        message = refusal(tmp_path, "someone/some-model")
    assert "cannot be reached" in message and "starter" in message


def test_offline_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "reachable", lambda *_: pytest.fail("asked the hub"))
    assert "cannot be reached" in refusal(tmp_path, "someone/some-model")


def put_in_cache(base, cache, left_out=()) -> Path:
    """The model as the hub's client leaves it: the commit's folder, and the list of all files of the repository."""
    repo, commit = cache / "models--someone--some-model", "c" * 40
    snapshot = shutil.copytree(base, repo / "snapshots" / commit, ignore=lambda *_: left_out)
    listed = [".gitattributes", "README.md", "original/params.json", *(path.name for path in base.iterdir())]
    files = {name: {"size": 1, "blob_id": "b" * 40} for name in listed}
    for path, text in (
        ("refs/main", commit),
        (f"trees/{commit}.json", json.dumps({"format_version": 1, "files": files})),
    ):
        (repo / path).parent.mkdir(parents=True)
        (repo / path).write_text(text)
    return snapshot


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_downloaded_model_is_found_in_the_cache_without_the_hub(base, tmp_path, hub_cache, monkeypatch):
    snapshot = put_in_cache(base, hub_cache)
    monkeypatch.setattr(hub, "download", lambda name: pytest.fail("went to the hub"))
    assert resolve(tmp_path, "someone/some-model") == snapshot


def test_half_a_download_in_the_cache_is_fetched_on(base, tmp_path, hub_cache, monkeypatch):
    put_in_cache(base, hub_cache, left_out=["tokenizer.json"])
    monkeypatch.setattr(hub, "download", lambda name: base)
    assert resolve(tmp_path, "someone/some-model") == base


class Timeout(Exception):
    """Like the HTTP client's own: neither OSError nor RuntimeError."""


@pytest.mark.parametrize("error", [Timeout("read"), RuntimeError("protocol"), OSError("reset")])
def test_a_download_that_breaks_off_is_one_sentence(tmp_path, hub_cache, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(hub, "cached", lambda name: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert f"broke off ({type(error).__name__}): try again" in refusal(tmp_path, "someone/some-model")


def test_devices_and_formats(monkeypatch):
    assert pick_dtype("auto", torch.device("cpu")) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadSpec, match="no cuda device"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert pick_device("auto").type == "cuda" and pick_dtype("auto", torch.device("cuda")) is torch.bfloat16


def test_answers_do_not_depend_on_who_shares_the_batch(base, tmp_path):
    from studio.contract.chat import Message

    loaded = load_base(tmp_path / "models", str(base))
    prompts = [[Message("user", text)] for text in ("Hi", "Where is my order? " * 4, "Monday")]
    together = greedy_answers(loaded.model, loaded.tokenizer, prompts, 8)
    assert together == [greedy_answers(loaded.model, loaded.tokenizer, [one], 8)[0] for one in prompts]


def test_answers_end_at_the_template_s_own_token():
    tokenizer = tiny.make_tokenizer(tiny.LLAMA3)
    tokenizer.eos_token = "<|end|>"
    model = type("Model", (), {"generation_config": type("Config", (), {"eos_token_id": [0]})()})()
    assert tokenizer.convert_tokens_to_ids("<|eot|>") in stop_ids(model, tokenizer)


def test_answers_end_where_the_context_window_does(tmp_path):
    from studio.contract.chat import Message, prompt_ids

    loaded = load_base(tmp_path / "models", str(tiny.make_model(tmp_path / "m", "gpt2", positions=64)), "cpu")
    prompts = [[Message("user", "o" * count)] for count in (3, 20, 33, 40, 100)]
    room = [64 - len(prompt_ids(loaded.tokenizer, prompt)) for prompt in prompts]
    assert room[0] > room[2] > 0 > room[4]
    together = greedy_answers(loaded.model, loaded.tokenizer, prompts, 128)
    assert together[0] and together[4] == ""
    assert together == [greedy_answers(loaded.model, loaded.tokenizer, [one], 128)[0] for one in prompts]
