"""Whole exports of tiny models: each is loaded as its users load it, and a wrong one leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
import yaml

from studio.errors import BadInput, BadModel, DiskFull, JobFailed
from studio.export import exporting, gguf_file, llama
from studio.models.heads import LabelSet, name_labels
from tests import tiny
from tests.export.made import House, full_run, lora_run, make_house


@pytest.fixture
def house(tmp_path: Path) -> House:
    return make_house(tmp_path)


@pytest.fixture(autouse=True)
def without_llama(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "installed", lambda: False)


def scores(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = tokenizer("Where is water?", return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        out: torch.Tensor = model.eval()(input_ids=ids).logits
    return out


def tuned(house: House, run: str = "lora") -> torch.Tensor:
    """The scores of base and adapter as the run's own folder has them."""
    base: Any = transformers.AutoModelForCausalLM.from_pretrained(house.base)
    return scores(
        peft.PeftModel.from_pretrained(base, str(house.runs / run / "adapter")),
        transformers.AutoTokenizer.from_pretrained(house.base),
    )


def test_an_adapter_is_loaded_by_plain_peft(house: House) -> None:
    report = house.export(lora_run(house), "adapter")
    base: Any = transformers.AutoModelForCausalLM.from_pretrained(house.base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(report.target)
    model = peft.PeftModel.from_pretrained(base, str(report.target))
    assert torch.equal(scores(model, tokenizer), tuned(house)) and tokenizer.chat_template == tiny.CHATML
    (parity,) = report.parity
    assert (parity.prompts, parity.same_ids, parity.same_text, parity.near_ties) == (6, 6, 6, 0)
    assert parity.reader == "peft" and parity.error is not None and parity.error < 1e-4


def test_a_merged_model_is_loaded_by_plain_transformers(house: House) -> None:
    report = house.export(lora_run(house), "merged")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(report.target)
    tokenizer = transformers.AutoTokenizer.from_pretrained(report.target)
    assert torch.allclose(scores(model, tokenizer), tuned(house), atol=1e-5)
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id] and not model.generation_config.do_sample
    assert (
        not list(report.target.glob("*adapter*")) and str(house.root) not in (report.target / "config.json").read_text()
    )


def test_a_base_in_bfloat16_stays_so_only_where_no_answer_changes(house: House) -> None:
    base: Any = transformers.AutoModelForCausalLM.from_pretrained(house.base)
    base.to(torch.bfloat16).save_pretrained(house.base)
    report = house.export(lora_run(house), "merged")
    kept = report.weights == "bfloat16"
    assert kept or "kept in float32" in report.notes[0]
    assert report.parity[0].near_ties == 0


def test_a_custom_chat_template_travels(house: House) -> None:
    run = lora_run(house)
    template = tiny.CHATML.replace("assistant", "helper")
    (house.runs / run / "adapter" / "chat_template.jinja").write_text(template)
    for wanted in ("adapter", "merged"):
        report = house.export(run, wanted)
        assert transformers.AutoTokenizer.from_pretrained(report.target).chat_template == template


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_gguf_holds_what_the_model_holds(tmp_path: Path, family: str, kind: str) -> None:
    import gguf

    house = make_house(tmp_path, family)
    run = lora_run(house) if kind == "lora" else full_run(house, family)
    report = house.export(run, "gguf", system='Say "hi".')
    reader = gguf.GGUFReader(report.target / "model-f16.gguf")
    told = {name: field.contents() for name, field in reader.fields.items() if "ggml.tok" not in name}
    assert told["general.architecture"] == family and told["tokenizer.ggml.pre"] == "gpt-2"
    assert told[f"{family}.attention.head_count_kv"] == 1 and told["tokenizer.chat_template"] == tiny.CHATML
    assert not told["tokenizer.ggml.add_bos_token"]
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F16", "F32"}
    text = (report.target / "Modelfile").read_text()
    assert 'PARAMETER stop "<|im_end|>"' in text and 'SYSTEM """Say "hi"."""' in text and "TEMPLATE" in text
    assert report.parity[0].same_ids == 6 and "llama.cpp is not installed" in report.notes[0]


