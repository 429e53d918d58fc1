"""A tokenizer as GGUF has it: tokens with their kinds, merges, the name of how text is cut first; and back again.

Byte-level BPE alone (Llama 3, Qwen, SmolLM, GPT-2). llama.cpp knows how a model cuts text into words by a name only, so
a tokenizer that cuts otherwise than each name that is known here is refused. What it leaves out: SentencePiece.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.errors import BadModel

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
_BYTES: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS: dict[str, Any] = {"type": "Digits", "individual_digits": True}


def _split(pattern: str) -> list[dict[str, Any]]:
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [cut, {**_BYTES, "use_regex": False}]


CUTS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [_BYTES],
    "smollm": [_DIGITS, _BYTES],
    "llama-bpe": _split(_LLAMA3),
    "qwen2": _split(_QWEN2),
}
"""llama.cpp's name (`tokenizer.ggml.pre`), and the steps of the tokenizers library that cut in the same way."""

NORMAL, CONTROL, USER, UNUSED = 1, 3, 4, 5
"""GGUF's kinds of tokens."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id with their kinds, merges as "a b", and llama.cpp's name of the cut. `normalised`: texts are put
    into Unicode's form C first, which llama.cpp does not do."""

    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    cut: str
    normalised: bool = False


def read_vocabulary(tokenizer: Any, rows: int) -> Vocabulary:
    """The vocabulary of a tokenizer; `rows` is that of the model's embedding. Raises BadModel, in one sentence."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    told: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {}
    model = told.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise BadModel(
            "This model's tokenizer is no byte-level BPE (as Llama 3, Qwen and SmolLM have), so it cannot be written "
            "as GGUF: export it as merged."
        )
    cut = _cut(told.get("pre_tokenizer"))
    kind = (told.get("normalizer") or {}).get("type")
    if cut is None or kind not in (None, "NFC") or bool(model.get("ignore_merges")) != (cut == "llama-bpe"):
        raise BadModel(
            "This model's tokenizer cuts text in a way that has no name in llama.cpp as far as is known here, so it "
            "cannot be written as GGUF: export it as merged."
        )
    by_id = {int(number): str(token) for token, number in model["vocab"].items()}
    kinds = dict.fromkeys(by_id, NORMAL)
    for added in told.get("added_tokens") or []:
        by_id[int(added["id"])] = str(added["content"])
        kinds[int(added["id"])] = CONTROL if added.get("special") else USER
    numbers = range(max(rows, max(by_id) + 1))
    tokens = tuple(by_id.get(number, f"[PAD{number}]") for number in numbers)
    merges = tuple(one if isinstance(one, str) else " ".join(one) for one in model["merges"])
    return Vocabulary(tokens, tuple(kinds.get(number, UNUSED) for number in numbers), merges, cut, kind == "NFC")


def rebuilt(words: Vocabulary) -> Any:
    """A tokenizer (of the tokenizers library) made of nothing but what a GGUF file holds, cut as llama.cpp does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models

    vocab = {token: number for number, token in enumerate(words.tokens) if words.kinds[number] in (NORMAL, CONTROL)}
    merges = [(first, second) for first, _, second in (one.partition(" ") for one in words.merges)]
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=words.cut == "llama-bpe"))
    steps = CUTS[words.cut]
    whole = {"type": "Sequence", "pretokenizers": steps} if len(steps) > 1 else steps[0]
    made = Tokenizer.from_str(json.dumps(json.loads(made.to_str()) | {"pre_tokenizer": whole}))
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    own = [(token, words.kinds[number]) for number, token in enumerate(words.tokens)]
    made.add_special_tokens([AddedToken(token, normalized=False) for token, kind in own if kind == CONTROL])
    made.add_tokens([AddedToken(token, normalized=False) for token, kind in own if kind == USER])
    return made


def _cut(steps: Mapping[str, Any] | None) -> str | None:
    """The name of a pre-tokenizer; None for one that has none."""
    if not steps:
        return None
    told: Sequence[Any] = steps["pretokenizers"] if steps.get("type") == "Sequence" else [steps]
    return next((name for name, known in CUTS.items() if _alike(told, known)), None)


def _alike(told: Sequence[Any], known: Sequence[Any]) -> bool:
    # trim_offsets tells where a token stood in the text, and changes no token.
    plain = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in told]
    return plain == [{key: value for key, value in step.items() if key != "trim_offsets"} for step in known]
