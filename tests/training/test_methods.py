"""Every method on every family that it is offered to: three steps, saved, loaded anew, and the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from studio.contract.methods import METHODS, offered
from studio.contract.spec import TrainSpec, read_train_spec
from studio.errors import BadModel, BadSpec
from studio.models.heads import NO_CLASSIFIER, LabelSet
from studio.models.loading import load_base
from studio.training import methods
from studio.training.families import of
from studio.training.families.labels import snapshot_labels
from studio.training.loss import overall
from tests import tiny
from tests.training.test_recipe import data_of

TINY = {"causal": "llama", "seq2seq": "t5", "encoder": "bert"}
OFFERED = [(family, method) for family in TINY for method in offered(family, cuda=False)]
OTHERS = [(kind, method) for kind in ("gpt2", "qwen3", "gemma", "bart") for method in ("lora", "ia3", "prompt", "full")]
RATES = {"vera": 0.1, "ia3": 0.1, "prompt": 0.3}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made: dict[str, Path] = {}

    def base(kind: str) -> Path:
        return made.setdefault(kind, tiny.make_model(tmp_path_factory.mktemp(kind), kind))

    return base


def a_run(tmp_path, base, kind, method, **fields):
    rows = tiny.labeled if kind == "bert" else tiny.pairs
    snapshot = tiny.make_snapshot(tmp_path / "s", rows(24), [], rows(4, 200), system="Be brief.")
    settings = {"method": method, "max_steps": 3, "learning_rate": RATES.get(method, 1e-2), "checkpoints": 0}
    return tiny.make_run(tmp_path / "run", snapshot, tmp_path / "models", base, **(settings | fields))


def reloaded(run: Path):
    """Base and tuned model of a finished run, from what lies in its folder alone."""
    from peft import PeftModel

    spec = read_train_spec(run)
    if (run / "model").is_dir():
        base = load_base(spec.models, str(run / "model"), "cpu")
        return base, base.model
    labels = None
    if (run / "adapter" / "config.json").is_file():
        names = json.loads((run / "adapter" / "config.json").read_text())["id2label"]
        labels = LabelSet(tuple(names[str(number)] for number in range(len(names))))
    base = load_base(spec.models, spec.base_model, "cpu", labels=(lambda: labels) if labels else None)
    return base, PeftModel.from_pretrained(base.model, run / "adapter")


@pytest.mark.parametrize(("kind", "method"), [*((TINY[family], method) for family, method in OFFERED), *OTHERS])
def test_what_was_trained_is_saved_and_answers_the_same_when_loaded(tmp_path, train, bases, kind, method):
    run = a_run(tmp_path, bases(kind), kind, method)
    code, events = train(run)
    done = data_of(events, "done")[0]
    assert code == 0 and done["tuned_loss"] != done["base_loss"]
    assert [name for name in ("adapter", "model") if (run / name).is_dir()] == [
        "model" if method == "full" else "adapter"
    ]
    base, model = reloaded(run)
    ways, spec = of(base.family), read_train_spec(run)
    rows = ways.read(base, spec, "test", 256, keep_messages=True).rows
    assert overall(ways.row_losses(model, rows, base.tokenizer.pad_token_id, 4)) == pytest.approx(
        done["tuned_loss"], rel=1e-5
    )
    told = {sample["prompt"]: sample["tuned"] for sample in data_of(events, "sample")}
    asked = [row for row in rows if row.messages[-2].content in told]
    assert ways.answers(model, base, asked, spec.sample_tokens) == [told[row.messages[-2].content] for row in asked]
    assert len(asked) == 2 and done["adapter_hash"] == methods.result_hash(
        run / ("model" if method == "full" else "adapter")
    )


@pytest.mark.parametrize(("family", "method"), OFFERED)
def test_the_base_beside_it_stays_the_base(tmp_path, bases, family, method):
    kind = TINY[family]
    rows = tiny.labeled if kind == "bert" else tiny.pairs
    snapshot = tiny.make_snapshot(tmp_path / "s", rows(8))
    spec = TrainSpec(snapshot=snapshot, models=tmp_path, method=method, lora_rank=4)
    base = load_base(tmp_path, str(bases(kind)), "cpu", labels=lambda: snapshot_labels(snapshot))
    ways = of(family)
    read = ways.read(base, spec, "train", 256).rows
    before = overall(ways.row_losses(base.model, read, 0, 8))
    model = methods.attach(base, spec)
    for weight in (one for one in model.parameters() if one.requires_grad):
        torch.nn.init.normal_(weight, std=0.3)
    assert overall(ways.row_losses(model, read, 0, 8)) != pytest.approx(before, rel=2e-6)
    with methods.Untuned(model, base)() as untuned:
        assert overall(ways.row_losses(untuned, read, 0, 8)) == pytest.approx(before, rel=1e-6)
    assert overall(ways.row_losses(model, read, 0, 8)) != pytest.approx(before, rel=2e-6)


def test_a_base_without_a_classifier_says_so_and_its_loss_is_that_of_a_guess(tmp_path, train, bases):
    _, events = train(a_run(tmp_path, bases("bert"), "bert", "lora"))
    assert {sample["base"] for sample in data_of(events, "sample")} == {NO_CLASSIFIER}
    assert data_of(events, "done")[0]["base_loss"] == pytest.approx(torch.log(torch.tensor(3.0)).item(), abs=0.1)


def test_full_fine_tuning_trains_every_weight_and_leaves_the_base_alone(tmp_path, train, bases):
    before = (bases("llama") / "model.safetensors").read_bytes()
    run = a_run(tmp_path, bases("llama"), "llama", "full")
    _, events = train(run)
    state = next(one for one in data_of(events, "state") if "trainable_parameters" in one)
    assert state["trainable_parameters"] == state["parameters"]
    assert (bases("llama") / "model.safetensors").read_bytes() == before
    old, new = load_file(bases("llama") / "model.safetensors"), load_file(run / "model" / "model.safetensors")
    assert all(not torch.equal(old[name].float(), new[name]) for name in old)


def test_lora_plus_learns_b_faster_and_full_its_fresh_head(tmp_path, bases):
    base = load_base(tmp_path, str(bases("llama")), "cpu")
    spec = TrainSpec(snapshot=tmp_path, models=tmp_path, method="lora-plus", learning_rate=1e-3, weight_decay=0.1)
    rates = {group["lr"]: len(group["params"]) for group in methods.groups(methods.attach(base, spec), base, spec)}
    assert rates == {1e-3: 14, 16 * 1e-3: 14}
    base = load_base(tmp_path, str(bases("bert")), "cpu", labels=lambda: LabelSet(("a", "b")))
    spec = TrainSpec(snapshot=tmp_path, models=tmp_path, method="full", learning_rate=1e-3, weight_decay=0.1)
    found = {(group["lr"], group["weight_decay"]) for group in methods.groups(methods.attach(base, spec), base, spec)}
    assert found == {(1e-3, 0.1), (1e-3, 0.0), (1e-2, 0.1), (1e-2, 0.0)}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("attention", {"q_proj", "k_proj", "v_proj", "o_proj"}), ("q_proj, up_proj", {"q_proj", "up_proj"})],
)
def test_target_modules_by_word_and_by_name(tmp_path, bases, wanted, expected):
    base = load_base(tmp_path, str(bases("llama")), "cpu")
    model = methods.attach(base, TrainSpec(snapshot=tmp_path, models=tmp_path, target_modules=wanted))
    assert {name.split(".")[-4] for name, _ in model.named_parameters() if "lora_A" in name} == expected


@pytest.mark.parametrize("wanted", ["nowhere", "(a+)+b", "q_proj,nowhere", " , "])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tmp_path, bases, wanted):
    base = load_base(tmp_path, str(bases("llama")), "cpu")
    with pytest.raises(BadSpec, match="down_proj"):
        methods.attach(base, TrainSpec(snapshot=tmp_path, models=tmp_path, target_modules=wanted))


def test_an_adapter_never_goes_on_the_head_that_is_trained_beside_it(tmp_path, bases):
    base = load_base(tmp_path, str(bases("bert")), "cpu", labels=lambda: LabelSet(("a", "b")))
    model = methods.attach(base, TrainSpec(snapshot=tmp_path, models=tmp_path))
    learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert not any("lora" in name for name in learning if "classifier" in name)
    assert sum("classifier" in name for name in learning) == 2


def test_qlora_without_a_cuda_gpu_is_refused_before_any_loading(tmp_path, train, bases):
    code, events = train(a_run(tmp_path, bases("llama"), "llama", "qlora"))
    assert code == 1 and "needs a CUDA GPU" in data_of(events, "error")[0]["message"]


def test_a_method_is_refused_where_it_is_not_offered(tmp_path, bases):
    base = load_base(tmp_path, str(bases("t5")), "cpu")
    with pytest.raises(BadSpec, match="QLoRA is not for seq2seq models"):
        methods.check_offered("qlora", base)
    assert "qlora" not in offered("seq2seq", True) and "qlora" in offered("causal", True) and len(METHODS) == 10


@pytest.mark.parametrize("method", ["lora", "pissa", "vera", "ia3", "prompt", "full"])
@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_going_on_from_a_finished_run_begins_where_it_ended(tmp_path, train, bases, kind, method):
    run = a_run(tmp_path, bases(kind), kind, method)
    ended = data_of(train(run)[1], "done")[0]["tuned_loss"]
    folder = run / ("model" if method == "full" else "adapter")
    spec = read_train_spec(run).model_copy(update={"start_from": folder})
    base = load_base(spec.models, spec.base_model, "cpu", labels=lambda: snapshot_labels(spec.snapshot))
    model, ways = methods.attach(base, spec), of(base.family)
    rows = ways.read(base, spec, "test", 256).rows
    assert overall(ways.row_losses(model, rows, 0, 4)) == pytest.approx(ended, rel=1e-5)
    assert any(weight.requires_grad for weight in model.parameters())


def test_going_on_by_another_method_or_from_nothing_is_refused(tmp_path, train, bases):
    run = a_run(tmp_path, bases("llama"), "llama", "lora", samples=0)
    train(run)
    base = load_base(tmp_path, str(bases("llama")), "cpu")
    spec = read_train_spec(run).model_copy(update={"start_from": run / "adapter", "method": "ia3"})
    with pytest.raises(BadSpec, match="not trained by IA³"):
        methods.attach(base, spec)
    with pytest.raises(BadModel, match="holds no adapter"):
        methods.attach(base, spec.model_copy(update={"start_from": tmp_path}))


def test_going_on_with_other_labels_is_refused(tmp_path, train, bases):
    run = a_run(tmp_path, bases("bert"), "bert", "full", samples=0)
    train(run)
    base = load_base(tmp_path, str(bases("bert")), "cpu", labels=lambda: LabelSet(("Monday", "kettle", "parcel")))
    with pytest.raises(BadSpec, match="knows other labels"):
        methods.attach(base, read_train_spec(run).model_copy(update={"start_from": run / "model"}))


def test_a_pissa_file_is_plain_lora_on_the_base_as_it_is(tmp_path, train, bases):
    run = a_run(tmp_path, bases("llama"), "llama", "pissa", lora_rank=4, lora_alpha=8)
    train(run)
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 16, True)


def test_prompt_tuning_answers_a_batch_as_it_answers_one(tmp_path, bases):
    from studio.contract.chat import Message
    from studio.models.answers import context_window, greedy_answers

    base = load_base(tmp_path, str(bases("llama")), "cpu")
    model = methods.attach(base, TrainSpec(snapshot=tmp_path, models=tmp_path, method="prompt", prompt_tokens=6))
    torch.nn.init.normal_(next(one for one in model.parameters() if one.requires_grad), std=2.0)
    prompts = [[Message("user", "Where is " + "my order " * count)] for count in (1, 5, 2, 1)]
    together = greedy_answers(model, base.tokenizer, prompts, 8)
    assert together == [greedy_answers(model, base.tokenizer, [one], 8)[0] for one in prompts]
    assert context_window(model) == 250 and not methods.packs(model)