def test_eight_bits_are_half_the_size_and_allowed_more(house: House) -> None:
    run = full_run(house)
    whole, small = house.export(run, "gguf"), house.export(run, "gguf-q8_0")
    sizes = [next(file.size for file in one.files if file.name.endswith(".gguf")) for one in (whole, small)]
    assert sizes[1] < sizes[0] and small.weights == "q8_0"
    assert (small.parity[0].tolerance or 0) > (whole.parity[0].tolerance or 0)
    assert whole.parity[0].error < small.parity[0].error < 0.05  # type: ignore[operator]


@pytest.mark.skipif(not llama.installed(), reason="llama.cpp is not installed")
def test_llama_cpp_answers_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "installed", lambda: True)
    for run in (lora_run(house), full_run(house)):
        report = house.export(run, "gguf")
        ours = report.parity[1]
        assert ours.reader == "llama.cpp" and ours.same_ids == 6 and ours.same_text + ours.near_ties == 6


def test_a_base_model_is_exported_without_a_run(house: House) -> None:
    report = house.export("", "merged", snapshot=None, questions=20)
    assert report.parity[0].prompts == 20 and report.run == ""
    with pytest.raises(BadInput, match="has no adapter"):
        house.export("", "adapter")


@pytest.mark.parametrize("wanted", ["adapter", "merged"])
def test_seq2seq_and_classifiers(tmp_path: Path, wanted: str) -> None:
    house = make_house(tmp_path / "t5", "t5")
    run = lora_run(house, kind="AutoModelForSeq2SeqLM", target_modules=["q", "v"])
    report = house.export(run, wanted)
    assert report.family == "seq2seq" and report.parity[0].same_text == 6 and report.parity[0].error is not None
    house = make_house(tmp_path / "bert", "bert")
    run = classifier_run(house)
    report = house.export(run, wanted)
    assert report.family == "encoder" and report.parity[0].same_text == 6 and (report.parity[0].largest or 0) < 1e-4
    assert not (report.target / "generation_config.json").exists()


def classifier_run(house: House) -> str:
    """A run of an encoder with three labels."""
    config = transformers.AutoConfig.from_pretrained(house.base)
    config.architectures = ["BertForSequenceClassification"]
    config.save_pretrained(house.base)
    settings: dict[str, Any] = {"target_modules": ["query", "value"], "modules_to_save": ["classifier"]}
    name_labels(config, LabelSet(("kettle", "order", "Monday")))
    torch.manual_seed(3)
    body: Any = transformers.AutoModelForSequenceClassification.from_pretrained(house.base, config=config)
    body.save_pretrained(house.base)
    run = lora_run(house, kind="AutoModelForSequenceClassification", **settings)
    config.save_pretrained(house.runs / run / "adapter")
    return run


def test_a_wrong_merge_is_an_error_and_leaves_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lora_run(house)
    monkeypatch.setattr(
        exporting, "merged_model", lambda *told: transformers.AutoModelForCausalLM.from_pretrained(house.base)
    )
    for wanted in ("merged", "gguf"):
        with pytest.raises(JobFailed, match="nothing was exported"):
            house.export(run, wanted)
    assert house.left() == []


def test_heads_in_the_wrong_order_are_noticed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full_run(house)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(house.runs / run / "model")
    for layer in model.model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            part.weight.data.mul_(20)  # random models hardly look at what is before
    model.save_pretrained(house.runs / run / "model")
    assert house.export(run, "gguf").parity
    monkeypatch.setattr(gguf_file, "_permuted", lambda name, tensor, config: tensor.contiguous())
    with pytest.raises(JobFailed, match="Read by transformers"):
        house.export(run, "gguf-q8_0")
    assert house.left() == ["full-gguf"]


def test_another_template_in_the_folder_is_noticed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    write = exporting.write_adapter

    def spoilt(folder: Path, *told: Any) -> None:
        write(folder, *told)
        (folder / "chat_template.jinja").write_text(tiny.LLAMA3)

    monkeypatch.setattr(exporting, "write_adapter", spoilt)
    with pytest.raises(JobFailed, match="6 of 6 prompts into other tokens"):
        house.export(lora_run(house), "adapter")
    assert house.left() == []


