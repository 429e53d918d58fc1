"""The engine's own uncertainty: mean token entropy, the same alone and in company, whatever the temperature."""

from __future__ import annotations

import math

import pytest
import torch

from studio.contract.chat import Message, prompt_ids
from studio.inference.decode import entropy
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.inference.wire import Reply


def ask(prompt: str, **settings: object) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), **{"max_tokens": 6, **settings})


def entropies(engine: Engine, *requests: GenerationRequest) -> list[float]:
    ends = {delta.row: delta.done for delta in engine.generate(requests) if delta.done}
    return [ends[row].entropy for row in range(len(requests))]


def test_the_entropy_of_known_distributions() -> None:
    chances = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    expected = [0.5 * math.log(2) + 0.5 * math.log(4), 0.0, math.log(3)]
    assert entropy(chances.log()).tolist() == pytest.approx(expected)


def test_the_mean_over_the_tokens_of_an_answer(engine: Engine) -> None:
    request = ask("Hi")
    ids, sums = prompt_ids(engine.base.tokenizer, request.messages), []
    for _ in range(6):
        with torch.no_grad():
            logs = torch.log_softmax(engine.base.model(torch.tensor([ids])).logits[0, -1].double(), -1)
        sums.append(float(-(logs.exp() * logs).sum()))
        ids.append(int(logs.argmax()))
    assert entropies(engine, request) == pytest.approx([sum(sums) / 6], abs=1e-4)


def test_rows_do_not_disturb_each_other(engine: Engine) -> None:
    alone = entropies(engine, ask("Hi", max_tokens=12))
    mates = [ask("x" * 60, max_tokens=2), ask("Zähle bis drei, bitte.", temperature=1.5, seed=3)]
    assert entropies(engine, *mates, ask("Hi", max_tokens=12))[2] == pytest.approx(alone[0], abs=1e-4)


def test_temperature_does_not_change_what_the_model_expects(engine: Engine) -> None:
    one_token = [ask("Hi", max_tokens=1, temperature=heat, seed=1) for heat in (0.0, 2.0)]
    cold, hot = entropies(engine, *one_token)
    assert cold == pytest.approx(hot)


def test_it_travels_on_the_wire_with_the_weights(engine: Engine) -> None:
    done = next(delta.done for delta in engine.generate([ask("Hi", max_tokens=1)]) if delta.done)
    assert Reply("base").whole("text", done)["entropy"] == pytest.approx(done.entropy, abs=1e-6)
