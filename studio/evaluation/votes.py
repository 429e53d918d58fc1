"""What blind votes say: strengths of models with ties, Elo, a win rate that may be looked at after every vote, voters.

Votes are taken as independent; where a few people gave most of them, their shared taste is not in the intervals.
What it leaves out: how votes are cast and kept, and the pages that show them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from studio.errors import BadInput

Choice = Literal["left", "right", "tie", "bad"]
"""What a voter pressed; "bad" (both bad) counts as a tie wherever models are compared."""

LEVEL = 0.95
START = 1000.0
K = 32.0
POINTS = 400 / log(10)
"""Elo points of one unit of log strength: 400 points are odds of ten to one."""
CLOSE = 0.1
"""A win rate whose whole interval lies within 50 % ± this is called a draw."""
_GRID = 2001
_STEPS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Vote:
    """One person's choice between two models' answers; `item` names what was compared, for agreement between voters."""

    left: str
    right: str
    choice: Choice
    voter: str = ""
    item: str = ""


@dataclass(frozen=True)
class Strength:
    """A model's strength in Elo points round an average of 1000, with its 95 % interval."""

    model: str
    points: float
    low: float
    high: float
    votes: int


@dataclass(frozen=True)
class Ranking:
    """Models, strongest first. Where votes cannot rank them `strengths` is empty and `reason` says what is missing.

    `tie` is Davidson's ν: equally strong models tie in ν / (2 + ν) of their votes.
    """

    strengths: tuple[Strength, ...]
    tie: float
    reason: str = ""


@dataclass(frozen=True)
class WinRate:
    """How often `model` is preferred to `other`, a tie as half; the interval holds at every moment at once.

    `enough` says that voting may stop: `leader` is then the better one, or "" for two that are about equal.
    """

    model: str
    other: str
    wins: int
    ties: int
    losses: int
    rate: float
    low: float
    high: float
    enough: bool
    leader: str
    sentence: str


@dataclass(frozen=True)
class Voter:
    """One voter: `agreed` of `shared` choices that another voter also made on the same item, with a 95 % interval of
    the share (Wilson; 0 to 1 where nothing is shared); `left` of `decided` choices between the sides fell on the left.
    """

    voter: str
    votes: int
    shared: int
    agreed: int
    low: float
    high: float
    decided: int
    left: int


def strengths(votes: Sequence[Vote]) -> Ranking:
    """Bradley-Terry strengths with ties (Davidson 1970, "On extending the Bradley-Terry model to accommodate ties in
    paired comparison experiments", JASA 65, 317-328), by maximum likelihood.

    With π a strength, i beats j with chance π_i / (π_i + π_j + ν √(π_i π_j)) and ties with the last term's share. The
    intervals are Wald's, of a model's log strength less the average of all. They exist only where each model is linked
    to each by wins or ties in both directions (Ford 1957, American Mathematical Monthly 64, 28-33). Raises BadInput
    for a vote between a model and itself or an unknown choice.
    """
    _check(votes)
    models = sorted({name for vote in votes for name in (vote.left, vote.right)})
    if reason := _unrankable(votes, models):
        return Ranking((), 0.0, reason)
    left, right, kind = _columns(votes, models)
    tied = bool((kind == 2).any())
    theta, covariance = _davidson(left, right, kind, len(models), tied)
    centre = np.eye(len(models)) - 1 / len(models)
    error = np.sqrt(np.diag(centre @ covariance[: len(models), : len(models)] @ centre.T))
    points = START + POINTS * (theta[: len(models)] - theta[: len(models)].mean())
    half = POINTS * 1.959964 * error
    seen = Counter(name for vote in votes for name in (vote.left, vote.right))
    rows = zip(models, points, half, strict=True)
    found = [Strength(name, float(at), float(at - by), float(at + by), seen[name]) for name, at, by in rows]
    ranked = tuple(sorted(found, key=lambda row: (-row.points, row.model)))
    return Ranking(ranked, float(np.exp(theta[-1])) if tied else 0.0)


def _check(votes: Sequence[Vote]) -> None:
    for vote in votes:
        if vote.left == vote.right:
            raise BadInput("A vote needs two different models: leave out votes between a model and itself.")
        if vote.choice not in ("left", "right", "tie", "bad"):
            raise BadInput("A vote is left, right, tie or bad: correct the others or leave them out.")


