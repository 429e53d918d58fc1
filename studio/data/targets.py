"""The answer of a row by task: labels, a rating, a choice of two answers, a conversation with its flags.

Each function gives the stored form that an annotator's answer would have. What it leaves out: plain text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from storage.labels import NAME_LIMIT
from studio.contract.answers import Preference, encode_preference, unsafe_text
from studio.data.rows import as_text
from studio.language import tr

_CHOICES = {
    **{"a": "A", "b": "B", "1": "A", "2": "B", "left": "A", "right": "B"},
    **dict.fromkeys(("tie", "equal", "same", "both"), "tie"),
}
_MOST_LABELS_OF_A_ROW = 100


class Unusable(Exception):
    """A row that cannot become an example; the text is the reason."""


@dataclass(frozen=True)
class Target:
    """An answer as it is stored: `response` is None where the row has none."""

    response: str | None
    value: str = ""


def label(cell: object) -> str | None:
    """One label as one line; a whole number that a file holds as 11.0 is 11, a list of one label that label.

    Raises Unusable.
    """
    if isinstance(cell, (list, tuple)):
        if len(cell) > 1 or any(isinstance(item, (list, tuple, dict)) for item in cell):
            raise Unusable(
                tr("it has {count:,} labels or none that is a name: a project of one label takes one", count=len(cell))
            )
        cell = cell[0] if cell else None
    name = " ".join(_plain(cell).split())
    if len(name) > NAME_LIMIT:
        told = {"count": len(name), "most": NAME_LIMIT}
        raise Unusable(tr("the label has {count:,} characters, more than {most}: is this the label column?", **told))
    return name or None


def labels(cell: object, known: Collection[str]) -> tuple[str, ...]:
    """Several labels: a list, JSON text of one, or names with | or ; or a line break between them.

    Names with commas between them are taken apart where `known` has all of them, for a comma may be part of a name.
    """
    found = _list(cell)
    if found is None:
        text = as_text(cell)
        parts = re.split(r"[|;\n]", text)
        commas = [" ".join(part.split()) for part in text.split(",")]
        if len(parts) == 1 and len(commas) > 1 and " ".join(text.split()) not in known and set(commas) <= {*known}:
            parts = commas
        found = list(parts)
    names = tuple(dict.fromkeys(name for name in map(label, found) if name))
    if len(names) > _MOST_LABELS_OF_A_ROW:
        told = {"count": len(names), "most": _MOST_LABELS_OF_A_ROW}
        raise Unusable(tr("it has {count:,} labels, more than {most}: is this the label column?", **told))
    return names


def rating(cell: object, most: int) -> str | None:
    """A rating, 1 to `most`. Raises Unusable."""
    text = _plain(cell).strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,3}(\.0+)?", text) or not 1 <= int(float(text)) <= most:
        raise Unusable(tr("the rating '{rating}' is no whole number from 1 to {most}", rating=text[:40], most=most))
    return str(int(float(text)))


def choice(cell: object, margin: object = None, reason: str = "") -> Target:
    """A, B or tie, also as "answer_b", "Model A", "2", "tie (bothbad)". Raises Unusable."""
    text = _plain(cell).strip().lower()
    if not text:
        return Target(None)
    word = re.sub(r"^(answer|response|model|option|completion|text)[ _-]*", "", text)
    found = _CHOICES.get(word) or _CHOICES.get(word.split(" ")[0].split("(")[0])
    if found is None:
        raise Unusable(tr("the choice '{choice}' is none of A, B and tie", choice=text[:40]))
    value = encode_preference(Preference(found, None if found == "tie" else _margin(margin), reason.strip()))
    return Target(found, value)


def shuffled(better: str, worse: str, key: str) -> tuple[dict[str, str], Target]:
    """Two answers of which one is known to be better, as A and B in an order that the content decides, so that the
    better one is not always the first and the same file gives the same order again."""
    digest = hashlib.sha256(json.dumps([key, better, worse]).encode("utf-8", "replace")).digest()
    first = digest[0] % 2 == 0
    found = "A" if first else "B"
    payload = {"a": better, "b": worse} if first else {"a": worse, "b": better}
    return payload, Target(found, encode_preference(Preference(found)))


def flags(messages: Sequence[Mapping[str, object]]) -> list[bool | None]:
    """Whether to train on each message, by its field "train" or "weight" (0 or 1); None where it does not say.

    Raises Unusable.
    """
    return [_flag(message.get("train", message.get("weight"))) for message in messages]


def priority(cell: object) -> float:
    """A finite number, higher first; 0 where there is none. Raises Unusable."""
    text = as_text(cell).strip()
    try:
        number = float(text or 0)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e300:
        raise Unusable(tr("the priority '{priority}' is no number", priority=text[:40]))
    return number


def group(cell: object) -> str:
    """The name of a group as one line; a whole number that a file holds as 11.0 is 11. Raises Unusable."""
    name = " ".join(_plain(cell).split())
    if len(name) > NAME_LIMIT:
        told = {"count": len(name), "most": NAME_LIMIT}
        raise Unusable(tr("the group has {count:,} characters, more than {most}: is this the group column?", **told))
    if problem := unsafe_text(name):
        raise Unusable(tr("the group cannot be used: {problem}", problem=tr(problem)))
    return name


def _margin(cell: object) -> int | None:
    text = _plain(cell).strip()
    if not text:
        return None
    if text not in ("1", "2", "3"):
        raise Unusable(tr("the margin '{margin}' is none of 1, 2 and 3", margin=text[:40]))
    return int(text)


def _flag(value: object) -> bool | None:
    if value is None or value == "":
        return None
    if value in (0, 1):
        return bool(value)
    if str(value).lower() in ("0", "1", "true", "false"):
        return str(value).lower() in ("1", "true")
    raise Unusable(tr("whether to train on a message is neither 0 nor 1"))


def _list(cell: object) -> list[object] | None:
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return None
    if not isinstance(cell, (list, tuple)):
        return None
    if any(isinstance(item, (list, dict)) for item in cell):
        raise Unusable(tr("its labels are no list of names"))
    return list(cell)


def _plain(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else as_text(cell)
