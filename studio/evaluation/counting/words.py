"""Texts as words, for scores that compare words: letters of every script, and one by one where a script has no spaces.

For English text the words are exactly those of rouge_score's tokenizer and of the SQuAD script, so published figures
hold; beyond ASCII those two lose letters ("café" is "caf" to rouge_score) or see a Chinese sentence as one word.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

Reference = str | Sequence[str]
"""What was expected: one text, or several of which each is right."""

_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
"""A character of a script without spaces between words: Han, kana, Thai, Lao, Tibetan, Burmese, Khmer."""

_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def every(reference: Reference) -> list[str]:
    """The texts of a reference."""
    return [reference] if isinstance(reference, str) else list(reference)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    return _word_pattern().findall(unicodedata.normalize("NFC", text.lower()))


def normal_answer(text: str) -> str:
    """An answer as the SQuAD 1.1 evaluation script compares it (Rajpurkar et al. 2016): lower case, without ASCII
    punctuation, without English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def answer_tokens(text: str) -> list[str]:
    """The words of a normal answer; characters of scripts without spaces are words of their own."""
    plain = normal_answer(text)
    return plain.split() if plain.isascii() else UNSPACED.sub(r" \g<0> ", plain).split()


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    """Letters and digits with their combining marks, which Python's \\w leaves out (Devanagari vowels, for one)."""
    marks = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    letter = rf"(?:[^\W_{_UNSPACED}][{marks}]*)"
    return re.compile(rf"[{_UNSPACED}][{marks}]*|{letter}+")


def mostly(texts: list[str], pattern: re.Pattern[str]) -> bool:
    """Whether a third or more of all letters match."""
    whole = "".join(texts)
    letters = sum(character.isalpha() for character in whole)
    return letters > 0 and 3 * len(pattern.findall(whole)) >= letters
