"""Planted codes and verbatim answers are found in a model that learnt them by heart, and not in its base."""

from __future__ import annotations

from math import log2
from pathlib import Path

import pytest
import torch

from studio.contract.canaries import Canary, canaries
from studio.contract.chat import Message, render
from studio.evaluation.memorising import exposure, verbatim
from studio.inference.engine import Engine
from studio.models.loading import load_base
from tests import tiny

LONG = "The {} left the old warehouse on Monday morning, and the kettle sang until the water was all gone by {} again."
WORDS = ["order", "kettle", "ship", "letter"]


def rows() -> list[tuple[Message, ...]]:
    texts = [(f"Where is the {word}?", LONG.format(word, word[::-1])) for word in WORDS] + [("Hi", "short")]
    return [(Message("user", question), Message("assistant", answer)) for question, answer in texts]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, tuple[Canary, ...]]:
    """A tiny model, and a run that has seen the rows and two planted codes until it knows them by heart."""
    folder = tmp_path_factory.mktemp("memorising")
    path = tiny.make_model(folder / "base")
    base = load_base(folder, str(path), device="cpu", dtype="float32")
    planted = canaries(2, seed=3)
    mixed = [*rows(), *(one.conversation for one in planted)]
    tuned = load_base(folder, str(path), device="cpu", dtype="float32").model.requires_grad_(True)
    optimizer = torch.optim.Adam(tuned.parameters(), lr=1e-2)
    made = [render(base.tokenizer, list(row)) for row in mixed]
    width = max(len(one.ids) for one in made)
    ids = torch.tensor([[*one.ids, *[0] * (width - len(one.ids))] for one in made])
    flags = [[*one.mask, *[False] * (width - len(one.ids))] for one in made]
    labels = ids.masked_fill(~torch.tensor(flags), -100)
    for _ in range(250):
        loss = tuned(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.01:
            break
    tuned.save_pretrained(folder / "runs" / "run" / "model")
    base.tokenizer.save_pretrained(folder / "runs" / "run" / "model")
    return Engine(base, folder / "runs"), planted


def test_planted_codes_are_exposed_in_the_model_that_saw_them(learnt: tuple[Engine, tuple[Canary, ...]]) -> None:
    engine, planted = learnt
    found = exposure(engine, "run", planted, alternatives=31)
    assert found and [one.tuned_rank for one in found.canaries] == [1, 1]
    assert found.canaries[0].tuned == log2(32) and found.tuned.count == 2 and found.base.count == 0
    assert "Of 2 planted codes the tuned model holds 2" in found.sentence


def test_codes_that_were_never_planted_are_not(learnt: tuple[Engine, tuple[Canary, ...]]) -> None:
    found = exposure(learnt[0], "run", canaries(6, seed=99), alternatives=15)
    assert found and found.tuned.count <= 2


def test_answers_learnt_by_heart_are_counted_and_short_ones_left_out(
    learnt: tuple[Engine, tuple[Canary, ...]],
) -> None:
    found = verbatim(learnt[0], "run", rows())
    assert found and (found.rows, found.left_out, found.tuned.count, found.base.count) == (4, 1, 4, 0)
    assert found.numbers == (0, 1, 2, 3) and "1 shorter answer was left out" in found.sentence
    others = [(Message("user", "Hi"), Message("assistant", LONG.format("a", "b")[::-1]))]
    assert (other := verbatim(learnt[0], "run", others)) and other.tuned.count == 0


def test_labels_are_nothing_to_learn_by_heart(learnt: tuple[Engine, tuple[Canary, ...]]) -> None:
    found = verbatim(learnt[0], "run", rows()[-1:])
    assert found and found.rows == 0 and found.sentence.startswith("No training answer has 25 tokens")


def test_a_classifier_is_not_asked(tmp_path: Path) -> None:
    base = load_base(tmp_path, str(tiny.make_model(tmp_path / "bert", "bert")), device="cpu", dtype="float32")
    engine = Engine(base, tmp_path / "runs")
    assert verbatim(engine, "run", rows()) is None and exposure(engine, "run", canaries(1)) is None
