"""Streamed pieces join to the whole text, whatever the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from studio.inference.text import AnswerText
from tests.inference.conftest import make_tokenizer


def spaced_tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece's way: words carry a leading mark, the first space of a text is stripped, bytes for the rest."""
    words = ["<unk>", "▁hello", "▁world", "▁a", "!", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[], byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<unk>")


def pieces(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], stop: Sequence[str] = ()) -> list[str]:
    text = AnswerText(tokenizer, stop)
    return [*(text.push(token) for token in ids), text.flush()]


@pytest.mark.parametrize(
    "text", ["plain", " leading", "äöü €", "😀👍🏽 family 👨‍👩‍👧", "中文字符", "a\n\n b  c\t", "e\u0301"]
)
def test_bytes_join_to_whole_characters(text: str) -> None:
    tokenizer = make_tokenizer()
    given = pieces(tokenizer, tokenizer(text)["input_ids"])
    assert "".join(given) == text
    assert not any("\ufffd" in piece for piece in given)


def test_stripped_leading_spaces_are_not_lost_between_words() -> None:
    tokenizer = spaced_tokenizer()
    euro = [5 + byte for byte in "€".encode()]
    ids = [1, 2, 4, 3, *euro, *euro, 2]
    given = pieces(tokenizer, ids)
    assert "".join(given) == tokenizer.decode(ids) == "hello world! a€€ world"
    assert len([piece for piece in given if piece]) == 7


def test_a_character_that_is_never_completed_is_shown_at_last() -> None:
    tokenizer = make_tokenizer()
    half = tokenizer("€")["input_ids"][:2]
    assert "".join(pieces(tokenizer, [*tokenizer("a")["input_ids"], *half])) == "a\ufffd"
    assert len("".join(pieces(tokenizer, half[:1] * 50)[:-1])) > 20


def test_text_that_may_begin_a_stop_string_waits() -> None:
    tokenizer = make_tokenizer()
    given = pieces(tokenizer, tokenizer("one ##two###three")["input_ids"], ["###"])
    assert "".join(given) == "one ##two"
    assert given[:8] == ["o", "n", "e", " ", "", "", "##t", "w"]


def test_held_text_is_given_at_the_end() -> None:
    tokenizer = make_tokenizer()
    assert pieces(tokenizer, tokenizer("ab##")["input_ids"], ["###"]) == ["a", "b", "", "", "##"]


def test_the_earliest_of_several_stop_strings_wins() -> None:
    tokenizer = make_tokenizer()
    assert "".join(pieces(tokenizer, tokenizer("a,b.c")["input_ids"], [".", ","])) == "a"
