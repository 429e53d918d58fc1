"""An exported folder read again as its users will: by plain peft and transformers, with nothing of the studio's own.

What it leaves out: llama.cpp (llama.py), and whether the answers are the studio's (parity.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from studio.contract.chat import Message
from studio.contract.plain import one_text
from studio.contract.spec import Family
from studio.contract.tools import template_fields
from studio.export.asking import Reference
from studio.export.parity import Answered
from studio.models.classify import classified
from studio.models.seq2seq import question_ids, start_token

_SAFE: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}

Encode = Callable[[Sequence[Message]], list[int]]
Decode = Callable[[list[int]], str]


def read_merged(folder: Path, family: Family, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer of a merged folder."""
    from transformers import AutoTokenizer

    model = _auto(family).from_pretrained(folder, dtype=dtype, use_safetensors=True, **_SAFE)
    return model.to(device).eval(), AutoTokenizer.from_pretrained(folder, **_SAFE)


def read_adapter(folder: Path, base: Path, family: Family, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer of an adapter's folder on its base. A classifier's labels come from the adapter's folder."""
    from peft import PeftModel
    from transformers import AutoConfig, AutoTokenizer

    options: dict[str, Any] = {}
    if family == "encoder":
        options = {"config": AutoConfig.from_pretrained(folder, **_SAFE), "ignore_mismatched_sizes": True}
    body = _auto(family).from_pretrained(base, dtype=dtype, use_safetensors=True, **options, **_SAFE)
    model: Any = PeftModel.from_pretrained(body, str(folder), local_files_only=True, autocast_adapter_dtype=False)
    return model.to(device).eval(), AutoTokenizer.from_pretrained(folder, **_SAFE)


def read_gguf(file: Path, device: torch.device, dtype: torch.dtype, rope: dict[str, Any] | None = None) -> Any:
    """The model of a GGUF file, dequantised; its words are read by vocabulary.py. `rope`: how the model turns positions
    where that is not the plain way, which transformers does not read from the file."""
    import gguf
    from transformers import AutoModelForCausalLM, GgufConfig

    fields = gguf.GGUFReader(file).fields
    width = int(fields[f"{fields['general.architecture'].contents()}.attention.key_length"].contents())
    # transformers takes every Qwen3 head for 128 wide, whatever the file says.
    options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "head_dim": width}
    if rope:
        options["rope_parameters"] = rope
    model: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=dtype, quantization_config=GgufConfig(dequantize=True), **options
    )
    return model.to(device).eval()


def answers(
    model: Any,
    tokenizer: Any,
    family: Family,
    references: Sequence[Reference],
    ends: Sequence[int] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Answered]:
    """What a folder read again makes of the prompts. `ends`: where a folder cannot say itself what ends an answer."""
    if family == "encoder":
        found = classified(model, tokenizer, [one.messages for one in references])
        ids = [tuple(tokenizer(one_text(one.messages, system=False))["input_ids"]) for one in references]
        return [
            Answered(own[: len(one.prompt)], verdict.text, probability=verdict.probability)
            for one, own, verdict in zip(references, ids, found, strict=True)
        ]
    if family == "seq2seq":

        def encode(messages: Sequence[Message]) -> list[int]:
            return question_ids(tokenizer, messages)
    else:

        def encode(messages: Sequence[Message]) -> list[int]:
            turns = [{"role": m.role, "content": m.content} | template_fields(m.extra) for m in messages]
            given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
            return [int(token) for token in given["input_ids"]]

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True))

    return written(model, encode, decode, references, ends, family == "seq2seq", on_progress)


@torch.inference_mode()
def written(
    model: Any,
    encode: Encode,
    decode: Decode,
    references: Sequence[Reference],
    ends: Sequence[int] | None = None,
    seq2seq: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Answered]:
    """Greedy answers one at a time by transformers' own `generate`, and the scores of the studio's answers."""
    device = next(model.parameters()).device
    found = []
    for number, one in enumerate(references):
        prompt = encode(one.messages)
        ids = torch.tensor([prompt], device=device)
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        stops = {"eos_token_id": list(ends)} if ends else {}
        output = model.generate(**given, do_sample=False, num_beams=1, max_new_tokens=one.limit, **stops)[0].tolist()
        answer = output[1:] if seq2seq else output[len(prompt) :]
        last = model.generation_config.eos_token_id if ends is None else list(ends)
        answer = _until(answer, last if isinstance(last, list) else [last])
        found.append(Answered(tuple(prompt), decode(answer), tuple(answer), _scores(model, given, one, seq2seq)))
        on_progress(number + 1)
    return found


def _scores(model: Any, given: dict[str, Any], one: Reference, seq2seq: bool) -> torch.Tensor:
    ids = given["input_ids"]
    if seq2seq:
        begun = torch.tensor([[start_token(model), *one.answer]], device=ids.device)
        logits: torch.Tensor = model(**given, decoder_input_ids=begun).logits
    else:
        whole = torch.cat([ids, torch.tensor([list(one.answer)], dtype=ids.dtype, device=ids.device)], dim=1)
        logits = model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits
    return logits[0, -len(one.answer) - 1 :].float().cpu()


def _until(ids: list[int], ends: Sequence[int | None]) -> list[int]:
    at = next((n for n, token in enumerate(ids) if token in ends), len(ids))
    return ids[:at]


def _auto(family: Family) -> Any:
    import transformers as hf

    if family == "seq2seq":
        return hf.AutoModelForSeq2SeqLM
    return hf.AutoModelForSequenceClassification if family == "encoder" else hf.AutoModelForCausalLM
