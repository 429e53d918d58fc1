"""Many questions answered by one engine: rows of one model and of like length together, each joining as others end.

What it leaves out: streaming (the pieces of an answer as they come) and what the answers are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from studio.contract.chat import Message
from studio.inference.engine import Engine, Prepared
from studio.inference.request import GenerationRequest, NoMemory, PromptRefused

Finish = Literal["stop", "length", "cancelled", "unasked"]


@dataclass(frozen=True)
class Asked:
    """One question. `run` is a run id, None asks the base; `max_tokens` counts the answer's tokens. Greedy unless a
    temperature is given; `seed` is then that of the row's own random numbers."""

    messages: tuple[Message, ...]
    run: str | None = None
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Given:
    """One answer: its text, its tokens (the end token counts, a label has none) and the seconds from when it joined its
    batch to its end. `finish` "unasked": the prompt does not fit this model, and `why` says so. `probability` is a
    classifier's."""

    text: str
    tokens: int
    seconds: float
    finish: Finish
    probability: float | None = None
    why: str = ""


def answer_all(
    engine: Engine,
    asked: Sequence[Asked],
    batch_rows: int = 32,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Given]:
    """The answers in the order asked; `on_progress(done, total)` is called as answers end, and may raise to stop.

    At most `batch_rows` are written together; that is halved where the device has no memory for so many. Raises
    NoClassifier (a base encoder without labels), NotFound, BadInput (a run whose weights cannot be used; no memory for
    even one answer).
    """
    found: dict[int, Given] = {}
    for run in dict.fromkeys(one.run for one in asked):
        rows = _prepared(engine, asked, [at for at, one in enumerate(asked) if one.run == run], found)
        if found:
            on_progress(len(found), len(asked))
        # Longest first: a batch too large for the memory shows at once, and not after an hour.
        rows.sort(key=lambda row: (-len(row[1].ids), -row[1].limit))
        size = max(1, batch_rows)
        while rows:
            try:
                for at, given in _written(engine, rows, size):
                    found[at] = given
                    on_progress(len(found), len(asked))
            except NoMemory:
                if size == 1:
                    raise
                size = max(1, size // 2)
            rows = [row for row in rows if row[0] not in found]
    return [found[at] for at in range(len(asked))]


_Numbered = tuple[int, Prepared]


def _prepared(
    engine: Engine, asked: Sequence[Asked], numbers: Sequence[int], found: dict[int, Given]
) -> list[_Numbered]:
    """The rows that can be asked; the others are put among the found."""
    rows = []
    for at in numbers:
        one = asked[at]
        request = GenerationRequest(one.messages, one.run, one.temperature, 1.0, max(1, one.max_tokens), one.seed)
        try:
            rows.append((at, engine.prepare(request)))
        except PromptRefused as error:
            found[at] = Given("", 0, 0.0, "unasked", why=str(error))
    return rows


def _written(engine: Engine, rows: Sequence[_Numbered], at_once: int) -> Iterator[tuple[int, Given]]:
    texts = [""] * len(rows)
    for delta in engine.decode([row for _, row in rows], at_once=at_once):
        texts[delta.row] += delta.text
        if (done := delta.done) is not None:
            given = Given(texts[delta.row], done.completion_tokens, done.seconds, done.reason, done.probability)
            yield rows[delta.row][0], given
