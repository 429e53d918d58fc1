"""Gold examples: set and removed by a reviewer, picked for an annotator, and how often each annotator was right.

An annotator's answer to a gold example is an annotation with source 'gold': it changes nothing but their accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Database
from storage.examples import get_example
from storage.gold import drop_gold, list_gold_answers, next_gold, put_gold
from storage.projects import get_project
from storage.records import Project, User
from studio.labeling.answers import check_answer, same_answer

_BY_ANSWER = ("classification", "multi-label", "rating", "preference")


@dataclass(frozen=True)
class GoldAccuracy:
    """How right an annotator's `answers` to gold examples are: the share of right ones (0 to 1), or for text the mean
    chrF with the known answer, as a share too."""

    annotator: str
    answers: int
    accuracy: float


def set_gold(db: Database, user: User, example_id: str, response: str, value: str = "") -> None:
    """Make an example gold with its known answer. Raises NotFound, BadInput."""
    example = get_example(db, example_id)
    project = get_project(db, example.project_id)
    put_gold(db, user.name, example_id, *check_answer(project, example, response, value))


def remove_gold(db: Database, user: User, example_id: str) -> None:
    """Make it an ordinary example again; what was answered stays. Raises NotFound."""
    drop_gold(db, user.name, example_id)


def pick_gold(db: Database, project_id: str, annotator: str) -> str | None:
    """A gold example that this annotator neither set nor acted on, or None."""
    return next_gold(db, project_id, annotator)


def gold_accuracy(db: Database, project: Project) -> dict[str, GoldAccuracy]:
    """Of each annotator who answered a gold example."""
    found: dict[str, list[float]] = {}
    for answer in list_gold_answers(db, project.id):
        given, known = (answer.response, answer.value), (answer.gold_response, answer.gold_value)
        found.setdefault(answer.annotator, []).append(_right(project, given, known))
    return {name: GoldAccuracy(name, len(scores), sum(scores) / len(scores)) for name, scores in found.items()}


def _right(project: Project, given: tuple[str, str], known: tuple[str, str]) -> float:
    if same_answer(project, given, known):
        return 1.0
    if project.task in _BY_ANSWER:
        return 0.0
    from sacrebleu import sentence_chrf

    return float(sentence_chrf(given[0], [known[0]]).score) / 100
