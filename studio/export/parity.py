"""An export held against the studio: the same token ids, the same greedy text, scores within a tolerance.

The error of scores is the root mean square of their difference by that of the scores, both less the mean of their
position (which softmax does not see). How much is allowed depends on the number format alone: rounding a weight to
bfloat16 changes it by up to 1/256 of its size, to float16 by 1/2048, and to q8_0 by 1/254 of the largest of its 32
neighbours; such changes nearly average out over a layer, and grow from layer to layer. Greedy text can part only where
two tokens are closer than that error, which is then called a near-tie and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from studio.contract.export import ParityReport
from studio.errors import JobFailed
from studio.export.asking import Reference


@dataclass(frozen=True)
class Limits:
    """What the `error` of a format may be, and how far apart (in standard deviations of a position's scores) two
    tokens may be of which the export takes the other one."""

    tolerance: float
    near: float


LIMITS: dict[str, Limits] = {
    "float32": Limits(0.002, 0.01),
    "float16": Limits(0.005, 0.03),
    "bfloat16": Limits(0.03, 0.15),
    "q8_0": Limits(0.1, 0.3),
}
"""By number format: four to eight times what was measured on a tuned SmolLM2-135M (float16 0.0007, bfloat16 0.0057,
q8_0 0.023), and for `near` four standard deviations of the difference of two scores at its worst position."""

PROBABILITY = 0.01
"""How far a classifier's probability may be off."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What an export makes of a prompt: its token ids, the answer's tokens without the end, its text and scores."""

    prompt: tuple[int, ...]
    text: str
    answer: tuple[int, ...] = ()
    scores: torch.Tensor | None = field(default=None, repr=False)
    probability: float | None = None


def compare(
    reader: str, references: Sequence[Reference], answers: Sequence[Answered], number_format: str
) -> ParityReport:
    """The report of an export as `reader` reads it. Raises JobFailed with one sentence where it is not the same."""
    limits = LIMITS[number_format]
    pairs = list(zip(references, answers, strict=True))
    same_ids = sum(one.prompt == other.prompt for one, other in pairs)
    parted = [(one, other) for one, other in pairs if one.text.strip() != other.text.strip()]
    ties = sum(_near_tie(one, other, limits.near) for one, other in parted)
    chances = [(a.probability, b.probability) for a, b in pairs if a.probability is not None]
    error: float | None
    largest: float | None
    tolerance: float | None
    if chances:
        off = [abs((b or 0.0) - (a or 0.0)) for a, b in chances]
        error, largest, tolerance = sum(off) / len(off), max(off), PROBABILITY
    else:
        error, largest = _errors(pairs)
        tolerance = None if error is None else limits.tolerance
    report = ParityReport(
        reader=reader,
        prompts=len(pairs),
        same_ids=same_ids,
        same_text=len(pairs) - len(parted),
        near_ties=ties,
        error=error,
        largest=largest,
        tolerance=tolerance,
        near=limits.near,
    )
    _refuse(report)
    return report.model_copy(update={"sentence": _sentence(report)})


def _refuse(report: ParityReport) -> None:
    """Raise JobFailed where an export is not what the studio has."""
    prompts, reader, nothing = report.prompts, report.reader, "nothing was exported"
    other = prompts - report.same_ids
    if other:
        raise JobFailed(
            f"Read by {reader}, the export turns {other} of {prompts} prompts into other tokens than the studio does, "
            f"so {nothing}: export the merged model instead."
        )
    wrong = prompts - report.same_text - report.near_ties
    if wrong:
        raise JobFailed(
            f"Read by {reader}, the export answers {wrong} of {prompts} prompts otherwise than the studio does, so "
            f"{nothing}: choose another format, or send its log with a report."
        )
    if report.error is not None and report.tolerance is not None and not report.error <= report.tolerance:
        raise JobFailed(
            f"Read by {reader}, the export's scores are off by {report.error:.2g} where {report.tolerance:.2g} is "
            f"allowed, so {nothing}: choose another format, or send its log with a report."
        )


def _sentence(report: ParityReport) -> str:
    words = f"Read by {report.reader}: {report.same_text} of {report.prompts} answers are those of the studio"
    if report.near_ties:
        words += f", {report.near_ties} part where two tokens were nearly as likely"
    words += "; all prompts have the same token ids"
    if report.error is not None:
        words += f"; scores are off by {report.error:.2g} ({report.tolerance:.2g} is allowed)"
    return f"{words}."


def _near_tie(one: Reference, other: Answered, near: float) -> bool:
    """Whether two answers part where the studio's own model could hardly choose."""
    if one.scores is None:
        return False
    pairs = zip(one.answer, other.answer, strict=False)
    at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.answer), len(other.answer)))
    if at >= len(one.scores):
        return False
    row = one.scores[at]
    top = row.topk(2).values
    # Where the export ends its answer, the token that it took is one of several ends: the runner-up stands for it.
    taken = row[other.answer[at]] if at < len(other.answer) else top[1]
    return bool((top[0] - taken) <= near * row.std())


def _errors(pairs: Sequence[tuple[Reference, Answered]]) -> tuple[float | None, float | None]:
    """The relative error over all positions, and that of the worst."""
    apart, size, worst = 0.0, 0.0, 0.0
    for one, other in pairs:
        if one.scores is None or other.scores is None:
            return None, None
        width = min(one.scores.shape[-1], other.scores.shape[-1])
        mine, theirs = (_centred(each[:, :width]) for each in (one.scores, other.scores))
        squares, own = (mine - theirs).square().mean(-1), mine.square().mean(-1)
        apart, size = apart + float(squares.sum()), size + float(own.sum())
        worst = max(worst, float((squares / own.clamp(min=1e-12)).max().sqrt()))
    return (apart / max(size, 1e-12)) ** 0.5, worst


def _centred(scores: torch.Tensor) -> torch.Tensor:
    scores = scores.double()
    return scores - scores.mean(-1, keepdim=True)
