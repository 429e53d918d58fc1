"""Each method's adapters answer as transformers and peft do, alone and all in one batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from studio.contract.chat import Message, prompt_ids
from studio.errors import BadInput
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.models.hashes import adapter_hash
from studio.models.loading import load_base
from tests.inference.kinds import METHODS, edit_json, save_adapter

PROMPTS = ["Hi", "What is the capital of France?"]
TOKENS = 12


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> Path:
    """Runs of every method over the tiny Llama, and one of VeRA that leaves its projections out."""
    runs = tmp_path_factory.mktemp("methods") / "runs"
    for name, config in METHODS.items():
        save_adapter(runs, name, LlamaForCausalLM.from_pretrained(base_folder), config("CAUSAL_LM"))
    bare = METHODS["vera"]("CAUSAL_LM")
    bare.save_projection = False
    save_adapter(runs, "vera-bare", LlamaForCausalLM.from_pretrained(base_folder), bare)
    return runs


@pytest.fixture
def serving(base_folder: Path, methods: Path, tmp_path: Path) -> Engine:
    """An engine over the tiny Llama and these runs."""
    shutil.copytree(methods, tmp_path / "runs")
    return Engine(load_base(tmp_path / "models", str(base_folder), "cpu", "float32"), tmp_path / "runs")


def ask(prompt: str, run: str | None, tokens: int = TOKENS) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), run, max_tokens=tokens)


def answers(engine: Engine, *requests: GenerationRequest) -> list[str]:
    deltas = list(engine.generate(requests))
    return ["".join(delta.text for delta in deltas if delta.row == row) for row in range(len(requests))]


def of_peft(engine: Engine, base: Path, adapter: Path, prompt: str) -> str:
    model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), adapter).eval()
    ids = torch.tensor([prompt_ids(engine.base.tokenizer, [Message("user", prompt)])])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS)
    return engine.base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("run", [*METHODS, "vera-bare"])
def test_greedy_answers_equal_those_of_peft(serving: Engine, base_folder: Path, run: str) -> None:
    expected = [of_peft(serving, base_folder, serving.runs / run / "adapter", prompt) for prompt in PROMPTS]
    assert answers(serving, *(ask(prompt, run) for prompt in PROMPTS)) == expected
    assert expected != answers(serving, *(ask(prompt, None) for prompt in PROMPTS))


def test_all_methods_share_one_batch_of_requests(serving: Engine) -> None:
    requests = [ask(prompt, run) for prompt in PROMPTS for run in (None, *METHODS)]
    base = answers(serving, ask(PROMPTS[0], None))
    together = answers(serving, *requests)
    assert together == [answers(serving, request)[0] for request in requests]
    assert len(set(together[: 1 + len(METHODS)])) == 1 + len(METHODS)
    assert answers(serving, ask(PROMPTS[0], None)) == base


def test_batches_of_several_models_take_turns(serving: Engine) -> None:
    deltas = list(serving.generate([ask("Hi", None), ask("Hi", "ia3")]))
    first = [delta.row for delta in deltas if delta.text][:6]
    assert set(first) == {0, 1}


def test_the_weights_are_shared_and_named(serving: Engine) -> None:
    ends = [delta.done for delta in serving.generate([ask("Hi", "vera"), ask("Hi", "prompt")]) if delta.done]
    assert {end.adapter: end.adapter_hash for end in ends} == {
        run: adapter_hash(serving.runs / run / "adapter") for run in ("vera", "prompt")
    }
    twin = serving.prepare(ask("Hi", "vera")).served.model
    assert twin.model.embed_tokens.weight is serving.base.model.model.embed_tokens.weight
    assert dict(serving.loaded).keys() == {"vera", "prompt"}


def test_a_changed_file_is_loaded_anew(serving: Engine, base_folder: Path) -> None:
    for run in ("ia3", "prompt"):
        before = answers(serving, ask("Hi", run))
        base = LlamaForCausalLM.from_pretrained(base_folder)
        save_adapter(serving.runs, run, base, METHODS[run]("CAUSAL_LM"), seed=2)
        assert answers(serving, ask("Hi", run)) != before


@pytest.mark.parametrize("run", ["lora", "ia3", "prompt"])
def test_a_run_is_asked_by_its_own_chat_template(serving: Engine, run: str) -> None:
    folder = serving.runs / run / "adapter"
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<{{ m['content'] }}>{% endfor %}")
    own, base = (serving.prepare(ask("Hi", name)) for name in (run, None))
    tokenizer = serving.base.tokenizer
    assert tokenizer.decode(own.ids) == "<Hi>" and "User: Hi" in tokenizer.decode(base.ids)
    together = answers(serving, ask("Hi", run), ask("Hi", None))
    assert together == [answers(serving, ask("Hi", name))[0] for name in (run, None)]


@pytest.mark.parametrize("template", ["{{ 1", "{{ messages.__class__.__mro__ }}", "x" * 300_000, ""])
def test_a_template_that_cannot_be_used_is_refused(serving: Engine, template: str) -> None:
    folder = serving.runs / "lora" / "adapter"
    (folder / "chat_template.jinja").write_text(template)
    if not template:
        assert serving.prepare(ask("Hi", "lora")).ids == serving.prepare(ask("Hi", None)).ids
        return
    with pytest.raises(BadInput, match="Run 'lora' cannot be asked"):
        serving.prepare(ask("Hi", "lora"))


def test_virtual_tokens_count_in_the_context(serving: Engine) -> None:
    ids = serving.prepare(ask("Hi", None)).ids
    assert serving.prepare(ask("Hi", "prompt", 1000)).limit == 256 - len(ids) - 5


@pytest.mark.parametrize(
    ("run", "fields"),
    [
        ("vera", {"r": 10**9}),
        ("vera", {"projection_prng_key": "x"}),
        ("vera", {"bias": "all"}),
        ("ia3", {"target_modules": "(a+)+$"}),
        ("ia3", {"feedforward_modules": "(a+)+$"}),
        ("ia3", {"modules_to_save": ["lm_head"]}),
        ("prompt", {"num_virtual_tokens": 10**12}),
        ("prompt", {"num_virtual_tokens": True}),
        ("prompt", {"peft_type": "PREFIX_TUNING"}),
        ("dora", {"rank_pattern": {"q_proj": 10**9}}),
        ("dora", {"lora_alpha": "1"}),
    ],
)
def test_settings_beyond_the_known_are_refused(serving: Engine, run: str, fields: dict[str, object]) -> None:
    edit_json(serving.runs / run / "adapter" / "adapter_config.json", **fields)
    with pytest.raises(BadInput, match=f"adapter settings of run '{run}'"):
        serving.prepare(ask("Hi", run))


@pytest.mark.parametrize(
    ("run", "fields"),
    [
        ("vera", {"r": 9}),
        ("vera", {"target_modules": ["q_proj"]}),
        ("ia3", {"target_modules": ["nowhere"], "feedforward_modules": []}),
        ("prompt", {"num_virtual_tokens": 6}),
        ("dora", {"use_dora": False}),
        ("lora", {"use_dora": True}),
    ],
)
def test_settings_of_other_weights_do_not_fit(serving: Engine, run: str, fields: dict[str, object]) -> None:
    before = answers(serving, ask("Hi", None))
    edit_json(serving.runs / run / "adapter" / "adapter_config.json", **fields)
    with pytest.raises(BadInput, match="does not fit the base model"):
        serving.prepare(ask("Hi", run))
    assert answers(serving, ask("Hi", None)) == before


def test_settings_that_are_no_settings_are_refused(serving: Engine) -> None:
    path = serving.runs / "ia3" / "adapter" / "adapter_config.json"
    for text in ("[]", "{", "null", json.dumps({"peft_type": {}}), "[" * 100_000):
        path.write_text(text)
        with pytest.raises(BadInput, match="adapter settings"):
            serving.prepare(ask("Hi", "ia3"))