def _unrankable(votes: Sequence[Vote], models: Sequence[str]) -> str:
    """Why these votes have no finite strengths with an interval, or ''."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not votes:
        return "There are no votes yet."
    left, right, kind = _columns(votes, models)
    if not (kind != 2).any():
        return "Every vote is a tie, so no model is ahead of another."
    wins = np.concatenate([np.stack([left, right])[:, kind != 1], np.stack([right, left])[:, kind != 0]], axis=1)
    links = coo_array((np.ones(wins.shape[1]), (wins[0], wins[1])), shape=(len(models), len(models)))
    groups = connected_components(links, directed=False)[0]
    if groups > 1:
        return "Some models were never compared with the others, not even by way of a third: vote on such pairs."
    if connected_components(links, directed=True, connection="strong")[0] > 1:
        return "A model has won all or lost all of its votes so far, so how far apart they are cannot be said yet."
    return ""


def _columns(votes: Sequence[Vote], models: Sequence[str]) -> tuple[Any, Any, Any]:
    """Numbers of the left and the right model, and 0 left won, 1 right won, 2 tie: each (votes,)."""
    place = {name: number for number, name in enumerate(models)}
    kinds = {"left": 0, "right": 1, "tie": 2, "bad": 2}
    rows = [(place[vote.left], place[vote.right], kinds[vote.choice]) for vote in votes]
    return tuple(np.array(rows, dtype=np.int64).reshape(-1, 3).T)  # type: ignore[return-value]


def _davidson(left: Any, right: Any, kind: Any, models: int, tied: bool) -> tuple[Floats, Floats]:
    """Log strengths and log ν (models + 1,) and their covariance, by Newton's method.

    A vote is a draw from a softmax over (θ_i, θ_j, log ν + (θ_i + θ_j) / 2), so the log likelihood is concave. A ridge
    of 1 along the sum of the strengths, which the votes leave free, makes it strictly so and moves nothing else.
    """
    cells, counts = np.unique(np.stack([left, right, kind]), axis=1, return_counts=True)
    left, right, kind = cells
    design = np.zeros((len(counts), 3, models + 1))
    row = np.arange(len(counts))
    design[row, 0, left] = design[row, 1, right] = 1.0
    design[row, 2, left] = design[row, 2, right] = 0.5
    design[:, 2, models] = 1.0
    theta = np.zeros(models + 1)
    ridge = np.zeros((models + 1, models + 1))
    ridge[:models, :models] = 1.0
    if not tied:
        design, ridge[models, models] = design[:, :2], 1.0
    for _ in range(_STEPS):
        logits = design @ theta
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        mean = np.einsum("rk,rkp->rp", chances, design)
        gradient = counts @ (design[row, kind] - mean) - ridge @ theta
        spread = np.einsum("rk,rkp,rkq->rpq", chances, design, design) - mean[:, :, None] * mean[:, None, :]
        information = np.tensordot(counts.astype(np.float64), spread, axes=1) + ridge
        step = np.linalg.solve(information, gradient)
        theta = theta + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    return theta, np.linalg.inv(information).astype(np.float64)


def elo(votes: Sequence[Vote], k: float = K, start: float = START) -> dict[str, float]:
    """Elo ratings after these votes in their order: each moves by k (score - expected), where expected is
    1 / (1 + 10^((other - own) / 400)) and a tie scores ½ (Elo 1978, "The rating of chessplayers"). Late votes weigh
    more than early ones, so rank by `strengths`.
    """
    _check(votes)
    ratings: dict[str, float] = defaultdict(lambda: start)
    for vote in votes:
        score = {"left": 1.0, "right": 0.0}.get(vote.choice, 0.5)
        expected = 1 / (1 + 10 ** ((ratings[vote.right] - ratings[vote.left]) / 400))
        ratings[vote.left] += k * (score - expected)
        ratings[vote.right] -= k * (score - expected)
    return dict(ratings)


def win_rate(votes: Sequence[Vote], model: str, other: str, close: float = CLOSE) -> WinRate:
    """How often `model` is preferred to `other`, over the votes between the two in the order they were cast.

    The interval is a confidence sequence: it may be looked at after every vote and voting stopped whenever it answers,
    and is still wrong at most 5 times in 100. With fewer votes than needed it is wide; no votes give 0 to 1.
    """
    _check(votes)
    scores = [_score(vote, model) for vote in votes if {vote.left, vote.right} == {model, other}]
    low, high = confidence_sequence(scores)
    wins, losses = scores.count(1.0), scores.count(0.0)
    counts = (wins, len(scores) - wins - losses, losses)
    rate = sum(scores) / len(scores) if scores else 0.5
    leader = model if low > 0.5 else other if high < 0.5 else ""
    enough = bool(leader) or (low >= 0.5 - close and high <= 0.5 + close)
    sentence = _sentence(model, other, len(scores), (rate, low, high), leader, enough)
    return WinRate(model, other, *counts, rate, low, high, enough, leader, sentence)


def _score(vote: Vote, model: str) -> float:
    if vote.choice in ("tie", "bad"):
        return 0.5
    return 1.0 if (vote.left if vote.choice == "left" else vote.right) == model else 0.0


def _sentence(model: str, other: str, votes: int, rate: tuple[float, float, float], leader: str, enough: bool) -> str:
    if not votes:
        return f"No votes between {model} and {other} yet."
    given = f"{votes:,} vote" if votes == 1 else f"{votes:,} votes"
    if leader:
        beaten = other if leader == model else model
        share, low, high = rate if leader == model else (1 - rate[0], 1 - rate[2], 1 - rate[1])
        numbers = f"{round(100 * share)} % ({round(100 * low)}–{round(100 * high)} %)"
        return f"{leader} is preferred to {beaten} in {numbers} of {given}: enough votes are in."
    if enough:
        return f"{model} and {other} are about equal after {given}: enough votes are in."
    return f"{given} cannot tell {model} and {other} apart yet: go on voting."


def confidence_sequence(scores: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Low and high of the mean of scores in [0, 1], valid at all sample sizes at once.

    The hedged capital process of Waudby-Smith and Ramdas (2024, "Estimating means of bounded random variables by
    betting", JRSS B 86, 1-27): one gambler bets that the mean is above m, one below, with their
    predictable plug-in stakes, truncated at ½; m is out once half of either's capital has ever reached 1 / (1 - level).
    It holds for scores that are each drawn with the same mean given those before.
    """
    grid = np.linspace(0, 1, _GRID)
    up, down, out = np.zeros(_GRID), np.zeros(_GRID), np.zeros(_GRID, dtype=bool)
    total, spread, bar = 0.5, 0.25, log(2 / (1 - level))
    with np.errstate(divide="ignore"):
        most_up, most_down = 0.5 / grid, 0.5 / (1 - grid)
    for number, score in enumerate(scores, start=1):
        stake = sqrt(2 * log(2 / (1 - level)) / (spread * log(1 + number)))
        up += np.log1p(np.minimum(stake, most_up) * (score - grid))
        down += np.log1p(-np.minimum(stake, most_down) * (score - grid))
        out |= np.maximum(up, down) >= bar
        total += score
        spread += (score - total / (number + 1)) ** 2
    inside = np.flatnonzero(~out)
    if len(inside) == 0:
        return (rate := sum(scores) / len(scores)), rate
    step = 1 / (_GRID - 1)
    return max(0.0, float(grid[inside[0]]) - step), min(1.0, float(grid[inside[-1]]) + step)


