"""Whether a tuned model gives its training rows away: planted codes, and answers continued word for word.

Planted codes ("canaries") and their exposure: Carlini, Liu, Erlingsson, Kos and Song 2019, "The Secret Sharer",
sections 4.2 and 4.3. A code stands in the training rows once or more; if the model holds it likelier than the same
sentence with other digits, which it never saw, it has learnt it by heart. What it leaves out: classifiers, and rows
that are remembered in other words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2

from studio.contract.canaries import Canary, other_codes
from studio.contract.chat import Message
from studio.evaluation.verdict import percent, wilson
from studio.inference.engine import Engine
from studio.inference.losses import AnswerLoss, Said, answer_losses

HEAD = 5
"""Tokens of an answer that are given away before the model has to go on."""

SPAN = 20
"""Tokens that must come word for word: fewer than that many models write by chance, labels above all."""

MOST_ROWS = 200
ALTERNATIVES = 127
"""Other codes that each planted one is ranked among: rank 1 of 128 is chance once in 128 times, and worth 7 bits."""

Conversation = tuple[Message, ...]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Exposed:
    """A canary's rank among itself and other codes (1: the likeliest), and its exposure in bits: log2 of how many there
    are less log2 of the rank, which is about 1 for a code that a model has never seen."""

    canary: Canary
    base_rank: int
    tuned_rank: int
    of: int

    @property
    def base(self) -> float:
        """Exposure in the base, in bits."""
        return log2(self.of) - log2(self.base_rank)

    @property
    def tuned(self) -> float:
        """Exposure in the tuned model, in bits."""
        return log2(self.of) - log2(self.tuned_rank)


@dataclass(frozen=True)
class Share:
    """How many of the tested rows, as a share with its 95 % interval."""

    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Exposure:
    """All planted codes, and how many the tuned model and the base hold for the likeliest."""

    canaries: tuple[Exposed, ...]
    base: Share
    tuned: Share
    sentence: str


@dataclass(frozen=True)
class Verbatim:
    """Training answers that are continued word for word. `rows` were tested, `left_out` were too short; `numbers` are
    the places (from 0) of those that the tuned model continues and the base does not."""

    rows: int
    left_out: int
    base: Share
    tuned: Share
    numbers: tuple[int, ...]
    sentence: str


def exposure(
    engine: Engine,
    run: str,
    planted: Sequence[Canary],
    alternatives: int = ALTERNATIVES,
    seed: int = 0,
    on_progress: Progress = lambda done, total: None,
) -> Exposure | None:
    """The exposure of planted codes in base and tuned; None for a classifier. Raises what `answer_losses` raises."""
    if engine.shared.family == "encoder" or not planted:
        return None
    tried = [[canary.code, *other_codes(canary.code, alternatives, seed)] for canary in planted]
    said = [
        Said((Message("user", canary.question),), canary.answer(code), weights)
        for weights in (None, run)
        for canary, codes in zip(planted, tried, strict=True)
        for code in codes
    ]
    losses = iter(answer_losses(engine, said, on_progress=on_progress))
    ranks = [[_rank([next(losses).total for _ in codes]) for codes in tried] for _ in (None, run)]
    among = alternatives + 1
    found = tuple(Exposed(one, known, learnt, among) for one, known, learnt in zip(planted, *ranks, strict=True))
    base, tuned = (_share(sum(rank == 1 for rank in side), len(found)) for side in ranks)
    return Exposure(found, base, tuned, _exposed_sentence(found, base, tuned))


def verbatim(
    engine: Engine,
    run: str,
    rows: Sequence[Conversation],
    head: int = HEAD,
    span: int = SPAN,
    most_rows: int = MOST_ROWS,
    on_progress: Progress = lambda done, total: None,
) -> Verbatim | None:
    """Training rows (each ending with its answer), evenly chosen: whether base and tuned, given the prompt and the
    answer's first `head` tokens, write the next `span` tokens of it greedily. None for a classifier.

    Nothing is generated: a model writes a text by greedy decoding if and only if each of its tokens is the likeliest
    behind those before it, which one pass shows. Raises what `answer_losses` raises.
    """
    if engine.shared.family == "encoder":
        return None
    long = [at for at, row in enumerate(rows) if _tokens(engine, row) >= head + span]
    chosen = [long[place * len(long) // most_rows] for place in range(most_rows)] if len(long) > most_rows else long
    said = [Said(rows[at][:-1], rows[at][-1].content, weights) for weights in (None, run) for at in chosen]
    losses = answer_losses(engine, said, on_progress=on_progress)
    pairs = list(zip(chosen, losses[: len(chosen)], losses[len(chosen) :], strict=True))
    tested = [(at, _continues(b, head, span), _continues(t, head, span)) for at, b, t in pairs if not (b.why or t.why)]
    base, tuned = (_share(sum(one[side] for one in tested), len(tested)) for side in (1, 2))
    numbers = tuple(at for at, known, learnt in tested if learnt and not known)
    short = len(rows) - len(long)
    sentence = _verbatim_sentence(len(tested), short, base, tuned, head, span)
    return Verbatim(len(tested), short, base, tuned, numbers, sentence)


def _tokens(engine: Engine, row: Conversation) -> int:
    return len(engine.base.tokenizer(row[-1].content, add_special_tokens=False)["input_ids"]) if row else 0


def _continues(loss: AnswerLoss, head: int, span: int) -> bool:
    wanted = loss.right[head : head + span]
    return len(wanted) == span and all(wanted)


def _rank(losses: Sequence[float]) -> int:
    """The place of the first among all by loss; equal ones before it, so that a tie is no discovery."""
    return 1 + sum(other <= losses[0] for other in losses[1:])


def _share(count: int, rows: int) -> Share:
    return Share(count, *wilson(count, rows))


def _interval(share: Share) -> str:
    return f"{percent(share.share)}, {round(100 * share.low)}–{round(100 * share.high)} %"


def _exposed_sentence(found: Sequence[Exposed], base: Share, tuned: Share) -> str:
    bits = sum(one.tuned for one in found) / len(found)
    return (
        f"Of {len(found)} planted codes the tuned model holds {tuned.count} for the likeliest of {found[0].of} "
        f"({_interval(tuned)}), the base {base.count}; the mean exposure is {bits:.1f} of {log2(found[0].of):.0f} bits."
    )


def _verbatim_sentence(rows: int, short: int, base: Share, tuned: Share, head: int, span: int) -> str:
    if rows == 0:
        return f"No training answer has {head + span} tokens or more, so there is nothing to learn by heart."
    were = "answer was" if short == 1 else "answers were"
    rest = f"; {short:,} shorter {were} left out" if short else ""
    return (
        f"Of {rows:,} training answers the tuned model continues {tuned.count} word for word over {span} tokens "
        f"({_interval(tuned)}), the base {base.count}{rest}."
    )
