"""What an example's acts amount to: its status, the answer that stands, and whether a reviewer has to see it.

Pure functions over the acts, so that a submit, an undo, a review and a relabeling all end in the same state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from storage.records import Annotation

UNDONE = "(SELECT undoes FROM annotations WHERE action = 'undo')"
"""For an ANTI JOIN with acts: NOT EXISTS is planned over every id, and takes six times as long at 500,000 of them."""

_DONE_ALONE = ("import", "review", "repair", "counterfactual", "comparison")
"""Sources of an answer that is enough whatever the overlap."""

_OF_OTHERS = ("review", "repair")
"""Sources of an answer that stands for those of the annotators before it."""


@dataclass(frozen=True)
class Standing:
    """An example's derived columns (see the schema)."""

    status: str
    annotation_id: str | None
    answers: int
    review: str
    returned_to: str | None


def newest_acts(acts: Iterable[Annotation]) -> dict[str, Annotation]:
    """The newest act of each annotator that was not taken back, in the order of the annotators' first acts.

    `acts` are one example's, oldest first; answers to gold are left out: they change nothing. An answer that a repair
    mended is left out too: what the repair made of it stands for it.
    """
    kept = [act for act in acts if act.source != "gold"]
    undone = {act.undoes for act in kept}
    newest: dict[str, Annotation] = {}
    for act in kept:
        if act.action != "undo" and act.id not in undone:
            newest[act.annotator] = act
    mended = {act.base for act in newest.values() if act.source == "repair"}
    return {name: act for name, act in newest.items() if act.id not in mended}


def revision_for(acts: Sequence[Annotation], annotator: str) -> Annotation | None:
    """What an annotator's next save must name as its base: their newest standing act, or a reviewer's later edit."""
    newest = newest_acts(acts)
    mine = [act for act in newest.values() if act.annotator == annotator or act.source in _OF_OTHERS]
    return max(mine, key=lambda act: act.number, default=None)


def derive(
    acts: Sequence[Annotation], before: Standing, overlap: int, asks_review: bool, actor: str | None
) -> Standing:
    """The state after an act of `actor` (None for an undo or a bulk change), where `before` is the state so far.

    A dropped example stays dropped, whatever happens to it: only the repair that dropped it can be undone.
    """
    if before.status == "dropped":
        return replace(before, answers=_answers(acts))
    newest = newest_acts(acts)
    submits = [act for act in newest.values() if act.action == "submit"]
    skips = [act for act in newest.values() if act.action == "skip"]
    answers = _answers(acts)
    settled = max((act.number for act in submits if act.source == "review"), default=0)
    flags = [act for act in newest.values() if act.action == "flag" and act.number > settled]
    if flags:
        return Standing("flagged", max(flags, key=lambda act: act.number).id, answers, "", None)
    if before.review == "returned" and actor is not None and before.returned_to not in (None, actor):
        return Standing("todo", None, answers, "returned", before.returned_to)
    if answers < overlap and not any(act.source in _DONE_ALONE for act in submits):
        return Standing("todo", None, answers, "", None)
    if not submits:
        return Standing("skipped", max(skips, key=lambda act: act.number).id, answers, "", None)
    if before.review == "accepted" and before.annotation_id in {act.id for act in submits}:
        return Standing("labeled", before.annotation_id, answers, "accepted", None)
    waits = asks_review or before.review == "pending"
    if settled and settled == max(act.number for act in submits):
        return Standing("labeled", chosen(submits).id, answers, "accepted", None)
    return Standing("labeled", chosen(submits).id, answers, "pending" if waits else "", None)


def _answers(acts: Iterable[Annotation]) -> int:
    """Annotators whose submit or skip stands; who repaired an answer has not given one."""
    newest = newest_acts([act for act in acts if act.source != "repair"])
    return sum(act.action != "flag" for act in newest.values())


def chosen(submits: Sequence[Annotation]) -> Annotation:
    """The answer that stands: a reviewer's edit or a repair, or what came after it; else the one that most annotators
    gave, the earliest among equals. An imported answer stands only as long as no annotator gave another.

    `submits` holds one act an annotator, at least one.
    """
    if any(act.source in _OF_OTHERS for act in submits):
        return max(submits, key=lambda act: act.number)
    people = [act for act in submits if act.source != "import"] or list(submits)
    votes = Counter(act.response for act in people)
    return min(people, key=lambda act: (-votes[act.response], act.number))
