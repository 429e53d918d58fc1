"""The suggester: the next examples are supplied, others' work is left alone, and troubles are told in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from storage.annotations import Act, Rules, append_act
from storage.database import Database
from storage.embeddings import insert_vectors
from storage.projects import create_project, update_settings
from storage.records import Label, Project, Settings
from storage.suggestions import newest_suggestion
from studio.errors import BadInput, Cancelled, JobFailed
from studio.jobs import suggesting
from studio.jobs.engine import Answer, Engines, Question, Weights
from studio.jobs.sources import check_source
from studio.jobs.suggesting import Suggester
from studio.settings import Workspace
from tests.jobs.conftest import Room, wait_until
from tests.labeling.samples import clusters, in_order, put_examples

WEIGHTS = Weights("starter", "b" * 64, None, None)


class FakeEngines(Engines):
    """Answers with the question's last word; `broken` has it fail, `free` False has somebody else use it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.asked: list[tuple[str, Question]] = []
        self.broken, self.free = False, True

    def is_free_for(self, base_model: str, device: str = "auto", dtype: str = "auto", seconds: float = 120) -> bool:
        return self.free

    def get(self, base_model: str, device: str = "auto", dtype: str = "auto") -> FakeEngines:  # type: ignore[override]
        if self.broken:
            raise JobFailed("The model's process ended while it loaded.")
        self._base = base_model
        return self

    def answer_many(self, questions: Sequence[Question], parallel: int = 16) -> list[Answer]:
        self.asked += [(self._base, question) for question in questions]
        words = [question.messages[-1].content.split()[-1] for question in questions]
        return [Answer(word, WEIGHTS, "stop", 1, 0.1, int(word) / 10) for word in words]


@pytest.fixture
def engines(workspace: Workspace) -> FakeEngines:
    return FakeEngines(workspace)


@pytest.fixture
def suggester(db: Database, workspace: Workspace, engines: FakeEngines) -> Iterator[Suggester]:
    def peek(project_id: str, count: int) -> list[str]:
        return in_order(db, project_id, limit=count)

    made = Suggester(db, workspace, engines, peek)
    yield made
    made.stop()


@pytest.fixture
def asked(db: Database) -> Project:
    """Thirty texts to answer with the starter's suggestions."""
    made = create_project(db, "Help", "instruction", settings=Settings(suggest="starter"))
    put_examples(db, made.id, [f"Say {n}" for n in range(30)])
    return made


def waiting(db: Database, project: Project, column: str = "-position") -> list[str]:
    return in_order(db, project.id, column)


def test_the_next_twenty_are_supplied_in_small_batches(db: Database, suggester: Suggester, asked: Project) -> None:
    assert [suggester.step(asked.id) for _ in range(4)] == [True, True, True, False]
    found = [newest_suggestion(db, one) for one in waiting(db, asked)]
    assert [one.response for one in found[:20]] == [str(n) for n in range(20)] and found[20:] == [None] * 10
    assert (found[3].source, found[3].uncertainty) == ("starter", 0.3)
    assert suggester.status(asked.id).words == "4 suggestions made."


def test_a_thread_does_it_once_poked(db: Database, suggester: Suggester, asked: Project) -> None:
    suggester.start()
    suggester.poke(asked.id)
    wait_until(lambda: newest_suggestion(db, waiting(db, asked)[0]) is not None)


def test_nothing_is_made_where_no_source_is_chosen(
    db: Database, suggester: Suggester, engines: FakeEngines, asked: Project
) -> None:
    update_settings(db, asked.id, Settings())
    assert not suggester.step(asked.id) and engines.asked == []


def test_an_answer_that_is_no_label_is_not_asked_again(
    db: Database, suggester: Suggester, engines: FakeEngines
) -> None:
    made = create_project(
        db, "Topics", "classification", settings=Settings((Label("a", "#000000"),), suggest="starter")
    )
    put_examples(db, made.id, ["one"])
    engines.answer_many = lambda questions, parallel=16: [Answer("b", WEIGHTS, "stop", 1, 0.1)]  # type: ignore
    assert [suggester.step(made.id) for _ in range(2)] == [True, False]
    assert "no usable answer" in suggester.status(made.id).words


def test_a_training_run_is_left_alone(room: Room, workspace: Workspace, engines: FakeEngines) -> None:
    room.start("slow")
    made = create_project(room.db, "Other", "instruction", settings=Settings(suggest="starter"))
    ids = put_examples(room.db, made.id, ["Say 1"])
    suggester = Suggester(room.db, workspace, engines, lambda project_id, count: ids)
    assert not suggester.step(made.id) and engines.asked == []
    assert suggester.status(made.id).words.startswith("A run is training")