def voters(votes: Sequence[Vote]) -> tuple[Voter, ...]:
    """Each voter's agreement with the others on the items both voted on, most votes first.

    A choice is what it is for the models, whichever side they stood on; tie and both bad are different choices. Of
    several votes of a voter on an item the last counts. Votes without an item or a voter are left out.
    """
    last = {(vote.item, vote.voter): vote for vote in votes if vote.item and vote.voter}
    by_item: dict[str, dict[str, str]] = defaultdict(dict)
    for (item, voter), vote in last.items():
        by_item[item][voter] = _chosen(vote)
    shared, agreed = Counter[str](), Counter[str]()
    for chosen in by_item.values():
        for one, two in combinations(chosen, 2):
            for voter in (one, two):
                shared[voter] += 1
                agreed[voter] += chosen[one] == chosen[two]
    found = [_voter(name, last, shared[name], agreed[name]) for name in {voter for _, voter in last}]
    return tuple(sorted(found, key=lambda row: (-row.votes, row.voter)))


def _chosen(vote: Vote) -> str:
    """The model that a vote is for, or which kind of no one it is."""
    return {"left": f"model {vote.left}", "right": f"model {vote.right}"}.get(vote.choice, vote.choice)


def _voter(name: str, last: Mapping[tuple[str, str], Vote], shared: int, agreed: int) -> Voter:
    from studio.evaluation.verdict import wilson

    own = Counter(vote.choice for (_, voter), vote in last.items() if voter == name)
    _, low, high = wilson(agreed, shared)
    return Voter(name, own.total(), shared, agreed, low, high, own["left"] + own["right"], own["left"])
