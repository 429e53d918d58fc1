"""`python -m studio suggest`: what it gives, keeps and refuses."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import pytest

from storage.annotations import Act, Rules, append_act
from storage.database import Database, connect
from storage.embeddings import insert_vectors
from storage.examples import next_examples
from storage.projects import create_project, find_project
from storage.records import Label, Settings
from studio.commands import suggest as commands_suggest
from studio.commands.suggest import suggest
from studio.errors import BadInput, NotFound
from studio.jobs.engine import Answer, Engines, Question, Weights
from studio.labeling.suggestions import suggestion_for
from studio.settings import Workspace
from tests.labeling.samples import clusters, put_examples

LABELS = (Label("l0", "#000000"), Label("l1", "#000000"))


class Parrot(Engines):
    """Answers every question with "l1"."""

    def get(self, *held: str) -> Parrot:  # type: ignore[override]
        return self

    def answer_many(self, questions: Sequence[Question], parallel: int = 16) -> list[Answer]:
        return [Answer("l1", Weights("starter", "b", None, None), "stop", 1, 0.1, 0.5) for _ in questions]


@pytest.fixture
def topics(workspace: Workspace) -> Workspace:
    """Forty examples of two labels with vectors, in a workspace nobody holds."""
    db = connect(workspace.database, workspace.backups)
    made = create_project(db, "Topics", "classification", settings=Settings(labels=LABELS))
    ids = put_examples(db, made.id, [f"text {n}" for n in range(40)])
    insert_vectors(db, made.id, ids, clusters((20, 20))[0])
    db.close()
    return workspace


def flags(**given: object) -> Namespace:
    return Namespace(**{"name": "Topics", "run_id": None, "source": "starter", "limit": 20, **given})


def opened(workspace: Workspace) -> Database:
    return connect(workspace.database, workspace.backups)


def test_the_starter_is_asked_about_the_next_examples(topics: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_suggest, "Engines", Parrot)
    outcome = suggest(topics, flags(limit=18))
    assert {key: outcome.data[key] for key in ("source", "examples", "suggestions", "mean_uncertainty")} == {
        "source": "starter",
        "examples": 18,
        "suggestions": 18,
        "mean_uncertainty": 0.5,
    }
    assert "from now on" in outcome.message
    db = opened(topics)
    first = next_examples(db, find_project(db, "Topics").id, 19)
    assert [suggestion_for(db, one.id) is not None for one in first] == [True] * 18 + [False]
    db.close()


def test_the_encoder_needs_labels_first(topics: Workspace) -> None:
    with pytest.raises(BadInput, match="label some first"):
        suggest(topics, flags(source="encoder"))
    db = opened(topics)
    for n, one in enumerate(next_examples(db, find_project(db, "Topics").id, 40)[::4]):
        with db.write() as cursor:
            append_act(cursor, Act(one.id, "ann", "submit", f"l{int(n >= 5)}"), Rules())
    db.close()
    assert suggest(topics, flags(source="encoder")).data["suggestions"] == 20


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"limit": 0}, BadInput),
        ({"source": "oracle"}, BadInput),
        ({"name": "Nobody"}, NotFound),
        ({"run_id": "x"}, NotFound),
    ],
)
def test_refusals(topics: Workspace, given: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        suggest(topics, flags(**given))
