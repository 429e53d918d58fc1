"""Encoder-decoders answer as transformers' own greedy generate does, alone, mixed, and with adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM

from studio.contract.chat import Message
from studio.errors import BadInput
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.models.loading import load_base
from studio.models.seq2seq import question_ids
from tests.inference.kinds import CONTEXT, METHODS, make_seq2seq, save_adapter, save_base, save_full

PROMPTS = ["Hi", "Zähle bis drei, bitte."]
RUNS = ("lora", "ia3", "prompt")
TOKENS = 8


@pytest.fixture(scope="module", params=["t5", "bart"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and runs of several methods and of full fine-tuning."""
    folder = tmp_path_factory.mktemp(request.param)
    save_base(folder / "base", make_seq2seq(request.param))
    for run in RUNS:
        config = METHODS[run]("SEQ_2_SEQ_LM")
        save_adapter(folder / "runs", run, AutoModelForSeq2SeqLM.from_pretrained(folder / "base"), config)
    save_full(folder / "runs", "full", make_seq2seq(request.param))
    return folder


@pytest.fixture
def engine(home: Path, tmp_path: Path) -> Engine:
    """An engine over the base with nothing loaded yet."""
    return Engine(load_base(tmp_path, str(home / "base"), "cpu", "float32"), home / "runs")


def ask(prompt: str, run: str | None = None, **settings: Any) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), run, **{"max_tokens": TOKENS, **settings})


def answers(engine: Engine, *requests: GenerationRequest) -> list[str]:
    deltas = list(engine.generate(requests))
    return ["".join(delta.text for delta in deltas if delta.row == row) for row in range(len(requests))]


def of_transformers(home: Path, engine: Engine, run: str | None, prompt: str) -> str:
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(home / "runs/full/model" if run == "full" else home / "base")
    if run not in (None, "full"):
        model = PeftModel.from_pretrained(model, home / "runs" / run / "adapter")
    ids = torch.tensor([question_ids(engine.base.tokenizer, [Message("user", prompt)])])
    mask = torch.ones_like(ids)
    out = model.eval().generate(input_ids=ids, attention_mask=mask, do_sample=False, num_beams=1, max_new_tokens=TOKENS)
    return engine.base.tokenizer.decode(out[0, 1:], skip_special_tokens=True)


@pytest.mark.parametrize("run", [None, *RUNS, "full"])
def test_greedy_answers_equal_those_of_transformers(home: Path, engine: Engine, run: str | None) -> None:
    expected = [of_transformers(home, engine, run, prompt) for prompt in PROMPTS]
    assert answers(engine, *(ask(prompt, run) for prompt in PROMPTS)) == expected
    assert engine.base.family == "seq2seq" and (run or len(set(expected)) > 1)


def test_a_batch_of_all_runs_equals_each_row_alone(engine: Engine) -> None:
    requests = [ask(prompt, run) for prompt in PROMPTS for run in (None, *RUNS, "full")]
    together = answers(engine, *requests)
    assert together == [answers(engine, request)[0] for request in requests]
    assert len(set(together)) > len(RUNS)


def test_rows_of_different_length_leave_the_batch_without_disturbing_it(engine: Engine) -> None:
    requests = [ask(prompt, run, max_tokens=2 + 4 * i) for i, prompt in enumerate(PROMPTS) for run in (None, "lora")]
    assert answers(engine, *requests) == [answers(engine, request)[0] for request in requests]


def test_a_seed_gives_one_answer_whoever_shares_the_batch(engine: Engine) -> None:
    warm = ask(PROMPTS[1], temperature=1.2, top_p=0.9, seed=5)
    assert (
        answers(engine, ask(PROMPTS[0], "lora"), warm)[1] == answers(engine, warm)[0] != answers(engine, ask("Hi"))[0]
    )


def test_prompt_and_answer_have_a_window_each(engine: Engine) -> None:
    prepared = engine.prepare(ask("x" * (CONTEXT - 10), max_tokens=1000))
    if engine.shared.context is None:
        assert prepared.limit == 1000
        return
    assert prepared.limit == CONTEXT
    with pytest.raises(BadInput, match="context window holds 96"):
        engine.prepare(ask("x" * (CONTEXT + 10)))
    assert len(answers(engine, ask("Hi", max_tokens=1000))[0]) <= CONTEXT
