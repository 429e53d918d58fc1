"""How the models of a project stand by the votes on their answers: a ranking, each against base, and how voters agree.

The figures are those of studio.evaluation.votes. Each vote that stands counts once, in the order in which it was cast.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.comparisons import side_names, standing_votes
from storage.database import Database
from storage.projects import get_project
from storage.records import Side
from storage.runs import run_number
from studio.language import mark, tr

if TYPE_CHECKING:
    from studio.evaluation.votes import Ranking, Voter, WinRate

BASE = mark("Base")


@dataclass(frozen=True)
class Model:
    """A model that was voted on: `run_id` is '' for what is no run; `elo` and `ranking` call it `name`."""

    run_id: str
    name: str
    votes: int
    elo: float


@dataclass(frozen=True)
class Standings:
    """What the votes of a project say. `models`: the most voted first; `against_base`: the win rate of each other model
    against the base models that it was compared with, each with its sentence; `voters`: how far each agrees with the
    others on the same answers. `votes` counts those between two different models; `blind` those given before names.
    """

    votes: int
    blind: int
    models: tuple[Model, ...]
    ranking: Ranking
    against_base: tuple[WinRate, ...]
    voters: tuple[Voter, ...]


def standings(db: Database, project_id: str) -> Standings:
    """How models stand by all votes of a project. Raises NotFound."""
    from studio.evaluation.votes import Vote, elo, strengths, voters, win_rate

    get_project(db, project_id)
    sides = side_names(db, project_id)
    names = _names(db, [side for of in sides.values() for side in of])
    counted: list[Vote] = []
    blind = 0
    for one in standing_votes(db, project_id):
        left, right = (names[_key(sides[one.comparison_id][place])] for place in (one.left, one.right))
        if left != right:
            low, high = one.pair
            item = f"{one.comparison_id} {low} {high}"
            counted.append(Vote(left, right, one.choice, one.user, item))  # type: ignore[arg-type]
            blind += one.blind
    ratings, seen = elo(counted), Counter(name for vote in counted for name in (vote.left, vote.right))
    runs = {name: run_id for (run_id, _), name in names.items()}
    models = tuple(Model(runs[name], name, count, ratings[name]) for name, count in seen.most_common())
    bases = [model.name for model in models if not model.run_id and model.name.startswith(BASE)]
    met = {(vote.left, vote.right) for vote in counted} | {(vote.right, vote.left) for vote in counted}
    rates = [
        win_rate(counted, model.name, base)
        for model in models
        for base in bases
        if model.name not in bases and (model.name, base) in met
    ]
    return Standings(len(counted), blind, models, strengths(counted), tuple(rates), voters(counted))


Key = tuple[str, str]
"""Run, and the name of what is no run."""


def _key(side: Side) -> Key:
    return (side.run_id, "") if side.run_id else ("", side.name)


def _names(db: Database, sides: list[Side]) -> dict[Key, str]:
    """What each model is called, no two alike: a run by its number."""
    found: dict[Key, str] = {}
    for side in sides:
        key = _key(side)
        if key not in found:
            number = run_number(db, side.run_id) if side.run_id else None
            name = tr("Run {number}", number=number) if number is not None else side.name or tr(BASE)
            found[key] = name if name not in found.values() else f"{name} ({(side.run_id or side.name)[:8]})"
    return found
