"""A causal model as one GGUF file, f16 or q8_0: names and settings as llama.cpp reads them, tensors one at a time.

The Llama family alone: Llama, Mistral, Qwen2, Qwen3. What it leaves out: stretched positions (rope scaling, but for
that of Llama 3), mixtures of experts, sliding windows; each is refused in one sentence before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.contract.chat import Message, prompt_ids
from studio.errors import BadModel
from studio.export.vocabulary import Vocabulary, read_vocabulary

FILES = {"gguf": "model-f16.gguf", "gguf-q8_0": "model-q8_0.gguf"}
"""The file's name by format."""

_ARCHITECTURES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
_ROPES = {"LLAMA": ("default", "llama3")}
"""How positions may be turned, where it is not the plain way alone."""

_F16_LARGEST = 65504.0


def check_architecture(config: Any, tokenizer: Any) -> None:
    """Raise BadModel for a model that cannot be written."""
    kind = str(getattr(config, "model_type", ""))
    if kind not in _ARCHITECTURES:
        raise BadModel(
            f"A model of the kind '{kind[:40]}' cannot be written as GGUF here (only Llama, Mistral, Qwen2 and Qwen3 "
            "can): export it as merged, and convert that folder with llama.cpp's own script."
        )
    rope = getattr(config, "rope_parameters", None) or {}
    stretched = str(rope.get("rope_type", "default")) not in _ROPES.get(_ARCHITECTURES[kind], ("default",))
    window = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", kind == "mistral")
    odd = getattr(config, "hidden_act", "silu") != "silu"
    if stretched or window or odd:
        what = "stretched positions" if stretched else "a sliding window" if window else "another activation"
        raise BadModel(
            f"This model has {what}, which cannot be written as GGUF here: export it as merged, and convert that "
            "folder with llama.cpp's own script."
        )
    read_vocabulary(tokenizer, int(config.vocab_size))


@dataclass(frozen=True)
class About:
    """What a file says of itself. `ends`: tokens that end an answer, the tokenizer's own among them."""

    name: str
    licence: str
    ends: tuple[int, ...]


def write_gguf(path: Path, model: Any, tokenizer: Any, quantised: bool, about: About) -> Vocabulary:
    """Write a model (float32, on the CPU) with its words; the vocabulary as written. Raises BadModel, OSError."""
    import gguf

    config = model.config
    words = read_vocabulary(tokenizer, int(config.vocab_size))
    arch = getattr(gguf.MODEL_ARCH, _ARCHITECTURES[config.model_type])
    kind = gguf.GGMLQuantizationType.Q8_0 if quantised else gguf.GGMLQuantizationType.F16
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    try:
        _settings(writer, config, quantised, about)
        _words(writer, words, tokenizer, about.ends)
        names = gguf.get_tensor_name_map(arch, int(config.num_hidden_layers))
        plan = list(_tensors(model, names, kind))
        for name, tensor, quant in plan:
            shape = tuple(tensor.shape)
            raw = gguf.quant_shape_to_byte_shape(shape, quant) if quant == gguf.GGMLQuantizationType.Q8_0 else shape
            number = {"F32": np.float32, "F16": np.float16, "Q8_0": np.uint8}[quant.name]
            size = int(np.prod(raw)) * np.dtype(number).itemsize
            writer.add_tensor_info(name, raw, np.dtype(number), size, quant)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor, quant in plan:
            numbers = _permuted(name, tensor, config).numpy()
            writer.write_tensor_data(gguf.quants.quantize(numbers, quant))
    finally:
        writer.close()
    return words


def read_words(path: Path) -> tuple[Vocabulary, str]:
    """Vocabulary and chat template of a GGUF file, as it lies on the disk."""
    import gguf

    fields = gguf.GGUFReader(path).fields

    def of(name: str) -> Any:
        return fields[f"tokenizer.{name}"].contents()

    words = Vocabulary(
        tuple(of("ggml.tokens")), tuple(of("ggml.token_type")), tuple(of("ggml.merges")), str(of("ggml.pre"))
    )
    return words, str(of("chat_template"))


def _settings(writer: Any, config: Any, quantised: bool, about: About) -> None:
    import gguf

    heads = int(config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    writer.add_type("model")
    writer.add_name(about.name)
    if about.licence:
        writer.add_license(about.licence)
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(int(config.hidden_size))
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(getattr(config, "num_key_value_heads", None) or heads))
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_rope_freq_base(float((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)))
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(int(config.vocab_size))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantised else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _words(writer: Any, words: Vocabulary, tokenizer: Any, ends: Sequence[int]) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.cut)
    writer.add_token_list(list(words.tokens))
    writer.add_token_types(list(words.kinds))
    writer.add_token_merges(list(words.merges))
    eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else (ends[0] if ends else None)
    others = [token for token in ends if token != eos]
    named = {
        "bos": tokenizer.bos_token_id,
        "eos": eos,
        "eot": others[0] if others else None,
        "unk": tokenizer.unk_token_id,
        "pad": tokenizer.pad_token_id,
    }
    for name, token in named.items():
        if token is not None:
            getattr(writer, f"add_{name}_token_id")(int(token))
    writer.add_add_bos_token(begins_with_bos(tokenizer))
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def begins_with_bos(tokenizer: Any) -> bool:
    """Whether a rendered conversation begins with the token of beginnings. llama.cpp sets it before a text by itself
    (and takes away the template's own); before one that was trained without it would be a token too many."""
    bos = tokenizer.bos_token_id
    # ChatML names "<|im_start|>" its beginning, and writes it with each turn: there is none to be set in front.
    rendered = prompt_ids(tokenizer, [Message("user", "a"), Message("assistant", "b"), Message("user", "c")])
    return bos is not None and rendered[:1] == [bos] and rendered.count(bos) == 1


def _tensors(model: Any, names: Any, kind: Any) -> Iterator[tuple[str, torch.Tensor, Any]]:
    """Name, weights and number format of each tensor; tied scores are left out, as llama.cpp takes the embedding."""
    import gguf

    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    if (factors := rope_factors(model)) is not None:
        yield "rope_freqs.weight", factors, gguf.GGMLQuantizationType.F32
    for name, tensor in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise BadModel(f"The tensor '{name[:80]}' has no name in GGUF: export this run as merged.")
        tensor = tensor.detach().to(torch.float32)
        if tensor.ndim < 2:
            yield known, tensor, gguf.GGMLQuantizationType.F32
            continue
        if float(tensor.abs().max()) > _F16_LARGEST:
            raise BadModel("Weights of this model are too large for 16 bits: export it as merged.")
        fits = tensor.shape[-1] % 32 == 0
        yield known, tensor, kind if fits else gguf.GGMLQuantizationType.F16


def rope_factors(model: Any) -> torch.Tensor | None:
    """By how much each pair's turning is slowed down, shape (head width / 2,); None where none is."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    if str(rope.get("rope_type", "default")) == "default":
        return None
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    plain = 1.0 / float(rope["rope_theta"]) ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    return (plain / model.model.rotary_emb.inv_freq.double()).float()


def _permuted(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Query and key weights of the Llama kind turn pairs of neighbours; transformers' turn halves of a head."""
    if _ARCHITECTURES[config.model_type] != "LLAMA" or not any(part in name for part in ("attn_q.", "attn_k.")):
        return tensor.contiguous()
    heads = int(config.num_attention_heads)
    if "attn_k." in name:
        heads = int(getattr(config, "num_key_value_heads", None) or heads)
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape).contiguous()
