"""Answers that were given once, kept by what they depend on: weights, questions, limits.

So the base answers a held-out set once for all runs on it, and an evaluation that was stopped goes on where it was. A
file of a set of questions has a line an answer; a line that cannot be read counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from studio.evaluation.answering import Asked, Given, answer_all
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest

PART_ROWS = 64
"""Answers written together: as much as is lost when a process is killed."""

_VERSION = 1


@dataclass(frozen=True)
class Kept:
    """An answer, with the tokens of its prompt and its share of the seconds that its batches took."""

    text: str
    tokens: int
    prompt_tokens: int
    seconds: float
    finish: str
    probability: float | None = None


def answered(
    engine: Engine,
    folder: Path,
    weights: str,
    asked: Sequence[Asked],
    batch_rows: int,
    on_progress: Callable[[int], None],
) -> list[Kept]:
    """Each question's answer, from `folder` or given now. `weights` names what answers; `on_progress` is told how many
    answers there are. Raises what `answer_all` raises, and OSError when the disk is full.
    """
    path = folder / f"{_digest(weights, asked)}.jsonl"
    found = _read(path, len(asked))
    on_progress(len(found))
    # The longest first and like lengths together, in every part as in the whole.
    missing = sorted((at for at in range(len(asked)) if at not in found), key=lambda at: -_length(asked[at]))
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), PART_ROWS):
        part = missing[start : start + PART_ROWS]
        made = _answer(engine, [asked[at] for at in part], batch_rows, len(found), on_progress)
        found |= dict(zip(part, made, strict=True))
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"at": at} | asdict(one)) + "\n" for at, one in zip(part, made, strict=True))
    return [found[at] for at in range(len(asked))]


def _answer(
    engine: Engine, asked: Sequence[Asked], batch_rows: int, before: int, on_progress: Callable[[int], None]
) -> list[Kept]:
    began = time.monotonic()
    given = answer_all(engine, asked, batch_rows, lambda done, total: on_progress(before + done))
    seconds = (time.monotonic() - began) / max(1, len(asked))
    return [_kept(engine, one, answer, seconds) for one, answer in zip(asked, given, strict=True)]


def _kept(engine: Engine, asked: Asked, given: Given, seconds: float) -> Kept:
    request = GenerationRequest(asked.messages, asked.run)
    prompt = 0 if given.finish == "unasked" else len(engine.prepare(request).ids)
    return Kept(given.text, given.tokens, prompt, seconds, given.finish, given.probability)


def _length(asked: Asked) -> int:
    return sum(len(turn.content) for turn in asked.messages)


def _digest(weights: str, asked: Sequence[Asked]) -> str:
    hasher = hashlib.sha256(f"{_VERSION} {weights}".encode())
    for one in asked:
        turns = [[turn.role, turn.content, turn.extra] for turn in one.messages]
        hasher.update(json.dumps([turns, one.max_tokens, one.temperature], ensure_ascii=False).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()[:40]


def _read(path: Path, count: int) -> dict[int, Kept]:
    found: dict[int, Kept] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        try:
            row = json.loads(line)
            at = int(row.pop("at"))
            one = Kept(**row)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # cut off by a full disk or a kill
        if 0 <= at < count:
            found[at] = one
    return found
