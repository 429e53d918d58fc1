"""A classifier answers with the label's text and how likely it is; a base without labels says that it has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from studio.contract.chat import Message
from studio.errors import BadInput
from studio.inference.batcher import Batcher
from studio.inference.engine import Engine
from studio.inference.request import Delta, Finished, GenerationRequest
from studio.inference.served import NoClassifier
from studio.inference.server import build_app
from studio.models.classify import text_ids
from studio.models.loading import load_base
from tests.inference.kinds import (
    CONTEXT,
    LABELS,
    METHODS,
    classifier_over,
    edit_json,
    make_encoder,
    save_bare_encoder,
    save_base,
    save_classifier,
    save_full,
)

PROMPTS = ["Hi", "Where is my order?", "Bitte zurück damit, sofort!"]
RUNS = ("lora", "ia3", "prompt")


@pytest.fixture(scope="module", params=["bert", "roberta"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare encoder with runs of one label and of several, by adapter and by full fine-tuning."""
    folder = tmp_path_factory.mktemp(request.param)
    base, runs = save_bare_encoder(folder / "base", request.param), folder / "runs"
    for run in RUNS:
        save_classifier(runs, run, base, run)
    save_classifier(runs, "several", base, "lora", several=True)
    save_full(runs, "full", classifier_over(base, LABELS))
    return folder


@pytest.fixture
def engine(home: Path, tmp_path: Path) -> Engine:
    """An engine over the bare encoder."""
    return Engine(load_base(tmp_path, str(home / "base"), "cpu", "float32"), home / "runs")


def ask(prompt: str, run: str | None = None) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), run)


def ends(engine: Engine, *requests: GenerationRequest) -> list[tuple[str, Finished]]:
    deltas: list[Delta] = sorted(engine.generate(requests), key=lambda delta: delta.row)
    assert [delta.row for delta in deltas] == list(range(len(requests)))  # each answer is one piece
    return [(delta.text, delta.done) for delta in deltas if delta.done]


def scores(home: Path, engine: Engine, run: str, prompt: str) -> torch.Tensor:
    """Logits of transformers and peft themselves, of the reloaded model."""
    if run == "full":
        model: Any = AutoModelForSequenceClassification.from_pretrained(home / "runs/full/model")
    else:
        model = classifier_over(home / "base", LABELS, run == "several")
        model = PeftModel.from_pretrained(model, home / "runs" / run / "adapter")
    ids = torch.tensor([text_ids(engine.base.tokenizer, [Message("user", prompt)])])
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]


@pytest.mark.parametrize("run", [*RUNS, "full"])
def test_the_likeliest_label_is_that_of_transformers(home: Path, engine: Engine, run: str) -> None:
    for (text, end), prompt in zip(ends(engine, *(ask(prompt, run) for prompt in PROMPTS)), PROMPTS, strict=True):
        chances = torch.softmax(scores(home, engine, run, prompt), -1)
        assert text == LABELS[int(chances.argmax())] and end.reason == "stop"
        assert end.probability == pytest.approx(float(chances.max()), abs=1e-4)
        assert end.entropy == pytest.approx(float(torch.special.entr(chances).sum()), abs=1e-4)
        assert (end.adapter, end.whole) == (run, run == "full")


def test_several_labels_are_all_those_likelier_than_not(home: Path, engine: Engine) -> None:
    found = ends(engine, *(ask(prompt, "several") for prompt in PROMPTS))
    for (text, end), prompt in zip(found, PROMPTS, strict=True):
        chances = torch.sigmoid(scores(home, engine, "several", prompt))
        assert text == ", ".join(label for label, chance in zip(LABELS, chances, strict=True) if chance >= 0.5)
        assert 0 < (end.probability or 0) <= 1 and (end.entropy or 0) > 0


