"""What bench_train trains on: public data, made-up rows for a GPU, random Llamas of real sizes."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path

from tests import tiny

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

SHAPES = {"1b": (2048, 8192, 16, 32, 8), "8b": (4096, 14336, 32, 32, 8)}
"""Llama 3's: width, inner width, layers, heads, key and value heads (vocabulary 128256)."""


def gsm8k(name: str, count: int) -> list[tuple[str, str]]:
    """The first question/answer pairs of a GSM8K file."""
    with (DATA / f"gsm8k_{name}.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in islice(file, count)]
    return [(line["question"], line["answer"]) for line in lines]


def banking(name: str, count: int) -> list[tuple[str, str]]:
    """Questions and intents of banking77, evenly over the file (it is sorted by intent)."""
    with (DATA / f"banking77_{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row[0], row[1]) for row in csv.reader(file)][1:]
    return rows[:: len(rows) // count][:count]


def synthetic(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of random words, 600 to 2000 tokens each for the tiny tokenizer."""
    import random

    chance, words = random.Random(seed), ["kettle", "order", "Monday", "water", "left", "boils", "my", "it"]
    texts = [" ".join(chance.choices(words, k=chance.randint(150, 480))) for _ in range(count)]
    return [(text[: len(text) // 3], text[len(text) // 3 :]) for text in texts]


def random_llama(folder: Path, shape: str) -> Path:
    """A random Llama of a real one's size, in bfloat16, with the tiny tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny.make_tokenizer()
    width, inner, layers, heads, key_heads = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=key_heads, vocab_size=128256, max_position_embeddings=8192, dtype="bfloat16",
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, tie_word_embeddings=shape == "1b",
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
