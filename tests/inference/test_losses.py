"""The loss of an answer is what the model's own forward says, in a batch of mixed adapters and lengths as alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studio.contract.chat import Message, render
from studio.errors import BadInput
from studio.evaluation.answering import Asked, answer_all
from studio.inference.engine import Engine
from studio.inference.losses import AnswerLoss, Said, answer_losses
from studio.models.loading import load_base
from studio.models.seq2seq import answer_ids, question_ids
from tests import tiny

PAIRS = [("Hi", "Hello there."), ("What is the capital of France?", "Paris"), ("a b c", "d e f g h i j k l m n o p")]


def said(run: str | None = None) -> list[Said]:
    return [Said((Message("user", question),), answer, run) for question, answer in PAIRS]


def test_a_loss_is_that_of_the_plain_forward(engine: Engine) -> None:
    found = answer_losses(engine, said())
    for (question, answer), one in zip(PAIRS, found, strict=True):
        rendered = render(engine.base.tokenizer, [Message("user", question), Message("assistant", answer)])
        ids, mask = torch.tensor([rendered.ids]), torch.tensor(rendered.mask)
        with torch.no_grad():
            scores = engine.base.model(input_ids=ids).logits[0].log_softmax(-1)
        right = -scores[:-1].gather(1, ids[0, 1:, None])[:, 0][mask[1:]].sum()
        assert one.total == pytest.approx(float(right), rel=1e-4) and one.tokens == rendered.targets


def test_an_answer_that_the_model_writes_itself_is_right_throughout(engine: Engine) -> None:
    asked = [Asked((Message("user", question),), "one", 12) for question, _ in PAIRS]
    written = answer_all(engine, asked)
    found = answer_losses(engine, [Said(a.messages, w.text, "one") for a, w in zip(asked, written, strict=True)])
    # Bytes that are no characters come back as other bytes, so only answers of plain letters are the very same tokens.
    same = [one.right[:12] for one, w in zip(found, written, strict=True) if w.text.isascii() and len(w.text) == 12]
    assert all(all(right) for right in same)
    assert not any(all(one.right) for one in answer_losses(engine, said("two")))


def test_mixed_adapters_in_one_batch_are_as_alone(engine: Engine) -> None:
    asked = [*said(), *said("one"), *said("zero")]
    together = answer_losses(engine, asked)
    alone = [answer_losses(engine, [one])[0] for one in asked]
    assert [one.total for one in together] == pytest.approx([one.total for one in alone], rel=1e-4)
    base, one, zero = together[:3], together[3:6], together[6:]
    assert [row.total for row in zero] == pytest.approx([row.total for row in base], rel=1e-5)
    assert all(abs(row.total - other.total) > 0.1 for row, other in zip(base, one, strict=True))


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_seq2seq_model_has_the_loss_of_its_labels(tmp_path: Path, family: str) -> None:
    base = load_base(tmp_path, str(tiny.make_model(tmp_path / family, family)), device="cpu", dtype="float32")
    found = answer_losses(Engine(base, tmp_path / "runs"), said())
    for (question, answer), one in zip(PAIRS, found, strict=True):
        ids = torch.tensor([question_ids(base.tokenizer, [Message("user", question)])])
        labels = torch.tensor([answer_ids(base.tokenizer, answer)])
        with torch.no_grad():
            right = float(base.model(input_ids=ids, labels=labels).loss) * labels.shape[1]
        assert one.total == pytest.approx(right, rel=1e-4)


def test_a_row_that_does_not_fit_has_no_loss_and_says_why(engine: Engine) -> None:
    long = Said((Message("user", "Hi"),), "x" * 400)
    found = answer_losses(engine, [long, *said()])
    assert isinstance(found[0], AnswerLoss) and found[0].mean is None and "context window" in found[0].why
    assert all(one.mean for one in found[1:])


def test_a_classifier_has_none(tmp_path: Path) -> None:
    base = load_base(tmp_path, str(tiny.make_model(tmp_path / "bert", "bert")), device="cpu", dtype="float32")
    with pytest.raises(BadInput):
        answer_losses(Engine(base, tmp_path / "runs"), said())
