"""Who answers a comparison: several runs of one base from one real engine, others told why not, and batches kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database, connect
from storage.projects import create_project
from storage.runs import create_run
from studio.contract.chat import Message
from studio.errors import BadInput, NotFound
from studio.jobs.comparison import Pane
from studio.jobs.comparison_batch import Asked, make_comparisons
from studio.jobs.endpoint import save_endpoint
from studio.jobs.engine import Engines, Sampling
from studio.jobs.lineup import BASE, Lineup, ask, line_up
from studio.labeling.comparing import count_comparisons, next_to_vote
from studio.people.roles import ALONE
from studio.settings import Workspace
from tests.inference.conftest import make_adapter, make_model, make_tokenizer

SHORT = Sampling(max_tokens=6)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Engines]]:
    """A workspace with runs `one` and `two` of one tiny base, and its engines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        workspace = Workspace(tmp_path_factory.mktemp("workspace"))
        base = workspace.root / "base"
        make_tokenizer().save_pretrained(base)
        make_model(7).save_pretrained(base)
        for seed, run in enumerate(("one", "two"), 1):
            make_adapter(workspace.runs, run, base, scale=0.5, seed=seed)
        engines = Engines(workspace)
        yield workspace, engines
        engines.close()


@pytest.fixture
def db(tmp_path: Path, home: tuple[Workspace, Engines]) -> Iterator[Database]:
    """A database with one project, `one` and `two` of it, and `far`, a run of another base model."""
    db = connect(tmp_path / "studio.duckdb", tmp_path / "backups")
    project = create_project(db, "P")
    base = str(home[0].root / "base")
    for run, model in (("one", base), ("two", base), ("far", "elsewhere")):
        create_run(db, run, project.id, "s", model, '{"device": "cpu"}', 1)
    yield db
    db.close()


def project_of(db: Database) -> str:
    """The id of the one project."""
    return str((db.one("SELECT id FROM projects") or [""])[0])


def last(home: tuple[Workspace, Engines], lineup: Lineup, prompts: list[str]) -> tuple[Pane, ...]:
    """All panes as they ended; one prompt a party."""

    async def run() -> tuple[Pane, ...]:
        asked = [[Message("user", prompt)] for prompt in prompts]
        return [panes async for panes in ask(home[1], lineup, asked, SHORT)][-1]

    return asyncio.run(run())


def test_base_and_runs_answer_from_one_engine_in_their_order(home: tuple[Workspace, Engines], db: Database) -> None:
    lineup = line_up(db, home[0], ["two", "one", "two"])
    assert [(party.key, party.name) for party in lineup.parties] == [(BASE, "Base"), ("two", "Run 2"), ("one", "Run 1")]
    panes = last(home, lineup, ["Hi"] * 3)
    assert [pane.answer and pane.answer.weights.adapter for pane in panes] == [None, "two", "one"]
    assert len({pane.text for pane in panes}) == 3


def test_each_side_goes_on_from_its_own_conversation(home: tuple[Workspace, Engines], db: Database) -> None:
    lineup = line_up(db, home[0], ["one"])
    same, other = last(home, lineup, ["Hi", "Hi"]), last(home, lineup, ["Hi", "Something else"])
    assert same[0].text == other[0].text and same[1].text != other[1].text


def test_a_run_of_another_base_says_why_it_does_not_answer(home: tuple[Workspace, Engines], db: Database) -> None:
    panes = last(home, line_up(db, home[0], ["one", "far"]), ["Hi"] * 3)
    assert panes[0].answer and panes[1].answer and panes[2].answer is None
    assert panes[2].error and "Run 3" in panes[2].error and "apart from the others" in panes[2].error


@pytest.mark.parametrize(("runs", "said"), [([], "Choose a run"), (["a", "b", "c", "d"], "at most 3")])
def test_none_and_too_many_are_refused(
    home: tuple[Workspace, Engines], db: Database, runs: list[str], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        line_up(db, home[0], runs)


def test_an_endpoint_answers_only_when_named_and_asked_for(tmp_path: Path, db: Database) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(BadInput, match="No endpoint"):
        line_up(db, workspace, ["one"], endpoint=True)
    save_endpoint(workspace, "https://models.example/v1", "big")
    assert line_up(db, workspace, ["one"]).endpoint is None
    assert line_up(db, workspace, ["one"], endpoint=True).parties[-1].name == "big at models.example"
    with pytest.raises(NotFound):
        line_up(db, workspace, ["gone"])


def test_a_batch_is_kept_for_votes_and_can_be_cancelled(home: tuple[Workspace, Engines], db: Database) -> None:
    prompts = [Asked((Message("user", f"Question {n}"),)) for n in range(6)]
    said: list[float] = []

    def note(fraction: float, words: str) -> bool:
        said.append(fraction)
        return fraction < 0.5

    made = make_comparisons(db, home[1], ALONE, project_of(db), line_up(db, home[0], ["one"]), prompts, SHORT, note)
    assert (made.kept, made.asked, made.problem) == (4, 6, "") and said[0] == 0.0
    assert count_comparisons(db, project_of(db), ALONE.name) == (4, 4)
    kept = next_to_vote(db, ALONE, project_of(db))
    assert kept and [side.name for side in kept.sides] == ["Base base", "Run 1"] and kept.text == "Question 0"


def test_a_row_that_not_all_answered_is_not_kept(home: tuple[Workspace, Engines], db: Database) -> None:
    prompts = [Asked((Message("user", "Hi"),))]
    lineup = line_up(db, home[0], ["one", "far"])
    made = make_comparisons(db, home[1], ALONE, project_of(db), lineup, prompts, SHORT, lambda far, words: True)
    assert made.kept == 0 and "Run 3" in made.problem
