"""What can be said of a base model without loading it: usable or not, in one sentence, and how large."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.errors import BadModel
from studio.jobs.models import STARTER_SHAPE, check_base_model, model_shape
from tests.jobs.conftest import make_model_folder, write_header


@pytest.mark.parametrize("name", ["", "  ", "starter", "Starter", " STARTER "])
def test_nothing_and_starter_mean_the_starter(name: str) -> None:
    assert check_base_model(name) == "starter"


@pytest.mark.parametrize("name", ["gpt2", "HuggingFaceTB/SmolLM2-135M-Instruct", "a/b.c_d-e"])
def test_a_hub_id_is_kept_as_it_is(name: str) -> None:
    assert check_base_model(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    [
        "../etc",
        "/no/such/folder",
        "~/no-such-folder",
        "a/b/c",
        "a/../b",
        "-rf",
        "a b",
        "a\\b",
        "a\0b",
        "x" * 200,
        "org/<script>",
        "https://example.org/model",
        "a/" + "b" * 5000,
        "~nobody-of-that-name/model",
    ],
)
def test_what_is_neither_folder_nor_hub_id_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(BadModel) as refused:
        check_base_model(name)
    assert "\n" not in str(refused.value)


def test_a_folder_becomes_absolute(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    assert check_base_model(f"./{model.name}") == check_base_model(model.name) == str(model)
    assert check_base_model(f"{model}/../{model.name}/") == str(model)


def test_a_folder_without_a_config_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"no config\.json"):
        check_base_model(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\udcff", "[" * 100_000])
def test_a_damaged_config_is_told(model: Path, content: str) -> None:
    (model / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadModel, match=r"config\.json"):
        check_base_model(str(model))


def test_a_folder_without_weights_says_what_to_put_there(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(BadModel, match=r"no weights: put its \*\.safetensors"):
        check_base_model(str(model))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickled_weights_are_refused_for_what_they_are(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)
    with pytest.raises(BadModel, match="only pickled weights"):
        check_base_model(str(model))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\xff" * 64,
        b"\x02" + b"\0" * 7 + b"{}"[:1],
        b"\x05" + b"\0" * 7 + b'["a"]',
        b"\x01" + b"\0" * 7 + b"1",
    ],
)
def test_damaged_weights_are_told(model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(BadModel, match=r"model\.safetensors is damaged"):
        check_base_model(str(model))


def test_weights_cut_short_are_told(model: Path) -> None:
    write_header(model / "model.safetensors", {"a": [100, 50]}, missing_bytes=1)
    with pytest.raises(BadModel, match="file cut short"):
        check_base_model(str(model))


def test_the_shape_is_read_from_config_and_headers(model: Path, tmp_path: Path) -> None:
    write_header(model / "model-2.safetensors", {"c": [3, 4, 5], "scalar": []})
    shape = model_shape(tmp_path, str(model))
    assert shape is not None
    assert (shape.parameters, shape.layers, shape.hidden, shape.intermediate) == (10_061, 2, 64, 128)


def test_names_of_other_families_are_known(tmp_path: Path) -> None:
    folder = make_model_folder(tmp_path / "gpt")
    (folder / "config.json").write_text(json.dumps({"n_embd": 32, "n_layer": 3, "vocab_size": 50}))
    gpt = model_shape(tmp_path, str(folder))
    assert gpt is not None and (gpt.layers, gpt.hidden, gpt.intermediate, gpt.vocabulary) == (3, 32, 128, 50)
    (folder / "config.json").write_text(json.dumps({"text_config": {"hidden_size": 8, "num_hidden_layers": 1}}))
    nested = model_shape(tmp_path, str(folder))
    assert nested is not None and (nested.hidden, nested.layers) == (8, 1)


def test_the_starter_is_known_before_it_is_there_and_a_hub_model_is_not(tmp_path: Path) -> None:
    assert model_shape(tmp_path, "starter") == STARTER_SHAPE
    assert model_shape(tmp_path, "org/name") is None


@pytest.mark.parametrize("value", ["many", [1], {"a": 1}, -1, 1.5])
def test_a_config_with_nonsense_in_it_is_told(model: Path, tmp_path: Path, value: object) -> None:
    (model / "config.json").write_text(json.dumps({"hidden_size": value, "num_hidden_layers": 2}))
    with pytest.raises(BadModel, match=r"config\.json has no usable hidden_size"):
        model_shape(tmp_path, str(model))