def test_a_batch_of_all_runs_equals_each_row_alone(engine: Engine) -> None:
    requests = [ask(prompt, run) for prompt in PROMPTS for run in (*RUNS, "several", "full")]
    together = ends(engine, *requests)
    for (text, end), request in zip(together, requests, strict=True):
        alone, of_alone = ends(engine, request)[0]
        assert (alone, end.adapter_hash) == (text, of_alone.adapter_hash)
        assert end.probability == pytest.approx(of_alone.probability, abs=1e-4)
    assert len({end.probability for _, end in together}) > len(RUNS)


def test_a_base_without_labels_says_so_and_twins_share_its_body(engine: Engine) -> None:
    with pytest.raises(NoClassifier, match="never trained on any labels"):
        engine.prepare(ask("Hi"))
    twin = engine.prepare(ask("Hi", "ia3")).served.model
    words = "embeddings.word_embeddings.weight"
    own, shared = (model.base_model.get_parameter(words) for model in (twin, engine.base.model))
    assert own.data_ptr() == shared.data_ptr()


def test_a_long_text_is_cut_at_its_end(home: Path, engine: Engine) -> None:
    for run in ("prompt", "full"):
        long, cut = (ends(engine, ask("a" * length, run))[0][1] for length in (3 * CONTEXT, CONTEXT))
        assert long.probability == cut.probability
        assert CONTEXT - 10 <= long.prompt_tokens <= CONTEXT


def test_a_base_that_knows_labels_answers_with_its_own(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base", make_encoder("bert", ("yes", "no")))
    engine = Engine(load_base(tmp_path / "models", str(folder), "cpu", "float32"), tmp_path / "runs")
    ((text, end),) = ends(engine, ask("Hi"))
    assert text in ("yes", "no") and end.adapter is None and (end.probability or 0) >= 0.5


@pytest.mark.parametrize(
    "fields",
    [
        {"id2label": {str(10**9): "a"}},
        {"id2label": {"0": "a", "2": "b"}},
        {"id2label": {}},
        {"id2label": [1]},
        {"id2label": {str(number): "x" for number in range(20_000)}},
    ],
)
def test_labels_that_are_none_are_refused(engine: Engine, tmp_path: Path, home: Path, fields: dict[str, Any]) -> None:
    folder = save_classifier(tmp_path / "runs", "one", home / "base", "lora")
    engine.runs = tmp_path / "runs"
    edit_json(folder / "config.json", **fields)
    with pytest.raises(BadInput, match="labels of run 'one'"):
        engine.prepare(ask("Hi", "one"))


def test_a_head_of_other_labels_or_none_does_not_fit(engine: Engine, tmp_path: Path, home: Path) -> None:
    folder = save_classifier(tmp_path / "runs", "one", home / "base", "lora")
    engine.runs = tmp_path / "runs"
    edit_json(folder / "config.json", id2label={"0": "a", "1": "b"})
    with pytest.raises(BadInput, match="does not fit"):
        engine.prepare(ask("Hi", "one"))
    (folder / "config.json").unlink()
    with pytest.raises(BadInput, match="labels of run 'one'"):
        engine.prepare(ask("Hi", "one"))


def test_the_wire_tells_the_probability_and_why_a_base_has_none(engine: Engine) -> None:
    from starlette.testclient import TestClient

    batcher = Batcher(engine, rows=4)
    client = TestClient(build_app(engine, batcher, "t" * 32), headers={"Authorization": f"Bearer {'t' * 32}"})
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    tuned = client.post("/v1/chat/completions", json={**body, "model": "full"}).json()
    base = client.post("/v1/chat/completions", json={**body, "model": "base", "stream": True})
    batcher.close()
    assert tuned["choices"][0]["message"]["content"] in LABELS and 0 < tuned["probability"] <= 1
    assert tuned["weights"]["whole"] is True
    assert base.status_code == 400 and base.json()["error"]["code"] == "no_classifier"


def test_every_method_of_the_trainer_is_known() -> None:
    assert set(RUNS) < set(METHODS)
