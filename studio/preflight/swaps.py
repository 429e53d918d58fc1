"""Counterfactual copies: a text with its identity terms exchanged, capitals and the grammar of pronouns kept.

English only. "her" is "him" or "his" by what follows, "his" is "her" or "hers", and "a" and "an" follow the new word.
What it leaves out: names of people, and anything that a sentence means beyond its words."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_PRONOUNS = {"him": "her", "hers": "his"}
_NO_NOUN = frozenset({
    "a", "about", "above", "after", "again", "against", "ago", "all", "also", "although", "always", "an", "and", "are",
    "around", "as", "at", "away", "back", "be", "because", "been", "before", "behind", "but", "by", "can", "could",
    "did", "do", "does", "down", "during", "even", "every", "for", "from", "going", "had", "has", "have", "here", "how",
    "i", "if", "in", "into", "is", "it", "just", "know", "later", "like", "near", "never", "no", "not", "of", "off",
    "on", "onto", "or", "out", "over", "please", "so", "some", "soon", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "through", "to", "today", "together", "tomorrow", "tonight", "too",
    "towards", "under", "until", "up", "was", "we", "well", "were", "what", "when", "where", "whether", "which",
    "while", "who", "whom", "why", "will", "with", "without", "would", "yesterday", "yet", "you",
})  # fmt: skip
"""Words that follow an object ("saw her again"), never a possessive ("her dog")."""

_NEXT = re.compile(r"\s+([^\W\d_][\w'’-]*)")
_ARTICLE = re.compile(r"\b([Aa])(n?)(\s+)$")


def swapper(swaps: Mapping[str, str], never: Collection[str] = ()) -> re.Pattern[str] | None:
    """The expression that finds the terms of one kind's swaps, longest first; None without any. A match whose group
    `never` has text is one of the phrases that stay as they are."""
    words = {*swaps, *(("him", "her", "his", "hers") if "he" in swaps and "she" in swaps else ())}
    if not words:
        return None
    phrases, joined = (
        "|".join(re.escape(word) for word in sorted(some, key=lambda word: (-len(word), word)))
        for some in (never, words)
    )
    return re.compile(rf"(?<![\w-])(?:(?P<never>{phrases or '(?!)'})|{joined})(?![\w-])(?!'(?!s\b))", re.IGNORECASE)


def swap(text: str, swaps: Mapping[str, str], finder: re.Pattern[str]) -> str:
    """The text with each term exchanged."""
    parts: list[str] = []
    at = 0
    for match in finder.finditer(text):
        if match["never"]:
            continue
        other = _cased(match.group(), _other(match.group().casefold(), text, match.end(), swaps))
        parts += [_with_article(text[at : match.start()], other), other]
        at = match.end()
    return "".join([*parts, text[at:]])


def _other(word: str, text: str, end: int, swaps: Mapping[str, str]) -> str:
    if word in swaps:
        return swaps[word]
    if word in _PRONOUNS:
        return _PRONOUNS[word]
    following = _NEXT.match(text, end)
    noun = following is not None and following.group(1).casefold() not in _NO_NOUN
    if word == "her":
        return "his" if noun else "him"
    return "her" if noun else "hers"


def _cased(word: str, other: str) -> str:
    if word.isupper() and len(word) > 1:
        return other.upper()
    if word[:1].isupper():
        return other[:1].upper() + other[1:]
    return other


def _with_article(before: str, word: str) -> str:
    """`before` with its last "a" or "an" as `word` wants it."""
    article = _ARTICLE.search(before)
    if not article:
        return before
    n = "n" if word[:1].casefold() in "aeiou" and not word.casefold().startswith(("uni", "use", "europ")) else ""
    return f"{before[: article.start()]}{article.group(1)}{n}{article.group(3)}"
