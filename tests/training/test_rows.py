"""Rows, their order and their batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.training.data import IGNORED, Row, collate, read_split, run_order, spread
from tests import tiny


def row(length: int) -> Row:
    ids = np.arange(1, length + 1, dtype=np.int32)
    return Row(1, ids, np.where(ids > 2, ids, IGNORED).astype(np.int32))


def test_every_row_comes_once_an_epoch_and_the_order_follows_the_seed():
    lengths = np.random.default_rng(0).integers(1, 100, 103).tolist()
    order = run_order(lengths, 206, 8, seed=3)
    assert sorted(order.tolist()) == sorted([*range(103)] * 2)
    assert (order == run_order(lengths, 206, 8, seed=3)).all()
    assert not (order == run_order(lengths, 206, 8, seed=4)).all()


@pytest.mark.parametrize(("rows", "total", "batch"), [(103, 300, 8), (9, 40, 8), (50, 175, 7), (8, 30, 8), (20, 57, 9)])
def test_each_epoch_has_every_row_once_and_no_batch_has_a_row_twice(rows, total, batch):
    lengths = np.random.default_rng(0).integers(1, 100, rows)
    for seed in range(20):
        order = run_order(lengths.tolist(), total, batch, seed)
        assert len(order) == total
        for start in range(0, total, rows):
            epoch = order[start : start + rows].tolist()
            assert len(set(epoch)) == len(epoch)
        for start in range(0, total, batch):
            assert len(set(order[start : start + batch].tolist())) == min(batch, total - start)
        assert lengths[order[:batch]].max() == lengths.max()


def test_fewer_rows_than_a_batch_still_come_once_an_epoch():
    order = run_order([5, 9, 7], 25, 8, 0)
    assert len(order) == 25 and all(sorted(order[at : at + 3].tolist()) == [0, 1, 2] for at in range(0, 24, 3))


def test_later_epochs_hold_rows_of_like_length_together_too():
    lengths = np.random.default_rng(1).integers(10, 400, 403)
    batches = lengths[run_order(lengths.tolist(), 403 * 3, 8, 0)[: 151 * 8]].reshape(151, 8)
    assert (batches.max(1, keepdims=True) - batches).sum() / batches.sum() < 0.04


def test_a_longer_run_of_fractions_of_an_epoch_has_exactly_its_rows():
    assert len(run_order([5, 6, 7], 1, 8, 0)) == 1
    assert len(run_order([5] * 10, 25, 4, 0)) == 25


def test_batches_hold_rows_of_like_length_and_begin_with_the_longest():
    lengths = np.random.default_rng(1).integers(10, 400, 400)
    order = run_order(lengths.tolist(), 400, 8, 0)
    batches = lengths[order].reshape(50, 8)
    padding = (batches.max(1, keepdims=True) - batches).sum() / batches.sum()
    assert padding < 0.03 and batches[0].max() == lengths.max()


def test_collate_pads_on_the_right():
    batch = collate([row(3), row(5)], pad_id=9)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 9, 9], [1, 2, 3, 4, 5]]
    assert batch["attention_mask"].sum(1).tolist() == [3, 5]
    assert batch["labels"][0].tolist() == [IGNORED, IGNORED, 3, IGNORED, IGNORED]
    assert batch["input_ids"].dtype == torch.long


def test_spread_takes_rows_evenly_and_all_of_a_few():
    rows = [row(3) for _ in range(10)]
    assert spread(rows, 20) == rows
    assert [rows.index(one) for one in spread(rows, 1)] == [0] and len(spread(rows, 4)) == 4


def test_labels_are_the_answer_and_its_end_and_nothing_behind_it(tmp_path):
    tokenizer = tiny.make_tokenizer()
    tiny.make_snapshot(tmp_path, [("Where?", "There.")], system="Be brief.")
    one = read_split(tmp_path, "train", tokenizer, 100).rows[0]
    answer = [int(token) for token in one.labels if token != IGNORED]
    assert tokenizer.decode(answer) == "There.<|im_end|>" and one.labels[-1] == tokenizer.eos_token_id


def test_earlier_answers_of_a_conversation_carry_no_loss(tmp_path):
    talk = [("user", "A?"), ("assistant", "First."), ("user", "B?"), ("assistant", "Second.")]
    tiny.write_split(tmp_path / "train.parquet", [[{"role": r, "content": c} for r, c in talk]])
    tokenizer = tiny.make_tokenizer()
    one = read_split(tmp_path, "train", tokenizer, 200).rows[0]
    assert tokenizer.decode([int(t) for t in one.labels if t != IGNORED]) == "Second.<|im_end|>"


@pytest.mark.parametrize(
    ("flags", "learned"),
    [
        ((True, False), "First.<|im_end|>"),
        ((True, True), "First.<|im_end|>Second.<|im_end|>"),
        ((False, True), "Second.<|im_end|>"),
        ((None, None), "Second.<|im_end|>"),
        ((None, True), "Second.<|im_end|>"),
    ],
)
@pytest.mark.parametrize("template", [tiny.CHATML, tiny.LLAMA3])
def test_loss_lies_on_the_turns_that_are_flagged_and_nothing_behind_them(tmp_path, flags, learned, template):
    talk = [("user", "A?", False), ("assistant", "First.", flags[0]), ("user", "B?", None)]
    talk.append(("assistant", "Second.", flags[1]))
    turns = [{"role": role, "content": text, "train": flag} for role, text, flag in talk]
    tiny.write_split(tmp_path / "train.parquet", [turns])
    tokenizer = tiny.make_tokenizer(template)
    one = read_split(tmp_path, "train", tokenizer, 200).rows[0]
    assert tokenizer.decode([int(t) for t in one.labels if t != IGNORED]) == learned.replace(
        "<|im_end|>", tokenizer.eos_token
    )
    assert one.labels[-1] == tokenizer.eos_token_id


def test_a_conversation_with_no_turn_to_train_on_is_left_out(tmp_path):
    turns = [{"role": "user", "content": "A?", "train": False}, {"role": "assistant", "content": "B.", "train": False}]
    tiny.write_split(tmp_path / "train.parquet", [turns])
    split = read_split(tmp_path, "train", tiny.make_tokenizer(), 200)
    assert not split.rows and split.skipped == 1


def test_an_answer_that_fits_exactly_stays_and_one_token_less_leaves_it_out(tmp_path):
    tokenizer = tiny.make_tokenizer()
    tiny.make_snapshot(tmp_path, [("Where?", "There.")])
    length = len(read_split(tmp_path, "train", tokenizer, 100).rows[0])
    assert len(read_split(tmp_path, "train", tokenizer, length).rows) == 1
    cut = read_split(tmp_path, "train", tokenizer, length - 1)
    assert not cut.rows and cut.skipped == 1 and cut.warnings()[0]["rows"] == [1]


@pytest.mark.parametrize("turns", [[], [{"role": "user", "content": "no answer"}]])
def test_a_row_without_an_answer_is_left_out_and_counted(tmp_path, turns):
    tiny.write_split(tmp_path / "train.parquet", [turns])
    split = read_split(tmp_path, "train", tiny.make_tokenizer(), 100)
    assert not split.rows and "no target" in next(iter(split.left_out))
    assert len(split.warnings()) == 1


def test_a_template_that_refuses_a_row_leaves_it_out(tmp_path):
    tiny.make_snapshot(tmp_path, [("Where?", "There.")], system="You are refused.")
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    split = read_split(tmp_path, "train", tiny.make_tokenizer(strict + tiny.CHATML), 100)
    assert split.skipped == 1
    assert "chat template of this model refuses them" in next(iter(split.left_out))
