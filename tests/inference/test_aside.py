"""Weights that stand packed in memory rest on the disk, and are read from there by whoever asks."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import torch

from studio.inference.aside import lay_aside


def model() -> torch.nn.Sequential:
    """Two layers that answer by another product, and one whose weight an embedding shares."""
    embedding, head = torch.nn.Embedding(16, 32), torch.nn.Linear(32, 16, bias=False)
    head.weight = embedding.weight
    made = torch.nn.Sequential(embedding, torch.nn.Linear(32, 64), torch.nn.Linear(64, 32), head)
    for layer in made[1:]:
        layer.forward = partial(torch.nn.Linear.forward, layer)
    return made


def test_the_weights_are_the_same_and_lie_in_a_file(tmp_path: Path) -> None:
    made, ids = model(), torch.tensor([3])
    before, weights = made(ids), [layer.weight for layer in made]
    assert lay_aside(made, tmp_path / "models") == 2 * 64 * 32 * 4
    assert torch.equal(made(ids), before)
    assert all(layer.weight is weight for layer, weight in zip(made, weights, strict=True))
    assert str(tmp_path) in Path("/proc/self/maps").read_text() and not list((tmp_path / "models").iterdir())


def test_layers_with_their_own_product_stay(tmp_path: Path) -> None:
    assert lay_aside(torch.nn.Sequential(torch.nn.Linear(8, 8)), tmp_path) == 0


def test_without_room_on_the_disk_all_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    made = model()
    before = [layer.weight.data_ptr() for layer in made]
    assert lay_aside(made, tmp_path) == 0
    assert [layer.weight.data_ptr() for layer in made] == before
