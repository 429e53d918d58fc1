"""Answers of a batch are the answers of each row alone, and say truly which weights wrote them."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from studio.contract.chat import Message, prompt_ids
from studio.errors import BadInput, NotFound
from studio.inference.decode import CausalDecoder, DecodeRow, Sampling
from studio.inference.engine import Engine
from studio.inference.request import Delta, Finished, GenerationRequest
from studio.inference.running import decoder_of
from studio.models.hashes import adapter_hash
from tests.inference.conftest import CONTEXT

PROMPTS = ["Hi", "What is the capital of France?", "Zähle bis drei, bitte.", "a b c"]


def ask(prompt: str = PROMPTS[0], adapter: str | None = None, **settings: object) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), adapter, **{"max_tokens": 24, **settings})


def answers(engine: Engine, *requests: GenerationRequest) -> list[str]:
    deltas = list(engine.generate(requests))
    return ["".join(delta.text for delta in deltas if delta.row == row) for row in range(len(requests))]


def finished(deltas: list[Delta], row: int = 0) -> Finished:
    ends = [delta.done for delta in deltas if delta.row == row and delta.done]
    assert len(ends) == 1
    return ends[0]


def logits(engine: Engine, *requests: GenerationRequest) -> torch.Tensor:
    """Scores of the first answer token of each request, all in one batch."""
    return decoder_of(engine.through(engine.shared), [engine.prepare(request) for request in requests]).logits()


def transformers_answer(engine: Engine, base_folder: Path, adapter: Path | None, prompt: str) -> str:
    model = LlamaForCausalLM.from_pretrained(base_folder)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    ids = torch.tensor([prompt_ids(engine.base.tokenizer, [Message("user", prompt)])])
    output = model.eval().generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
    )
    return engine.base.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("run", [None, "one", "two"])
def test_greedy_answers_equal_those_of_transformers(
    engine: Engine, base_folder: Path, runs: Path, run: str | None
) -> None:
    adapter = runs / run / "adapter" if run else None
    expected = [transformers_answer(engine, base_folder, adapter, prompt) for prompt in PROMPTS]
    assert answers(engine, *(ask(prompt, run) for prompt in PROMPTS)) == expected


def test_a_batch_of_mixed_adapters_equals_each_row_alone(engine: Engine) -> None:
    requests = [ask(prompt, run) for prompt in PROMPTS for run in (None, "one", "two", "zero")]
    assert answers(engine, *requests) == [answers(engine, request)[0] for request in requests]


def test_rows_of_different_length_leave_the_batch_without_disturbing_it(engine: Engine) -> None:
    requests = [ask(prompt, max_tokens=3 + 9 * i) for i, prompt in enumerate(PROMPTS)]
    deltas = list(engine.generate(requests))
    assert [finished(deltas, row).completion_tokens for row in range(4)] == [3, 12, 21, 30]
    assert answers(engine, *requests) == [answers(engine, request)[0] for request in requests]


def together(engine: Engine, requests: list[GenerationRequest], at_once: int) -> list[str]:
    texts = [""] * len(requests)
    for delta in engine.decode([engine.prepare(request) for request in requests], at_once=at_once):
        texts[delta.row] += delta.text
    return texts


@pytest.mark.parametrize("at_once", [1, 3, 9])
def test_rows_that_join_a_running_batch_answer_as_alone(engine: Engine, at_once: int) -> None:
    runs = [None, "one", "two"]
    requests = [ask("ab " * (n % 5) + PROMPTS[n % 4], runs[n % 3], max_tokens=2 + 7 * n % 23) for n in range(24)]
    assert together(engine, requests, at_once) == [answers(engine, request)[0] for request in requests]


def test_rows_join_while_others_are_written(engine: Engine) -> None:
    rows = [
        engine.prepare(ask(prompt, max_tokens=tokens)) for prompt, tokens in zip(PROMPTS, (30, 2, 3, 30), strict=True)
    ]
    order = [delta.row for delta in engine.decode(rows, at_once=2)]
    assert order.index(2) < max(place for place, row in enumerate(order) if row == 0)
    assert decoder_of(engine.through(engine.shared), rows).joins is False  # before its first step nobody knows


def test_rows_that_wait_are_cancelled_too(engine: Engine) -> None:
    rows = [engine.prepare(ask(prompt, max_tokens=5)) for prompt in PROMPTS]
    ends = {delta.row: delta.done.reason for delta in engine.decode(rows, lambda row: row > 1, 2) if delta.done}
    assert ends == {0: "length", 1: "length", 2: "cancelled", 3: "cancelled"}


def test_a_zero_adapter_is_the_base_and_any_other_is_not(engine: Engine) -> None:
    for prompt in PROMPTS:
        base, zero, one, two = logits(engine, ask(prompt), ask(prompt, "zero"), ask(prompt, "one"), ask(prompt, "two"))
        assert torch.equal(base, zero)
        assert not torch.allclose(base, one, atol=1e-2)
        assert not torch.allclose(one, two, atol=1e-2)
        base_text, zero_text, one_text = answers(engine, ask(prompt), ask(prompt, "zero"), ask(prompt, "one"))
        assert base_text == zero_text != one_text


def test_a_loaded_adapter_leaves_the_base_as_it_was(engine: Engine) -> None:
    before = logits(engine, *map(ask, PROMPTS))
    answers(engine, ask(adapter="one"))
    assert torch.equal(before, logits(engine, *map(ask, PROMPTS)))
    engine.adapters.mixture.give(None)
    ids = torch.tensor([engine.prepare(ask()).ids])
    plain = engine.base.model(input_ids=ids).logits[0, -1]
    assert torch.allclose(plain, logits(engine, ask())[0], atol=1e-5)


def test_the_end_names_the_weights(engine: Engine, runs: Path) -> None:
    deltas = list(engine.generate([ask(), ask(adapter="one"), ask(adapter="two")]))
    base, one, two = (finished(deltas, row) for row in range(3))
    assert (base.adapter, base.adapter_hash) == (None, None)
    assert one.adapter == "one" and one.adapter_hash == adapter_hash(runs / "one" / "adapter")
    assert len({one.adapter_hash, two.adapter_hash, base.base_hash}) == 3
    assert base.base_hash == one.base_hash == engine.base.weights_hash


def test_a_seed_gives_one_answer_whoever_shares_the_batch(engine: Engine) -> None:
    warm = ask(PROMPTS[1], temperature=1.2, top_p=0.9, seed=5)
    alone = answers(engine, warm)[0]
    mates = [ask(PROMPTS[2], "one", temperature=0.7, seed=9), ask(), ask("x" * 60, temperature=2.0, seed=5)]
    assert answers(engine, *mates, warm)[3] == answers(engine, warm, *mates)[0] == alone
    other = ask(PROMPTS[1], temperature=1.2, top_p=0.9, seed=6)
    assert answers(engine, other)[0] != alone


def test_without_a_seed_answers_differ(engine: Engine) -> None:
    assert len(set(answers(engine, *[ask(temperature=1.5)] * 4))) > 1


def test_sampling_follows_the_distribution(engine: Engine) -> None:
    row = engine.prepare(ask())
    rows = [DecodeRow(row.ids, "__base__", Sampling(1.0, 0.6, seed)) for seed in range(2000)]
    decoder = CausalDecoder(engine.through(engine.shared), rows)
    chances = torch.softmax(logits(engine, ask())[0], -1).sort(descending=True)
    size = int((chances.values.cumsum(0) < 0.6).sum()) + 1
    counts = torch.bincount(torch.tensor([picked.token for picked in decoder.step()]), minlength=258)
    assert set(counts.nonzero()[:, 0].tolist()) <= set(chances.indices[:size].tolist())
    expected = chances.values[0] / chances.values[:size].sum()
    assert abs(counts[chances.indices[0]] / 2000 - expected) < 0.05


def test_a_full_context_ends_the_answer(engine: Engine) -> None:
    deltas = list(engine.generate([ask("x" * 200, max_tokens=1000)]))
    end = finished(deltas)
    assert (end.reason, end.prompt_tokens + end.completion_tokens) == ("length", CONTEXT)


def test_a_prompt_beyond_the_context_is_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="context window holds 256"):
        next(engine.generate([ask("x" * 300)]))


def test_an_end_token_stops_the_row(engine: Engine) -> None:
    first = logits(engine, ask())[0].argmax().item()
    engine.shared = replace(engine.shared, ends=frozenset({first}))
    end = finished(list(engine.generate([ask()])))
    assert (end.reason, end.completion_tokens) == ("stop", 1)


def test_a_stop_string_ends_the_answer_before_it(engine: Engine) -> None:
    whole = answers(engine, ask(max_tokens=60))[0]
    stop = whole[10:13]
    deltas = list(engine.generate([ask(max_tokens=60, stop=("never seen", stop))]))
    assert "".join(delta.text for delta in deltas) == whole[: whole.find(stop)]
    assert finished(deltas).reason == "stop"


def test_a_cancelled_row_stops_and_the_others_go_on(engine: Engine) -> None:
    rows = [engine.prepare(ask(prompt)) for prompt in PROMPTS[:2]]
    deltas = []
    for delta in engine.decode(rows, lambda row: row == 0 and len(deltas) > 6):
        deltas.append(delta)
    assert finished(deltas, 0).reason == "cancelled"
    assert "".join(delta.text for delta in deltas if delta.row == 1) == answers(engine, ask(PROMPTS[1]))[0]


def test_two_generators_may_take_turns(engine: Engine) -> None:
    expected = answers(engine, ask(adapter="one")), answers(engine, ask(adapter="two"))
    generators = [engine.generate([ask(adapter="one")]), engine.generate([ask(adapter="two")])]
    texts = ["", ""]
    for pair in zip_longest(*generators):
        texts = [text + (delta.text if delta else "") for text, delta in zip(texts, pair, strict=True)]
    assert (texts[:1], texts[1:]) == expected


def test_a_missing_run_is_not_found(engine: Engine) -> None:
    for name in ("nobody", "../one", "", "a" * 65, "one/../two", "one\n"):
        with pytest.raises(NotFound):
            engine.prepare(ask(adapter=name))
