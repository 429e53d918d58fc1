"""Tokenizers as GGUF has them: the name of how text is cut, tokens and merges, and the real starter's file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from studio.errors import BadModel
from studio.export.gguf_file import read_words
from studio.export.vocabulary import CONTROL, CUTS, NORMAL, UNUSED, read_vocabulary, rebuilt
from studio.models.starters import starter_file
from tests import tiny

TEXTS = [
    "The kettle sings before the water boils.",
    "It's 12345 o'clock,  isn't IT?\n\n\tdef f(x):\r\n  return x**2",
    "Zürich, naïve façades, 東京 🎂 ½ e\u0301",
    "<|im_start|>user\nWhere?<|im_end|>\n",
]


def cut_as(name: str) -> Any:
    """The tiny tokenizer with another way to cut text."""
    tokenizer = tiny.make_tokenizer()
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    told["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": CUTS[name]}
    told["model"]["ignore_merges"] = name == "llama-bpe"
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(told)), eos_token="<|im_end|>")


@pytest.mark.parametrize("name", list(CUTS))
def test_a_tokenizer_made_of_the_file_alone_reads_the_same(name: str) -> None:
    tokenizer = cut_as(name)
    words = read_vocabulary(tokenizer, len(tokenizer) + 3)
    assert words.cut == name and len(words.tokens) == len(tokenizer) + 3
    assert words.kinds[-3:] == (UNUSED,) * 3 and words.kinds[:7] == (CONTROL,) * 7 and NORMAL in words.kinds
    own = rebuilt(words)
    for text in TEXTS:
        assert own.encode(text, add_special_tokens=False).ids == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_cuts_differ() -> None:
    text = "in 12345!\n"
    found = {
        name: tuple(rebuilt(read_vocabulary(cut_as(name), 0)).pre_tokenizer.pre_tokenize_str(text)) for name in CUTS
    }
    assert len(set(found.values())) == len(CUTS)


def test_another_kind_of_tokenizer_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadModel, match="no byte-level BPE"):
        read_vocabulary(tiny.make_bert_tokenizer(), 10)
    backend = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    with pytest.raises(BadModel, match=r"no name in llama\.cpp"):
        read_vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend), 10)


def test_a_real_file_is_read_as_llama_cpp_reads_it() -> None:
    words, template = read_words(starter_file())
    assert (words.cut, len(words.tokens), len(words.merges)) == ("smollm", 49152, 48900)
    assert "You are a helpful AI assistant named SmolLM" in template
    text = "<|im_start|>user\nWhere is my order 12345?<|im_end|>\n"
    # As llama.cpp's own server (b11549) answered to /tokenize.
    expected = [1, 4093, 198, 9576, 314, 957, 1686, 216, 33, 34, 35, 36, 37, 47, 2, 198]
    assert rebuilt(words).encode(text, add_special_tokens=False).ids == expected
