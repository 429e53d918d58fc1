"""A tiny random language model with adapters, made once a test session: no download, milliseconds a token."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from studio.inference.engine import Engine
from studio.models.loading import load_base

CONTEXT = 256


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with a byte tokenizer, as a model folder."""
    folder = tmp_path_factory.mktemp("base")
    make_tokenizer().save_pretrained(folder)
    make_model(seed=7).save_pretrained(folder)
    return folder


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, so that characters beyond ASCII come in pieces."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<pad>", "<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")


def make_model(seed: int) -> LlamaForCausalLM:
    """Random weights, wide enough that greedy answers differ from prompt to prompt."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
        pad_token_id=256,
        eos_token_id=257,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def make_adapter(runs: Path, run: str, base_folder: Path, scale: float, seed: int = 0, **settings: object) -> Path:
    """Save a LoRA adapter of the tiny model as `runs/<run>/adapter`; `scale` 0 leaves it without effect."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM.from_pretrained(base_folder)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn_like(weight) * scale)
    folder = runs / run / "adapter"
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> Path:
    """A runs folder with the adapters `zero`, `one` and `two`."""
    folder = tmp_path_factory.mktemp("runs")
    make_adapter(folder, "zero", base_folder, scale=0.0)
    make_adapter(folder, "one", base_folder, scale=0.5, seed=1)
    make_adapter(folder, "two", base_folder, scale=0.5, seed=2, lora_alpha=16)
    return folder


@pytest.fixture
def engine(base_folder: Path, runs: Path, tmp_path: Path) -> Engine:
    """An engine over the tiny model with nothing loaded yet."""
    return Engine(load_base(tmp_path / "models", str(base_folder), device="cpu", dtype="float32"), runs)