def test_somebody_elses_engine_is_left_alone(suggester: Suggester, engines: FakeEngines, asked: Project) -> None:
    engines.free = False
    assert not suggester.step(asked.id) and engines.asked == []
    assert "somebody else" in suggester.status(asked.id).words


def test_a_finished_run_answers_with_its_adapter(
    room: Room, workspace: Workspace, engines: FakeEngines, project: Project
) -> None:
    run = room.ended(room.start("quick"))
    update_settings(room.db, project.id, replace(project.settings, suggest=f"run:{run.id}"))
    ids = put_examples(room.db, project.id, ["Say 1"])
    Suggester(room.db, workspace, engines, lambda project_id, count: ids).step(project.id)
    assert [(base, question.adapter) for base, question in engines.asked] == [(run.base_model, run.id)]
    assert newest_suggestion(room.db, ids[0]).response == "1"


def test_a_failure_is_told_and_tried_again_later(
    suggester: Suggester, engines: FakeEngines, asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggesting, "_RETRY_SECONDS", 0.0)
    engines.broken = True
    suggester.start()
    suggester.poke(asked.id)
    wait_until(lambda: suggester.status(asked.id).problem)
    assert suggester.status(asked.id).words == "The model's process ended while it loaded."
    engines.broken = False
    wait_until(lambda: bool(engines.asked))


def test_the_least_sure_come_first_where_that_is_the_order(
    db: Database, suggester: Suggester, asked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_settings(db, asked.id, Settings(order="uncertain", suggest="starter"))
    monkeypatch.setattr(suggesting, "embed_project", lambda *args: 0)
    for _ in range(4):
        suggester.step(asked.id)
    first = [newest_suggestion(db, one).response for one in waiting(db, asked, "uncertainty")[:3]]
    assert first == ["19", "18", "17"]


@pytest.fixture
def topics(db: Database) -> tuple[Project, list[str]]:
    """Sixty examples of two labels with vectors, the encoder as source."""
    labels = (Label("l0", "#000000"), Label("l1", "#000000"))
    settings = Settings(labels=labels, suggest="encoder", order="uncertain")
    made = create_project(db, "Topics", "classification", settings=settings)
    ids = put_examples(db, made.id, [f"text {n}" for n in range(60)])
    insert_vectors(db, made.id, ids, clusters((30, 30))[0])
    return made, ids


def label(db: Database, ids: Sequence[str], first: int, last: int) -> None:
    for n in range(first, last):
        with db.write() as cursor:
            append_act(cursor, Act(ids[n * 7 % 60], "ann", "submit", f"l{int(n * 7 % 60 >= 30)}"), Rules())


def test_the_encoder_learns_and_suggests(
    db: Database, suggester: Suggester, topics: tuple[Project, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggesting, "_LEARN_SECONDS", 0.0)
    made, ids = topics
    assert suggester.step(made.id) and not suggester.step(made.id)  # the diverse order, then nothing to learn from
    assert "after the first ten answers" in suggester.status(made.id).words
    label(db, ids, 0, 10)
    assert [suggester.step(made.id) for _ in range(3)] == [True, True, False]
    found = newest_suggestion(db, ids[1])
    assert (found.response, found.source) == ("l0", "encoder") and 0 <= found.uncertainty <= 1
    label(db, ids, 10, 21)
    assert [suggester.step(made.id) for _ in range(3)] == [True, True, False]  # learned anew, suggested anew
    assert newest_suggestion(db, waiting(db, made)[0]).created_at > found.created_at


def test_calling_off_is_remembered(
    db: Database, suggester: Suggester, topics: tuple[Project, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def embed(*args: object) -> int:
        calls.append("embed")
        raise Cancelled("Stopped: kept.")

    monkeypatch.setattr(suggesting, "embed_project", embed)
    put_examples(db, topics[0].id, ["without a vector"])
    suggester.start()
    suggester.poke(topics[0].id)
    wait_until(lambda: suggester.status(topics[0].id).words == "Stopped: kept.")
    suggester.poke(topics[0].id)
    assert calls == ["embed"]
    suggester.compute(topics[0].id)
    wait_until(lambda: len(calls) == 2)


@pytest.mark.parametrize(("task", "source"), [("preference", "run:a"), ("rating", "encoder"), ("chat", "oracle")])
def test_sources_that_cannot_answer_a_task(task: str, source: str) -> None:
    with pytest.raises(BadInput, match=r"choose one of|There is no source"):
        check_source(task, source)
