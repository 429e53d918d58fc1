"""Packed and apart are the same numbers: losses row by row, gradients, and where packing must be refused."""

from __future__ import annotations

import pytest
import torch

from studio.contract.spec import TrainSpec
from studio.models.loading import load_base
from studio.training.data import collate, read_split
from studio.training.head_loss import loss_of
from studio.training.loss import answer_loss, row_losses
from studio.training.low_rank import quicken
from studio.training.methods import attach
from studio.training.packing import lay, packable, packing_of, prepare
from tests import tiny


def spec_of(folder, **fields):
    return TrainSpec(snapshot=folder / "s", models=folder / "models", base_model="tiny", lora_rank=4, **fields)


def loaded(folder, family="llama", **fields):
    """A tiny model with an adapter that does something, and ten rows of different lengths."""
    base = load_base(folder / "models", str(tiny.make_model(folder / family, family)), "cpu")
    tiny.make_snapshot(folder / "s", tiny.pairs(10), system="Be brief.")
    rows = read_split(folder / "s", "train", base.tokenizer, 256).rows
    model = attach(base, spec_of(folder, **fields))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model.eval(), rows, int(base.tokenizer.pad_token_id)


def grads(model, rows, pad):
    model.zero_grad()
    batch = collate(rows, pad)
    answer_loss(model)(batch["input_ids"], batch["attention_mask"], batch["labels"]).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma"])
def test_packed_and_unpacked_losses_and_gradients_agree(tmp_path, family):
    model, rows, pad = loaded(tmp_path, family)
    apart, slope = row_losses(model, rows, pad, 10), grads(model, rows, pad)
    assert prepare(model, spec_of(tmp_path), 200) and packing_of(model).share == (family != "gpt2")
    packed, own = row_losses(model, rows, pad, 10), grads(model, rows, pad)
    assert [one.targets for one in packed] == [one.targets for one in apart]
    assert [one.total for one in packed] == pytest.approx([one.total for one in apart], rel=1e-4)
    assert torch.allclose(own, slope, rtol=1e-3, atol=1e-4 * float(slope.abs().max()))


def test_what_a_row_says_changes_no_other_row(tmp_path):
    model, rows, pad = loaded(tmp_path)
    prepare(model, spec_of(tmp_path), 200)
    ours = row_losses(model, rows, pad, 10)
    other = row_losses(model, [rows[3], *reversed(rows)], pad, 11)
    assert [one.total for one in other[1:]] == pytest.approx([one.total for one in reversed(ours)], rel=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_quick_low_rank_layers_give_the_same_gradients_and_can_be_taken_off(tmp_path, family):
    model, rows, pad = loaded(tmp_path, family)
    slope, loss = grads(model, rows, pad), row_losses(model, rows, pad, 4)
    with model.disable_adapter():
        base = row_losses(model, rows, pad, 4)
    assert quicken(model) > 0
    assert torch.allclose(grads(model, rows, pad), slope, rtol=1e-3, atol=1e-4 * float(slope.abs().max()))
    assert [one.total for one in row_losses(model, rows, pad, 4)] == pytest.approx([one.total for one in loss])
    with model.disable_adapter():
        assert row_losses(model, rows, pad, 4) == base != loss


def test_what_all_rows_begin_with_stands_there_once(tmp_path):
    _, rows, pad = loaded(tmp_path)
    batch = collate(rows, pad)
    laid = lay(batch["input_ids"], batch["attention_mask"], batch["labels"], share=True)
    assert laid.layout.prefix > 4
    assert laid.ids.shape[1] == sum(map(len, rows)) - (len(rows) - 1) * laid.layout.prefix
    assert len(laid.targets) == int((batch["labels"] != -100).sum())
    before = [int(token) for row in rows for token in row.ids[:-1][row.labels[1:] != -100]]
    assert laid.ids[0, laid.sources].tolist() == before


@pytest.mark.parametrize("family", ["gemma2", "t5"])
def test_models_whose_attention_is_another_keep_their_batches(tmp_path, family):
    model = load_base(tmp_path / "models", str(tiny.make_model(tmp_path / "m", family)), "cpu").model
    before = model.config._attn_implementation
    assert not packable(model, 32) and model.config._attn_implementation == before


def test_rows_beyond_a_sliding_window_and_noise_by_length_are_not_packed(tmp_path):
    model, _, _ = loaded(tmp_path)
    base = model.get_base_model()
    assert not prepare(model, spec_of(tmp_path, packing="off"), 64)
    assert not prepare(model, spec_of(tmp_path, neftune=5), 64)
    base.config.sliding_window = 32
    assert not packable(model, 33) and packable(model, 32)


def test_a_model_that_heeds_its_neighbours_is_found_out(tmp_path, monkeypatch):
    from studio.training import packing

    model, _, _ = loaded(tmp_path)
    whole = packing.Layout
    monkeypatch.setattr(packing, "Layout", lambda prefix, lengths: whole(prefix, (sum(lengths),)))
    assert not packable(model, 64) and model.get_base_model().config._attn_implementation == "sdpa"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_chunked_loss_is_torchs_own_with_all_its_gradients(smoothing, monkeypatch):
    from studio.training import head_loss

    monkeypatch.setattr(head_loss, "CHUNK_NUMBERS", 150)
    hidden, head = torch.randn(9, 8, requires_grad=True), torch.nn.Linear(8, 50, bias=False)
    targets = torch.randint(0, 50, (9,))
    expected = torch.nn.functional.cross_entropy(head(hidden), targets, reduction="sum", label_smoothing=smoothing)
    wanted = torch.autograd.grad(3 * expected, (hidden, head.weight))
    ours = loss_of(head, hidden, targets, smoothing)
    found = torch.autograd.grad(3 * ours, (hidden, head.weight))
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(found, wanted, strict=True))
