"""Tiny random models and snapshots, made on the spot: no download, and a whole run in seconds.

Real tokenizers (byte-level BPE, trained on a few lines here) and real architectures, two layers deep.
"""

from __future__ import annotations

import json
import re
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


def make_bert_tokenizer() -> Any:
    """A WordPiece tokenizer of about a hundred tokens that puts [CLS] and [SEP] around a text.

    Its vocabulary is written down, not trained: training breaks ties differently in each process.
    """
    import string

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *string.digits]
    tokens = [*special, *letters, *("##" + one for one in letters), *string.punctuation]
    tokens += sorted({word for line in _TEXT for word in re.findall(r"[a-z]{2,}", line.lower())})
    pieces = Tokenizer(models.WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", special.index("[CLS]")), ("[SEP]", special.index("[SEP]"))]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=pieces, mask_token="[MASK]", **names)


def make_model(
    folder: Path, family: str = "llama", template: str | None = CHATML, seed: int = 0, positions: int = 256
) -> Path:
    """A random two-layer model with its tokenizer, saved to `folder`: a causal one ('llama', 'gpt2', 'qwen3', 'gemma',
    'gemma2'), 't5' or 'bart' (seq2seq), or 'bert' (an encoder without a head)."""
    import torch
    import transformers

    kinds = {"t5": "AutoModelForSeq2SeqLM", "bart": "AutoModelForSeq2SeqLM", "bert": "AutoModel"}
    tokenizer = make_bert_tokenizer() if family == "bert" else make_tokenizer(template if family not in kinds else None)
    torch.manual_seed(seed)
    config = _config(family, len(tokenizer), tokenizer.eos_token_id or 0, positions)
    model = getattr(transformers, kinds.get(family, "AutoModelForCausalLM")).from_config(config)
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


def labeled(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Texts with one of three labels, which their words tell."""
    words = ["kettle", "order", "Monday"]
    return [
        (f"Where is the {words[n % 3]}? " + "It is late. " * (n % 4), words[n % 3]) for n in range(start, start + count)
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
    import transformers as hf
    from transformers import Gemma2Config, GPT2Config, LlamaConfig

    if family == "bert":
        return hf.BertConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=positions,
            pad_token_id=0,
        )
    ends = {"vocab_size": vocabulary, "bos_token_id": None, "eos_token_id": eos, "pad_token_id": eos}
    if family == "gpt2":
        return GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=positions, **ends)
    if family == "t5":
        begin = ends | {"decoder_start_token_id": eos}
        return hf.T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, **begin)
    if family == "bart":
        sides = {f"{side}_{what}": 2 for side in ("encoder", "decoder") for what in ("layers", "attention_heads")}
        widths = {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": positions}
        return hf.BartConfig(
            d_model=32, **sides, **widths, **(ends | {"bos_token_id": eos, "decoder_start_token_id": eos})
        )
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": positions}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    if family == "gemma2":
        return Gemma2Config(head_dim=16, final_logit_softcapping=5.0, **shape, **heads, **ends)
    if family in ("qwen3", "gemma"):
        made = hf.Qwen3Config if family == "qwen3" else hf.GemmaConfig
        return made(head_dim=16, **shape, **heads, **ends)
    return LlamaConfig(**shape, **heads, **ends)
