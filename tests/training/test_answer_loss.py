"""The loss equals the library's own, for models that fit the short way and for those that do not."""

from __future__ import annotations

import pytest
import torch

from studio.contract.spec import TrainSpec
from studio.models.loading import load_base
from studio.training import loss as losses
from studio.training.data import collate, read_split
from studio.training.loss import answer_loss, mean_loss
from studio.training.methods import attach
from tests import tiny


@pytest.fixture(params=["llama", "gpt2", "gemma2"])
def family(request):
    return request.param


@pytest.fixture
def loaded(family, tmp_path):
    base = load_base(tmp_path / "models", str(tiny.make_model(tmp_path / "m", family)), "cpu")
    tiny.make_snapshot(tmp_path / "s", tiny.pairs(7))
    rows = read_split(tmp_path / "s", "train", base.tokenizer, 256).rows
    return base, rows


def test_it_equals_the_plain_loss_of_the_library(loaded, family, monkeypatch):
    base, rows = loaded
    batch = collate(rows, base.tokenizer.pad_token_id)
    plain, whole = [], losses.plain_loss
    monkeypatch.setattr(losses, "plain_loss", lambda *given: plain.append(1) or whole(*given))
    total = answer_loss(base.model)(batch["input_ids"], batch["attention_mask"], batch["labels"])
    count = int((batch["labels"][:, 1:] != -100).sum())
    with torch.no_grad():
        expected = base.model(**batch).loss
    assert float(total) / count == pytest.approx(float(expected), rel=1e-5)
    assert bool(plain) == (family == "gemma2")


def test_a_fresh_adapter_changes_nothing(loaded, tmp_path):
    base, rows = loaded
    before = mean_loss(base.model, rows, base.tokenizer.pad_token_id, 4)
    model = attach(base, TrainSpec(snapshot=tmp_path, models=tmp_path, lora_rank=4))
    assert mean_loss(model, rows, base.tokenizer.pad_token_id, 4) == before
    with model.disable_adapter():
        assert mean_loss(model, rows, base.tokenizer.pad_token_id, 4) == before


def test_a_trained_adapter_counts_and_can_be_taken_off(loaded, tmp_path):
    base, rows = loaded
    before = mean_loss(base.model, rows, base.tokenizer.pad_token_id, 4)
    model = attach(base, TrainSpec(snapshot=tmp_path, models=tmp_path, lora_rank=4))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(parameter, 0.5)
    assert mean_loss(model, rows, base.tokenizer.pad_token_id, 4) != before
    with model.disable_adapter():
        assert mean_loss(model, rows, base.tokenizer.pad_token_id, 4) == before


def test_the_mean_does_not_depend_on_the_batches(loaded):
    base, rows = loaded
    one, all_ = (mean_loss(base.model, rows, base.tokenizer.pad_token_id, size) for size in (1, 7))
    assert one == pytest.approx(all_, rel=1e-5)


def test_measuring_moves_no_random_state_and_keeps_the_mode(loaded):
    base, rows = loaded
    base.model.train()
    state = torch.random.get_rng_state()
    mean_loss(base.model, rows, base.tokenizer.pad_token_id, 4)
    assert torch.equal(state, torch.random.get_rng_state()) and base.model.training
