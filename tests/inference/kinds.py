"""Tiny random models of each family, and run folders of each method as the trainer leaves them, by peft itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, LoraConfig, PeftConfig, PromptTuningConfig, VeraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

CONTEXT = 96
LABELS = ("late delivery", "refund", "zürich, again")
_SHAPE = {"vocab_size": 258, "pad_token_id": 1, "eos_token_id": 257}

METHODS: dict[str, Callable[[str], PeftConfig]] = {
    "lora": lambda task: LoraConfig(r=4, target_modules="all-linear", task_type=task),
    "rslora": lambda task: LoraConfig(r=4, target_modules="all-linear", use_rslora=True, task_type=task),
    "dora": lambda task: LoraConfig(r=4, target_modules="all-linear", use_dora=True, task_type=task),
    "vera": lambda task: VeraConfig(r=8, target_modules=_linear(task), task_type=task),
    "ia3": lambda task: IA3Config(task_type=task),
    "prompt": lambda task: PromptTuningConfig(num_virtual_tokens=5, task_type=task),
}
SCALES = {"lora_B": 0.5, "vera_lambda_b": 3.0, "ia3_l": 1.0, "prompt_encoder": 1.0, "classifier": 1.0}


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """One token a letter, each of them shown: two different answers are two different texts."""
    letters = ["\n", "<pad>", *map(chr, range(32, 127)), *(chr(0x100 + number) for number in range(159)), "ä"]
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<pad>", "<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")


def save_adapter(runs: Path, run: str, model: Any, config: PeftConfig, seed: int = 1) -> Path:
    """Save an adapter of `model` with random weights as `runs/<run>/adapter`; what a method leaves alone stays."""
    torch.manual_seed(seed)
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if weight.requires_grad and (scale := next((SCALES[part] for part in SCALES if part in name), None)):
                weight.add_(torch.randn_like(weight) * scale)
    folder = runs / run / "adapter"
    tuned.save_pretrained(folder)
    return folder


def save_full(runs: Path, run: str, model: Any, seed: int = 9, scale: float = 0.1) -> Path:
    """Save `model` with every weight changed, and its tokenizer, as `runs/<run>/model`."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * scale)
    folder = runs / run / "model"
    model.save_pretrained(folder)
    letter_tokenizer().save_pretrained(folder)
    return folder


def save_base(folder: Path, model: Any) -> Path:
    """A base model's folder with the tokenizer of letters, whose template is the plain one."""
    model.save_pretrained(folder)
    letter_tokenizer().save_pretrained(folder)
    return folder


def make_seq2seq(kind: str) -> Any:
    """A random T5 or BART, with weights large enough that its answers differ from prompt to prompt."""
    torch.manual_seed(4)
    if kind == "t5":
        shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "initializer_factor": 1.0}
        model: Any = T5ForConditionalGeneration(T5Config(**_SHAPE, **shape, decoder_start_token_id=1))
    else:
        layers = {f"{side}_{what}": value for side in ("encoder", "decoder") for what, value in _BART.items()}
        ids = {"bos_token_id": 1, "decoder_start_token_id": 257, "forced_eos_token_id": None}
        model = BartForConditionalGeneration(
            BartConfig(**_SHAPE, **layers, **ids, d_model=32, max_position_embeddings=CONTEXT, init_std=0.4)
        )
    strong = ("encoder_attn.out_proj", "encoder_attn.q_proj", "fc2") if kind == "bart" else (".",)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "shared" not in name and any(part in name for part in strong):
                weight.mul_(5.0)
    return model.eval()


_BART = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}


def make_encoder(kind: str = "bert", labels: tuple[str, ...] | None = LABELS, several: bool = False) -> Any:
    """A random classifier; without labels it has the head that transformers gives to a bare encoder."""
    torch.manual_seed(5)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    more: dict[str, Any] = {} if labels is None else {"id2label": dict(enumerate(labels)), "num_labels": len(labels)}
    if labels is not None:
        more["problem_type"] = f"{'multi' if several else 'single'}_label_classification"
    kinds = {
        "bert": (BertConfig, BertForSequenceClassification),
        "roberta": (RobertaConfig, RobertaForSequenceClassification),
    }
    config, model = kinds[kind]
    made = config(
        **_SHAPE, **shape, **more, max_position_embeddings=CONTEXT + 2 * (kind == "roberta"), initializer_range=0.4
    )
    return model(made).eval()


def save_bare_encoder(folder: Path, kind: str = "bert") -> Path:
    """An encoder without any head, as MiniLM comes."""
    body = make_encoder(kind, None).base_model
    if kind == "bert":
        assert body.pooler is not None
    return save_base(folder, body)


def save_classifier(runs: Path, run: str, base: Path, method: str, several: bool = False, seed: int = 1) -> Path:
    """An encoder's adapter with its head and, beside it, the config that names the labels."""
    model = classifier_over(base, LABELS, several)
    folder = save_adapter(runs, run, model, METHODS[method]("SEQ_CLS"), seed)
    model.config.save_pretrained(folder)
    return folder


def classifier_over(base: Path, labels: tuple[str, ...], several: bool = False) -> Any:
    """The bare encoder with a head that is random but for a fixed seed."""
    torch.manual_seed(11)
    kind = f"{'multi' if several else 'single'}_label_classification"
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(labels), id2label=dict(enumerate(labels)), problem_type=kind
    )
    return model.eval()


def edit_json(path: Path, **fields: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def _linear(task: str) -> list[str]:
    return {
        "CAUSAL_LM": ["q_proj", "v_proj", "down_proj"],
        "SEQ_CLS": ["query", "value"],
        "SEQ_2_SEQ_LM": ["q", "v", "q_proj", "v_proj"],
    }[task]
