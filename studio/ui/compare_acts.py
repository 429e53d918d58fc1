"""What is done with the answers of a comparison: kept, voted on, a vote taken back, an answer corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

from storage.records import Comparison, User
from studio.context import Studio
from studio.contract.chat import Message
from studio.errors import BadInput
from studio.jobs.comparison import Pane
from studio.jobs.comparison_batch import sides_of
from studio.jobs.engine import Answer, Weights
from studio.jobs.evaluation_said import retold_model
from studio.labeling.comparing import fix_answer, save_comparison, shuffled, undo_vote, vote
from studio.language import tr
from studio.ui.compare_state import Shown
from studio.ui.compare_views import BAD, BEST, TIE
from studio.ui.components.compare_panes import PaneAct

Given = tuple[int, int, str]
"""A vote between two places: the left one, the right one, and the choice."""


@dataclass(frozen=True)
class Acted:
    """The comparison after something was done; `fixing` is the place whose answer is to be corrected now, or -1."""

    shown: Shown | None
    fixing: int = -1


def act_on(studio: Studio, user: User, shown: Shown | None, wanted: PaneAct) -> Acted:
    """Do what was pressed. Raises BadInput, NotFound, NotAllowed."""
    if shown is None or wanted.token != shown.token:
        return Acted(shown)  # about what is not on the screen any more
    if wanted.act == "vote":
        return Acted(cast_vote(studio, user, shown, wanted.choice))
    if wanted.act == "undo":
        return Acted(take_back(studio, user, shown))
    if not shown.done or not 0 <= wanted.place < len(shown.panes):
        return Acted(shown)
    if wanted.act == "diff":
        return Acted(replace(shown, diff=None if shown.diff == wanted.place else wanted.place))
    if wanted.act == "fix":
        return Acted(shown, wanted.place if shown.pane(wanted.place).answer else -1)
    return Acted(shown)


def cast_vote(studio: Studio, user: User, shown: Shown, choice: str) -> Shown:
    """Keep the comparison and vote on it; afterwards its names are known. The best of several wins over each other one.

    Raises BadInput for a choice that there is not, NotFound, NotAllowed.
    """
    if not shown.votable:
        return shown
    given = votes_for(choice, len(shown.panes))
    kept = keep(studio, user, shown)
    for left, right, what in given:
        vote(studio.db, user, kept.kept, kept.order[left], kept.order[right], what, blind=True)
    return replace(kept, voted=words_of(kept, choice), votes=len(given)).renewed()


def votes_for(choice: str, count: int) -> list[Given]:
    """The votes that a choice among so many places is. Raises BadInput."""
    if choice in (TIE, BAD):
        return [(left, right, choice) for left, right in combinations(range(count), 2)]
    best = next((place for place in range(count) if choice == f"{BEST}{place}"), None)
    if best is None:
        raise BadInput("Choose one of the answers, a tie, or that all are bad.")
    pairs = [pair for pair in combinations(range(count), 2) if best in pair]
    return [(left, right, "left" if left == best else "right") for left, right in pairs]


def take_back(studio: Studio, user: User, shown: Shown) -> Shown:
    """Take the votes on this comparison back; its names stay known, so it is not voted on again here."""
    if not shown.voted or not shown.votes:
        return shown
    for _ in range(shown.votes):
        undo_vote(studio.db, user, shown.project_id, shown.kept or None)
    return replace(shown, voted=tr("The vote is taken back."), votes=0).renewed()


def save_fix(studio: Studio, user: User, shown: Shown | None, place: int, answer: str) -> Shown:
    """Make a labeled pair of a corrected answer. Raises BadInput, NotFound, NotAllowed."""
    if shown is None or not 0 <= place < len(shown.panes) or not shown.pane(place).answer:
        raise BadInput("This answer is not on the screen any more: generate it again.")
    if shown.rounds > 1:
        raise BadInput("Only a first answer can become a labeled pair: ask anew with Generate.")
    kept = keep(studio, user, shown)
    fix_answer(studio.db, user, kept.kept, kept.order[place], answer)
    return kept


def keep(studio: Studio, user: User, shown: Shown) -> Shown:
    """The same, stored. Raises BadInput where fewer than two models answered, NotFound."""
    if shown.kept:
        return shown
    if not shown.whole or shown.lineup is None:
        raise BadInput("Not every model answered: take away what cannot answer and generate again.")
    sides = sides_of(shown.lineup, shown.panes)
    asked, sampling = shown.chats[0], asdict(shown.sampling)
    made = save_comparison(studio.db, user, shown.project_id, asked, sides, sampling, shown.example_id)
    return replace(shown, kept=made.id)


def to_vote_on(comparison: Comparison, user: User) -> Shown:
    """A stored comparison as this person sees it: blind, in an order of their own."""
    sides = comparison.sides
    answers = [
        Answer(side.text, Weights(side.weights, "", None, None), "stop", side.tokens, side.seconds) for side in sides
    ]
    return Shown(
        project_id=comparison.project_id,
        names=tuple(side.name for side in sides),
        chats=(_asked(comparison),) * len(sides),
        panes=tuple(Pane(answer.text, answer) for answer in answers),
        order=shuffled(comparison.id, user.name, len(sides)),
        example_id=comparison.example_id,
        blind=True,
        kept=comparison.id,
    )


def words_of(shown: Shown, choice: str) -> str:
    """What was voted, with names."""
    names = [retold_model(shown.names[side]) for side in shown.order]
    if choice == TIE:
        return tr("You called it a tie between {models}.", models=listed(names))
    if choice == BAD and len(names) == 2:
        return tr("You found {models} bad, both of them.", models=listed(names))
    if choice == BAD:
        return tr("You found {models} bad, all of them.", models=listed(names))
    best = int(choice.removeprefix(BEST))
    others = listed([name for place, name in enumerate(names) if place != best])
    return tr("You preferred {best} to {others}.", best=names[best], others=others)


def listed(names: Sequence[str]) -> str:
    """A, B and C."""
    return names[0] if len(names) == 1 else tr("{names} and {last}", names=", ".join(names[:-1]), last=names[-1])


def _asked(comparison: Comparison) -> tuple[Message, ...]:
    return tuple(Message(turn.role, turn.content, extra=turn.extra) for turn in comparison.messages)  # type: ignore[arg-type]
