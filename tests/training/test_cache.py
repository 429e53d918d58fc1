"""Rendered splits are kept and found again, and never mistaken for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.contract.spec import TrainSpec
from studio.models.loading import load_base
from studio.training.cache import FOLDER, cached_read, render_ahead
from studio.training.families import of
from tests import tiny


@pytest.fixture
def place(tmp_path):
    base = load_base(tmp_path / "models", str(tiny.make_model(tmp_path / "m")), "cpu")
    tiny.make_snapshot(tmp_path / "s", [*tiny.pairs(6), ("long " * 300, "answer")], system="Be brief.")
    spec = TrainSpec(snapshot=tmp_path / "s", models=tmp_path / "models", base_model=str(tmp_path / "m"))
    return base, spec


def same(one, other):
    return one.left_out == other.left_out and [
        (row.number, row.ids.tolist(), row.labels.tolist(), row.messages, row.tools) for row in one.rows
    ] == [(row.number, row.ids.tolist(), row.labels.tolist(), row.messages, row.tools) for row in other.rows]


def files(spec):
    return sorted((Path(spec.models) / FOLDER).glob("*"))


@pytest.mark.parametrize("keep", [False, True])
def test_a_second_read_is_the_first_without_rendering(place, keep):
    base, spec = place
    read = of("causal").read
    first = cached_read(read, base, spec, "train", 200, keep)
    again = cached_read(lambda *given: pytest.fail("rendered again"), base, spec, "train", 200, keep)
    assert first.skipped == 1 and len(first.rows) == 6 and same(first, again)


def test_another_length_template_or_content_is_read_anew(place, tmp_path):
    base, spec = place
    read = of("causal").read
    lengths = [len(cached_read(read, base, spec, "train", length).rows) for length in (200, 2000)]
    base.tokenizer.chat_template = tiny.LLAMA3
    cached_read(read, base, spec, "train", 200)
    tiny.make_snapshot(tmp_path / "s", tiny.pairs(3))
    assert lengths == [6, 7] and len(files(spec)) == 3
    assert len(cached_read(read, base, spec, "train", 200).rows) == 3


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"{}"])
def test_a_damaged_file_is_made_again(place, damage):
    base, spec = place
    read = of("causal").read
    first = cached_read(read, base, spec, "train", 200)
    files(spec)[0].write_bytes(damage)
    assert same(cached_read(read, base, spec, "train", 200), first)
    assert same(cached_read(lambda *given: pytest.fail("rendered again"), base, spec, "train", 200), first)


def test_a_split_without_rows_and_a_folder_that_cannot_be_written_do_no_harm(place, tmp_path):
    base, spec = place
    read = of("causal").read
    for _ in range(2):
        assert cached_read(read, base, spec, "validation", 200, True).rows == []
    shut = tmp_path / "file"
    shut.write_text("not a folder")
    assert len(cached_read(read, base, spec.model_copy(update={"models": shut}), "train", 200).rows) == 6


def test_only_the_newest_files_are_kept(place, monkeypatch):
    base, spec = place
    monkeypatch.setattr("studio.training.cache.KEPT", 2)
    for length in (100, 200, 300):
        cached_read(of("causal").read, base, spec, "train", length)
    assert len(files(spec)) == 2


def test_rendering_ahead_leaves_nothing_to_render(place):
    base, spec = place
    read = of("causal").read
    ahead = render_ahead(spec, lambda early: cached_read(read, early, spec, "train", 200))
    assert ahead is not None
    ahead.wait()
    again = cached_read(lambda *given: pytest.fail("rendered again"), base, spec, "train", 200)
    assert same(again, read(base, spec, "train", 200))


def test_what_goes_wrong_ahead_is_left_to_whoever_needs_the_rows(place):
    _, spec = place
    ahead = render_ahead(spec, lambda early: 1 / 0)
    ahead.wait()
    assert render_ahead(spec.model_copy(update={"objective": "dpo"}), print) is None
