"""Rows in another language than the rest, inputs and answers apart (a translation has two).

Short texts deceive every language guesser, so a row is only named when it has enough letters and its own language is
far likelier than the main one. What it leaves out: languages mixed within one text, and texts shorter than that."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from studio.preflight.found import Beat, Checked, Found, are, of
from studio.preflight.rows import Rows

_READ = 400
_LEAST_LETTERS = 24
_LEAST_SURE = 0.85
_MAIN_AT_MOST = 0.05
_HALF_SURE, _MAIN_IMPOSSIBLE = 0.5, 1e-4
_LATIN_WORDS = 5
_NO_LANGUAGE = re.compile(r"https?://\S+|\S+@\S+|`[^`]*`|[\d_]+|<[^>]*>|\\\w+")
_LETTERS = re.compile(r"[^\W\d_]+")
_TONGUES = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese",
    "nl": "Dutch", "pl": "Polish", "ru": "Russian", "uk": "Ukrainian", "zh": "Chinese", "ja": "Japanese",
    "ko": "Korean", "ar": "Arabic", "hi": "Hindi", "tr": "Turkish", "sv": "Swedish", "da": "Danish", "no": "Norwegian",
    "nb": "Norwegian", "fi": "Finnish", "cs": "Czech", "el": "Greek", "he": "Hebrew", "ro": "Romanian",
    "hu": "Hungarian", "vi": "Vietnamese", "th": "Thai", "id": "Indonesian", "fa": "Persian", "bn": "Bengali",
    "ca": "Catalan",
}  # fmt: skip
_SIMILAR = (
    {"nb", "no", "nn", "da", "sv"},
    {"es", "ca", "gl", "pt", "an", "oc"},
    {"hr", "bs", "sr"},
    {"id", "ms"},
    {"nl", "af"},
)


def check_languages(rows: Rows, beat: Beat) -> Checked:
    """The main language of inputs and of answers, and rows in another one."""
    guesser = _guesser()
    sides = [("input", rows.inputs)] if rows.has_labels else [("input", rows.inputs), ("answer", rows.answers)]
    table: list[dict[str, Any]] = []
    other: dict[int, str] = {}
    mains = []
    for place, (side, texts) in enumerate(sides):
        guesses = []
        for at, text in enumerate(texts):
            if at % 1000 == 0:
                beat(place * len(rows) + at, len(sides) * len(rows))
            guesses.append(_guess(guesser, text))
        main = _main(guesses)
        if not main:
            continue
        mains.append(main)
        languages = [_language(guess, main) for guess in guesses]
        counts = Counter(language for language in languages if language)
        total = sum(counts.values())
        table += [{"side": side, "language": one, "rows": n, "share": n / total} for one, n in counts.most_common()]
        for row, language in enumerate(languages):
            if language and language != main:
                other.setdefault(row, language)
    return Checked(_found(rows, other, mains), {"languages": table} if table else {})


def _found(rows: Rows, other: dict[int, str], mains: Sequence[str]) -> list[Found]:
    if not other:
        return []
    counts = Counter(other.values())
    listed = ", ".join(f"{n:,} in {name(one)}" for one, n in counts.most_common(4))
    usual = " and ".join(dict.fromkeys(map(name, mains)))
    more = f" and {len(counts) - 4} more languages" if len(counts) > 4 else ""
    text = f"{of(len(other), len(rows))} {are(len(other))} not in {usual} like the rest: {listed}{more}."
    return [Found("languages", "note", text, list(other), ("back", "drop"), {"languages": dict(counts)})]


def name(language: str) -> str:
    """A language's English name, or its code."""
    return _TONGUES.get(language, f"'{language}'")


def _guesser() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _guess(guesser: Any, text: str) -> list[tuple[str, float]]:
    """The likeliest languages with their likelihood, best first; none for too short a text."""
    words = _LETTERS.findall(_NO_LANGUAGE.sub(" ", text[:_READ]))
    letters = sum(map(len, words))
    wide = any(ord(word[0]) > 0x24F for word in words)
    if letters < (_LEAST_LETTERS // 3 if wide else _LEAST_LETTERS) or (not wide and len(words) < _LATIN_WORDS):
        return []
    return list(guesser.rank(" ".join(words)))[:5]


def _main(guesses: Sequence[Sequence[tuple[str, float]]]) -> str:
    weights: Counter[str] = Counter()
    for guess in guesses:
        for language, share in guess[:1]:
            weights[language] += share  # type: ignore[assignment]
    return weights.most_common(1)[0][0] if weights else ""


def _language(guess: Sequence[tuple[str, float]], main: str) -> str:
    """The language of a row: the main one unless another is far likelier; '' where nothing can be said."""
    if not guess:
        return ""
    language, share = guess[0]
    if language == main or any({language, main} <= group for group in _SIMILAR):
        return main
    of_main = next((part for one, part in guess if one == main), 0.0)
    sure = share >= _LEAST_SURE and of_main <= _MAIN_AT_MOST
    return language if sure or (share >= _HALF_SURE and of_main <= _MAIN_IMPOSSIBLE) else main
