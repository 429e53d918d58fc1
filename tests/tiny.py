"""Tiny random models and snapshots, made on the spot: no download, and a whole run in seconds.

Real tokenizers (byte-level BPE, trained on a few lines here) and real architectures, two layers deep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ '<|begin|>' }}{% for m in messages %}"
    "{{ '<|head|>' + m['role'] + '<|end_head|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant<|end_head|>\n\n' }}{% endif %}"
)

_SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>", "<|begin|>", "<|head|>", "<|end_head|>", "<|eot|>"]
_EOS = {CHATML: "<|im_end|>", LLAMA3: "<|eot|>", None: "<|end|>"}
_TEXT = [
    "The kettle sings before the water boils.",
    "Where is my order? It left the warehouse on Monday.",
    "user system",
]


def make_tokenizer(template: str | None = CHATML) -> Any:
    """A byte-level BPE tokenizer of about 400 tokens with the given chat template (None: none, as GPT-2 has)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    bpe.train_from_iterator(_TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=_EOS.get(template, "<|im_end|>"))
    tokenizer.add_special_tokens({"additional_special_tokens": _SPECIAL})
    tokenizer.chat_template = template
    return tokenizer


def make_model(
    folder: Path, family: str = "llama", template: str | None = CHATML, seed: int = 0, positions: int = 256
) -> Path:
    """A random two-layer model ('llama', 'gpt2' or 'gemma2') with its tokenizer, saved to `folder`."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = make_tokenizer(template)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(_config(family, len(tokenizer), tokenizer.eos_token_id, positions))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pairs(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Prompts and answers of different lengths, each different."""
    words = ["kettle", "order", "Monday", "water", "warehouse"]
    return [
        (f"Where is {words[n % 5]} {n}?" + " Please." * (n % 4), f"The {words[n % 5]} left. " * (1 + n % 3) + str(n))
        for n in range(start, start + count)
    ]


def make_snapshot(
    folder: Path,
    train: Sequence[tuple[str, str]],
    validation: Sequence[tuple[str, str]] = (),
    test: Sequence[tuple[str, str]] = (),
    system: str = "",
) -> Path:
    """A snapshot folder of question/answer pairs as the data room writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        write_split(folder / f"{name}.parquet", [_turns(question, answer, system) for question, answer in rows])
    return folder


def write_split(path: Path, conversations: Sequence[list[dict[str, Any]]]) -> None:
    """One Parquet file of whole conversations; without any `train` as the first version wrote it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flags = [("train", pa.bool_())] if any("train" in turn for turns in conversations for turn in turns) else []
    turn = pa.struct([("role", pa.string()), ("content", pa.string()), *flags])
    names = [f"{path.stem}-{number}" for number in range(len(conversations))]
    columns = {"messages": pa.array(conversations, pa.list_(turn))}
    columns |= {key: pa.array(names, pa.string()) for key in ("example_id", "annotation_id", "group")}
    pq.write_table(pa.table(columns), path)


def make_run(run_dir: Path, snapshot: Path, models: Path, base_model: Path | str, **fields: object) -> Path:
    """A run folder with a spec that takes seconds; `fields` override it."""
    small: dict[str, object] = {"epochs": 2, "batch_size": 4, "lora_rank": 4, "samples": 2, "sample_tokens": 4}
    spec = {"snapshot": str(snapshot), "models": str(models), "base_model": str(base_model), "device": "cpu"}
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "spec.json").write_text(json.dumps(spec | small | fields))
    return run_dir


def _turns(question: str, answer: str, system: str) -> list[dict[str, str]]:
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _config(family: str, vocabulary: int, eos: int, positions: int) -> Any:
    from transformers import Gemma2Config, GPT2Config, LlamaConfig

    ends = {"vocab_size": vocabulary, "bos_token_id": None, "eos_token_id": eos, "pad_token_id": eos}
    if family == "gpt2":
        return GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=positions, **ends)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": positions}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    if family == "gemma2":
        return Gemma2Config(head_dim=16, final_logit_softcapping=5.0, **shape, **heads, **ends)
    return LlamaConfig(**shape, **heads, **ends)
