"""`python -m studio vote`: a stored comparison shown blind, a vote on it, and how the models of a project stand.

Three shapes of JSON: of a comparison {"comparison", "to_vote", "messages": [{"role", "content"}], "left", "right"},
where `left` and `right` are texts, always on the same sides for one person, and "comparison" is null when nothing is
left; of a vote or its undo {"comparison", "choice", "left", "right", "by", "example"}, where `left` and `right` are
the names of the models and `example` is the preference that it made, or null; of the standings {"votes", "blind",
"models": [{"run", "name", "votes", "elo"}], "ranking": [{"name", "points", "low", "high"}], "reason", "against_base":
[{"model", "other", "wins", "ties", "losses", "rate", "low", "high", "enough", "sentence"}], "voters": [{"voter",
"votes", "shared", "agreed", "low", "high"}]}, where `reason` says why nothing is ranked yet.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from storage.comparison_examples import find_made
from storage.database import Database
from storage.projects import find_project
from storage.records import Comparison, User, Vote
from studio.commands import Outcome, opened
from studio.errors import BadInput
from studio.labeling import comparing
from studio.settings import Workspace


def vote(workspace: Workspace, flags: Namespace) -> Outcome:
    """`vote NAME [--by USER] [--comparison ID [--choice left|right|tie|bad]] [--undo] [--standings]`."""
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        user = User(flags.by, "annotator")
        if flags.standings:
            return Outcome(standings_json(comparing.standings(db, project.id)))
        if flags.undo:
            return _undo(db, user, project.id)
        if flags.choice and not flags.comparison:
            raise BadInput("Name the comparison that you vote on: --comparison ID.")
        if flags.comparison:
            found = comparing.find_comparison(db, project.id, flags.comparison)
        elif (waiting := comparing.next_to_vote(db, user, project.id)) is not None:
            found = waiting
        else:
            return Outcome({"comparison": None, "to_vote": 0}, "No comparison waits for your vote.")
        left, right = comparing.shuffled(found.id, user.name, len(found.sides))[:2]
        if not flags.choice:
            to_vote = comparing.count_comparisons(db, project.id, user.name)[1]
            return Outcome(_shown(found, left, right, to_vote))
        given = comparing.vote(db, user, found.id, left, right, flags.choice)
        return Outcome(_voted(db, found, given))


def _undo(db: Database, user: User, project_id: str) -> Outcome:
    taken = comparing.undo_vote(db, user, project_id)
    if taken is None:
        return Outcome({"comparison": None}, "There is no vote of yours to take back.")
    return Outcome(_voted(db, comparing.get_comparison(db, taken.comparison_id), taken))


def _shown(comparison: Comparison, left: int, right: int, to_vote: int) -> dict[str, Any]:
    return {
        "comparison": comparison.id,
        "to_vote": to_vote,
        "messages": [{"role": turn.role, "content": turn.content} for turn in comparison.messages],
        "left": comparison.sides[left].text,
        "right": comparison.sides[right].text,
    }


def _voted(db: Database, comparison: Comparison, vote: Vote) -> dict[str, Any]:
    made = find_made(db.cursor(), comparison.id, "vote", *vote.pair)
    return {
        "comparison": comparison.id,
        "choice": vote.choice,
        "left": comparison.sides[vote.left].name,
        "right": comparison.sides[vote.right].name,
        "by": vote.user,
        "example": made.example_id if made and not made.withdrawn else None,
    }


def standings_json(found: comparing.Standings) -> dict[str, Any]:
    """How the models of a project stand, as plain values (see this module)."""
    rates = ("model", "other", "wins", "ties", "losses", "rate", "low", "high", "enough", "sentence")
    voters = ("voter", "votes", "shared", "agreed", "low", "high")
    return {
        "votes": found.votes,
        "blind": found.blind,
        "models": [{"run": m.run_id, "name": m.name, "votes": m.votes, "elo": round(m.elo, 1)} for m in found.models],
        "ranking": [
            {"name": row.model, "points": round(row.points, 1), "low": round(row.low, 1), "high": round(row.high, 1)}
            for row in found.ranking.strengths
        ],
        "reason": found.ranking.reason,
        "against_base": [{name: getattr(rate, name) for name in rates} for rate in found.against_base],
        "voters": [{name: getattr(voter, name) for name in voters} for voter in found.voters],
    }