def test_what_cannot_be_made_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "load_base", lambda *told: pytest.fail("it was loaded"))
    other = make_house(tmp_path / "gpt2", "gpt2")
    with pytest.raises(BadModel, match="of the kind 'gpt2' cannot be written as GGUF"):
        other.export("", "gguf")
    seq2seq = make_house(tmp_path / "t5", "t5")
    with pytest.raises(BadInput, match="from left to right"):
        seq2seq.export("", "gguf")
    house = make_house(tmp_path / "llama")
    with pytest.raises(BadInput, match="so it has no adapter"):
        house.export(full_run(house), "adapter")
    prompt = lora_run(house, "prompt", config=peft.PromptTuningConfig, num_virtual_tokens=3)
    with pytest.raises(BadInput, match="no weights to merge"):
        house.export(prompt, "merged")
    (house.root / "full-merged").mkdir()
    (house.root / "full-merged" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        house.export("full", "merged")
    assert (house.root / "full-merged" / "mine.txt").read_text() == "mine"


@pytest.mark.skipif(not llama.installed(), reason="llama.cpp is not installed")
def test_llama_cpp_reads_the_stretched_positions_of_llama_3(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    path = house.base / "config.json"
    config = json.loads(path.read_text())
    config["rope_parameters"] = rope | {"original_max_position_embeddings": 32}
    path.write_text(json.dumps(config))
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(house.base)
    for layer in model.model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            part.weight.data.mul_(20)
    model.save_pretrained(house.base)
    monkeypatch.setattr(llama, "installed", lambda: True)
    report = house.export("", "gguf")
    assert report.parity[1].same_text + report.parity[1].near_ties == 6
    monkeypatch.setattr(gguf_file, "rope_factors", lambda model: torch.ones(8))
    with pytest.raises(JobFailed, match=r"Read by llama\.cpp"):
        house.export("", "gguf", target=house.root / "wrong-gguf")


def test_positions_that_are_stretched_are_refused(house: House) -> None:
    path = house.base / "config.json"
    config = json.loads(path.read_text())
    config["rope_parameters"] = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    path.write_text(json.dumps(config))
    with pytest.raises(BadModel, match="stretched positions"):
        house.export("", "gguf")


METHODS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True, "lora_alpha": 16},
    "vera": {"config": peft.VeraConfig, "target_modules": ["q_proj"], "r": 4, "save_projection": True},
    "ia3": {"config": peft.IA3Config, "target_modules": ["v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
}


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_that_has_weights_is_merged(house: House, method: str) -> None:
    settings = dict(METHODS[method])
    if "config" in settings:
        settings["init_weights" if method == "vera" else "init_ia3_weights"] = False
    report = house.export(lora_run(house, **settings), "merged", answer_tokens=3)
    assert report.parity[0].same_text == 6 and (report.parity[0].error or 0) < 1e-4


def test_a_full_disk_is_said_and_leaves_nothing(house: House, small_disk: Path) -> None:
    with pytest.raises(OSError), (small_disk / "full").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096) == 4096:
            pass
        raise OSError
    (small_disk / "full").open("r+b").truncate((small_disk / "full").stat().st_size - 32_768)
    with pytest.raises(DiskFull, match="make room"):
        house.export(lora_run(house), "merged", target=small_disk / "out", answer_tokens=2)
    assert [path.name for path in small_disk.iterdir() if path.name != "lost+found"] == ["full"]


def test_prompt_tuning_travels_as_adapter(house: House) -> None:
    run = lora_run(house, "prompt", config=peft.PromptTuningConfig, num_virtual_tokens=3)
    assert house.export(run, "adapter").parity[0].same_text == 6


def test_the_card_is_yaml_and_markdown(house: House) -> None:
    report = house.export(lora_run(house), "adapter")
    card = (report.target / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["library_name"] == "peft" and "license" not in head and "base_model" not in head
    assert report.parity[0].sentence in card and "PeftModel.from_pretrained" in card
    assert {file.name for file in report.files} == {path.name for path in report.target.iterdir()}
