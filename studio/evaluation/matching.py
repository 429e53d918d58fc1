"""From what a generative model answered to one of the labels, or to none with the reason why.

Steps, the strictest first; the first that finds anything decides: the label itself; but for case and white space; but
for punctuation; its first line alone; exactly one label named in the words around it. Two labels named are no answer,
and neither is a label that is denied ("not spam"). What it leaves out: guessing from meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from studio.evaluation.counting.words import UNSPACED

SEPARATOR = ", "
"""What stands between the labels of an answer with several (studio.data.prompts.to_target writes it)."""

EMPTY = "empty"
NONE_NAMED = "names no label"
DENIED = "a label is denied"
NO_CLASSIFIER = "no classifier"
_NOTHING = frozenset({"none", "no label", "no labels", "nothing", "none of them", "none of the above", "n a", "[]"})
_DENYING = re.compile(
    "not|no|never|neither|nor|without|cannot|isnt|arent|wasnt|dont|doesnt|didnt|wont"
    "|nicht|kein|keine|keinen|nie|non|pas|jamais|nunca|ni|não"
)
_SHARE = re.compile(r"(?<![\w.,])(\d+)\s*(?:/|out of|of|von|sur|de)\s*\d+(?![\w]|[.,]\d)")
_WORDS_BEFORE = 3


@dataclass(frozen=True)
class Match:
    """The `label` that an answer gives, None where it gives none; `reason` says how, or why not."""

    label: str | None
    reason: str


@dataclass(frozen=True)
class Matches:
    """The labels of an answer that may give several, in the order of the set; `found` is False where it says neither
    labels nor that there are none."""

    labels: tuple[str, ...]
    found: bool
    reason: str


def match(answer: str, labels: Sequence[str]) -> Match:
    """The one label of `labels` that an answer gives."""
    known = _known(tuple(labels))
    if answer in known.exact:
        return Match(answer, "exact")
    if not answer.strip():
        return Match(None, EMPTY)
    if answer.startswith("(no classifier"):
        return Match(None, NO_CLASSIFIER)
    return _whole(answer, known) or _first_line(answer, known) or _named_once(answer, known)


def match_several(answer: str, labels: Sequence[str]) -> Matches:
    """All labels that an answer gives, where any number may be right: as a list, or named in its words. A label named
    right behind a denial does not count."""
    known = _known(tuple(labels))
    if (listed := split_labels(answer, labels)) is not None:
        return Matches(_ordered(listed, known), True, "exact" if listed else "says none")
    if (only := _whole(answer, known)) is not None and only.label is not None:
        return Matches((only.label,), True, only.reason)
    if _plain(answer) in _NOTHING:
        return Matches((), True, "says none")
    said = [name for name, denied in _named(answer, known) if not denied]
    return Matches(_ordered(said, known), bool(said), "named" if said else NONE_NAMED)


def split_labels(text: str, labels: Sequence[str]) -> tuple[str, ...] | None:
    """A stored answer with several labels as its labels; None where it is no list of them. A label may hold ", "
    itself; '' is no label at all."""
    if not text:
        return ()
    from_where: dict[int, tuple[int, str]] = {0: (0, "")}
    for at in range(len(text)):
        if at not in from_where:
            continue
        for label in labels:
            behind = at + len(label)
            if label and text.startswith(label, at):
                if behind == len(text):
                    return _way_back(from_where, at, label)
                if text.startswith(SEPARATOR, behind):
                    from_where.setdefault(behind + len(SEPARATOR), (at, label))
    return None


def _way_back(from_where: dict[int, tuple[int, str]], at: int, last: str) -> tuple[str, ...]:
    found = [last]
    while at:
        at, label = from_where[at]
        found.append(label)
    return tuple(reversed(found))


@dataclass(frozen=True)
class _Known:
    """A label set made ready: forms by what they stand for (several labels where they collide), and one expression
    that finds any label in a text, the longest first."""

    exact: frozenset[str]
    order: tuple[str, ...]
    folded: dict[str, tuple[str, ...]]
    plain: dict[str, tuple[str, ...]]
    mention: re.Pattern[str]
    numbers: bool


@lru_cache(maxsize=16)
def _known(labels: tuple[str, ...]) -> _Known:
    names = tuple(dict.fromkeys(label for label in labels if label.strip()))
    numbers = all(re.fullmatch(r"\d+", name) for name in names)
    return _Known(frozenset(names), names, _by(names, _folded), _by(names, _plain), _mentions(names), numbers)


def _by(names: Iterable[str], form: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        key = form(name)
        if key:
            found[key] = (*found.get(key, ()), name)
    return found


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _plain(text: str) -> str:
    """Words alone: punctuation, underscores and marks of Markdown become spaces, apostrophes nothing. The signs of C++,
    C# and -1 stay."""
    return " ".join(re.findall(r"(?:(?<!\w)[-−](?=\d))?[^\W_]+[+#]*", re.sub(r"['’`]", "", _folded(text))))


def _mentions(names: Iterable[str]) -> re.Pattern[str]:
    """What finds every folded label as words of its own, the longest first. Labels that begin alike are kept together,
    so that within a word not one of a thousand is tried."""
    starts: dict[str, list[str]] = {}
    for form in sorted({_folded(name) for name in names}, key=lambda form: (-len(form), form)):
        before, inner = _mention(form)
        starts.setdefault(before, []).append(inner)
    return re.compile("|".join(f"{before}(?:{'|'.join(inner)})" for before, inner in starts.items()) or r"(?!)")


def _mention(form: str) -> tuple[str, str]:
    """What must stand before a folded label, and the label with what must follow, whatever little lies between its
    words."""
    words = re.findall(r"[^\W_]+", form)
    inner = r"[\W_]{1,3}".join(re.escape(word) for word in words)
    if not words or re.search(r"[^\w\s]$|^[^\w\s]", form):
        inner = re.escape(form)
    before = after = ""
    if form[0].isalnum() and not UNSPACED.match(form[0]):
        before = r"(?<![\w.,\-−])" if form[0].isdigit() else r"(?<!\w)"
    if form[-1].isalnum() and not UNSPACED.match(form[-1]):
        after = r"(?![\w+#]|[.,]\d)"
    return before, f"{inner}{after}"


def _whole(answer: str, known: _Known) -> Match | None:
    for forms, form, reason in ((known.folded, _folded, "case"), (known.plain, _plain, "punctuation")):
        names = forms.get(form(answer), ())
        if len(names) == 1:
            return Match(names[0], reason)
        if names:
            return Match(None, _ambiguous(names))
    return None


def _first_line(answer: str, known: _Known) -> Match | None:
    """What the first line alone says, where it is a label and the lines below are not just other labels."""
    lines = [line for line in answer.splitlines() if line.strip()]
    found = [_whole(line, known) for line in lines[:50]]
    first = found[0] if lines else None
    if len(lines) < 2 or first is None or first.label is None:
        return None
    others = {one.label for one in found if one is not None and one.label is not None}
    if all(found) and len(lines) <= 50 and len(others) > 1:
        return Match(None, _ambiguous([name for name in known.order if name in others]))
    return Match(first.label, "first line")


def _named_once(answer: str, known: _Known) -> Match:
    mentions = _named(answer, known)
    names = list(dict.fromkeys(name for name, _ in mentions))
    if len(names) > 1:
        return Match(None, _ambiguous(names))
    if not names:
        return Match(None, NONE_NAMED)
    return Match(None, DENIED) if any(denied for _, denied in mentions) else Match(names[0], "named")


def _named(answer: str, known: _Known) -> list[tuple[str, bool]]:
    """Every label named in a text, in its order, with whether one of the words before it denies it."""
    text = _folded(answer)
    if known.numbers:
        text = _SHARE.sub(r"\1", text)
    found = []
    for hit in known.mention.finditer(text):
        names = known.folded.get(hit.group()) or known.plain.get(_plain(hit.group()), ())
        before = re.split(r"[.;:!?,\n]", text[max(0, hit.start() - 60) : hit.start()])[-1]
        denied = any(_DENYING.fullmatch(word) for word in _plain(before).split()[-_WORDS_BEFORE:])
        found += [(name, denied) for name in names]
    return found


def _ordered(names: Iterable[str], known: _Known) -> tuple[str, ...]:
    chosen = set(names)
    return tuple(name for name in known.order if name in chosen)


def _ambiguous(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"ambiguous: {names[0]}, {names[1]}{more}"
