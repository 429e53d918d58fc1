"""Every filter of a search against the same filter in plain Python over every row; the copy in memory keeps up."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.database import Database, check_integrity, connect, now
from storage.embeddings import count_vectors, insert_vectors
from storage.projects import create_project
from storage.records import Project
from storage.search import Filter, list_annotators, list_suggestion_sources, matching_ids, search
from storage.vectors import texts_without_vector
from studio.errors import BadInput, NotFound
from tests.bench.bench_find import LABELS, cases, fill

ROWS = 10_000


@dataclass(frozen=True)
class Big:
    """A filled database, its project, and all that is known of each example, in order of import."""

    db: Database
    project: Project
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Big]:
    folder: Path = tmp_path_factory.mktemp("find")
    db = connect(folder / "studio.duckdb", folder / "backups")
    project = fill(db, ROWS)
    yield Big(db, project, everything(db, project.id))
    db.close()


def everything(db: Database, project_id: str) -> list[dict[str, Any]]:
    """Each example as a dict, put together without the code under test."""
    acts, suggested = defaultdict(list), defaultdict(list)
    undone = {row[0] for row in db.query("SELECT undoes FROM annotations WHERE action = 'undo'")}
    answers: dict[str, str] = {}
    sql = "SELECT id, example_id, annotator, action, response, created_at, number FROM annotations ORDER BY number"
    for act in db.query(sql):
        answers[act[0]] = act[4]
        if act[3] != "undo" and act[0] not in undone:
            acts[act[1]].append(act)
    for row in db.query("SELECT example_id, source, outcome FROM suggestions"):
        suggested[row[0]].append(row)
    gold = {row[0] for row in db.query("SELECT example_id FROM gold")}
    sql = (
        "SELECT id, prompt, context, payload, status, review, annotation_id, uncertainty FROM examples "
        "WHERE project_id = ? ORDER BY position"
    )
    return [
        {
            "id": row[0], "turns": [turn[1] for turn in json.loads(row[1])], "context": row[2],
            "payload": json.loads(row[3]) if row[3] else {}, "status": row[4], "review": row[5],
            "answer": answers.get(row[6], ""), "uncertainty": row[7], "acts": acts[row[0]],
            "suggested": suggested[row[0]], "gold": row[0] in gold,
        }
        for row in db.query(sql, [project_id])
    ]  # fmt: skip


def fits(row: dict[str, Any], f: Filter) -> bool:
    """The filter in plain words."""
    text = "\n".join([*row["turns"], row["context"], *row["payload"].values()])
    length = sum(len(turn) for turn in row["turns"])
    newest = {act[2]: act for act in row["acts"]}
    return (
        (not f.text or f.text.lower() in text.lower() or f.text.lower() in row["answer"].lower())
        and (not f.labels or any(label in row["answer"].split("\n") for label in f.labels))
        and (not f.statuses or row["status"] in f.statuses)
        and (not f.reviews or row["review"] in f.reviews)
        and (not (f.annotators or f.since or f.until or f.flagged) or any(act_fits(act, f) for act in row["acts"]))
        and (f.prompt_min or 0) <= length <= (f.prompt_max or length)
        and (f.answer_min or 0) <= len(row["answer"]) <= (f.answer_max or len(row["answer"]))
        and (not f.suggestion_source or any(s[1] == f.suggestion_source for s in row["suggested"]))
        and (not f.suggestion_outcome or any((s[2] or "open") == f.suggestion_outcome for s in row["suggested"]))
        and (not f.gold or row["gold"])
        and (not f.disagreement or len({a[4] for a in newest.values() if a[3] == "submit"}) > 1)
    )


def act_fits(act: tuple[Any, ...], f: Filter) -> bool:
    at = act[5].replace(tzinfo=UTC)
    return (
        (not f.annotators or act[2] in f.annotators)
        and (not f.since or at >= f.since)
        and (not f.until or at < f.until)
        and (not f.flagged or act[3] == "flag")
    )


JANUARY = Filter(since=datetime(2026, 1, 1, 5, tzinfo=UTC), until=datetime(2026, 1, 2, tzinfo=UTC))
FILTERS = {
    **{name: case[0] for name, case in cases("").items() if not name.startswith("similar")},
    "dates of these rows": JANUARY,
    "dates and somebody": replace(JANUARY, annotators=("person 40",)),
    "a context": Filter(text="Context Number 40"),
    "an answer of the payload": Filter(text="LEFT 101"),
    "the word user, which every stored prompt has": Filter(text="user"),
    "labels and lengths": Filter(labels=LABELS[:9], prompt_max=90, answer_min=3, answer_max=30),
    "flagged by somebody": Filter(flagged=True, annotators=("person 8",)),
    "disagreement that waits": Filter(disagreement=True, reviews=("pending", "accepted")),
    "percent and underscore are letters": Filter(text="%_"),
    "quotes are letters": Filter(text="'; DROP TABLE examples; --"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_a_plain_filter_finds(big: Big, name: str) -> None:
    wanted = [row["id"] for row in big.rows if fits(row, FILTERS[name])]
    found, total = search(big.db, big.project.id, FILTERS[name], "imported", 3, 40)
    assert total == len(wanted)
    assert [item.example.id for item in found] == wanted[3:43]
    assert matching_ids(big.db, big.project.id, FILTERS[name]) == wanted


ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "imported": lambda row: 0,
    "newest": lambda row: -max((act[5] for act in row["acts"]), default=datetime(1970, 1, 1)).timestamp(),
    "longest": lambda row: -sum(len(turn) for turn in row["turns"]) - len(row["answer"]),
    "uncertain": lambda row: (row["uncertainty"] is None, -(row["uncertainty"] or 0)),
}


@pytest.mark.parametrize("sort", ORDERS)
def test_an_order_is_that_order_on_every_page(big: Big, sort: str) -> None:
    wanted = [row["id"] for row in sorted((r for r in big.rows if r["status"] != "skipped"), key=ORDERS[sort])]
    filter = Filter(statuses=("todo", "labeled", "flagged"))
    for offset in (0, 25, len(wanted) - 7):
        found, total = search(big.db, big.project.id, filter, sort, offset)
        assert (total, [item.example.id for item in found]) == (len(wanted), wanted[offset : offset + 25])


def test_similar_ones_are_those_of_an_exact_search(big: Big) -> None:
    chosen = big.rows[77]["id"]
    vector = big.db.query("SELECT vector FROM embeddings WHERE example_id = ?", [chosen])[0][0]
    exact = big.db.query(
        "SELECT example_id, array_inner_product(vector, ?::FLOAT[384]) AS s FROM embeddings WHERE example_id <> ? "
        "ORDER BY s DESC LIMIT 50",
        [list(vector), chosen],
    )
    near = [row for row in exact if row[1] > 0.4]  # those of its own topic
    found, total = search(big.db, big.project.id, Filter(similar_to=chosen), "similar")
    assert total == 500 and [item.example.id for item in found[: len(near)]] == [row[0] for row in near]
    assert [item.similarity for item in found[: len(near)]] == pytest.approx([row[1] for row in near], abs=1e-5)
    assert len(near) > 1


def test_similar_ones_fit_the_rest_of_the_filter_too(big: Big) -> None:
    filter = Filter(similar_to=big.rows[77]["id"], text="refund", statuses=("flagged",))
    wanted = {row["id"] for row in big.rows if fits(row, replace(filter, similar_to=""))}
    found, total = search(big.db, big.project.id, filter, "longest", 0, 500)
    assert {item.example.id for item in found} == wanted and total == len(wanted)


def test_people_and_sources_that_one_can_choose(big: Big) -> None:
    assert len(list_annotators(big.db, big.project.id)) == 41
    assert list_suggestion_sources(big.db, big.project.id) == ["run:abc", "starter"]


def test_what_is_no_order_no_project_and_no_vector(big: Big) -> None:
    with pytest.raises(BadInput, match="order"):
        search(big.db, big.project.id, Filter(), "by colour")
    with pytest.raises(BadInput, match="no vector"):
        search(big.db, big.project.id, Filter(similar_to="nothing"))
    with pytest.raises(NotFound):
        search(big.db, "x; DROP", Filter(text="a"))


def test_the_copy_keeps_up_with_every_kind_of_change(db: Database) -> None:
    project = fill(db, 200)
    assert search(db, project.id, Filter(text="brandnew"))[1] == 0
    first = matching_ids(db, project.id, Filter(statuses=("todo",)))[0]
    with db.write() as cursor:
        cursor.execute(ACT, ["new", first, project.id, "ana", "submit", "a BrandNew answer", None, now()])
        cursor.execute("UPDATE examples SET annotation_id = 'new', status = 'labeled' WHERE id = ?", [first])
    assert matching_ids(db, project.id, Filter(text="brandnew")) == [first]
    assert matching_ids(db, project.id, Filter(annotators=("ana",), statuses=("labeled",))) == [first]
    assert search(db, project.id, Filter(), "newest")[0][0].example.id == first
    with db.write() as cursor:
        cursor.execute(ACT, ["gone", first, project.id, "ana", "undo", "", "new", now()])
        cursor.execute("UPDATE examples SET annotation_id = NULL, status = 'todo' WHERE id = ?", [first])
    assert matching_ids(db, project.id, Filter(text="brandnew")) == []
    assert matching_ids(db, project.id, Filter(annotators=("ana",))) == []


def test_disagreement_ends_when_somebody_changes_their_answer(db: Database) -> None:
    project = fill(db, 200)
    row = next(row for row in everything(db, project.id) if fits(row, Filter(disagreement=True)))
    assert row["id"] in matching_ids(db, project.id, Filter(disagreement=True))
    with db.write() as cursor:
        cursor.execute(ACT, ["x", row["id"], project.id, "person 40", "submit", row["answer"], None, now()])
    assert row["id"] not in matching_ids(db, project.id, Filter(disagreement=True))


def test_an_outcome_and_a_vector_that_came_later_are_found(db: Database) -> None:
    project = fill(db, 100, vectors=False)
    assert search(db, project.id, Filter(suggestion_outcome="open"))[1] == 49
    with db.write() as cursor:
        moment = now()
        cursor.execute("UPDATE suggestions SET outcome = 'edited', decided_at = ? WHERE id = md5('s3')", [moment])
        cursor.execute("DELETE FROM suggestions WHERE id = md5('s4')")
    assert search(db, project.id, Filter(suggestion_outcome="open"))[1] == 47
    ids = [example for example, _ in next(texts_without_vector(db, project.id))][:3]
    insert_vectors(db, project.id, ids[:2], [[1.0] + [0.0] * 383, [0.6, 0.8] + [0.0] * 382])
    found, total = search(db, project.id, Filter(similar_to=ids[0]), "similar")
    assert (total, found[0].example.id, found[0].similarity) == (1, ids[1], pytest.approx(0.6))
    insert_vectors(db, project.id, ids[2:], [[0.8, 0.6] + [0.0] * 382])
    assert search(db, project.id, Filter(similar_to=ids[0]), "similar")[0][0].example.id == ids[2]
    assert count_vectors(db, project.id) == 3


def test_three_projects_in_turn_and_the_check_of_the_file(db: Database) -> None:
    names = ["One", "Two", "Three"]
    projects = [fill(db, 20, vectors=False, name=name) if name == "One" else _other(db, name) for name in names]
    for project in (*projects, *projects):
        assert search(db, project.id, Filter(text="a"))[1] == (20 if project is projects[0] else 1)
    assert check_integrity(db)["examples"] == 22


def test_one_of_several_labels_is_found_whole(db: Database) -> None:
    project = fill(db, 30, vectors=False)
    first, second = matching_ids(db, project.id, Filter())[:2]
    for example_id, labels in ((first, "red\nblue green"), (second, "red wine\nblue")):
        with db.write() as cursor:
            cursor.execute(ACT, [labels, example_id, project.id, "ana", "submit", labels, None, now()])
            cursor.execute("UPDATE examples SET annotation_id = ? WHERE id = ?", [labels, example_id])
    assert matching_ids(db, project.id, Filter(labels=("red", "green"))) == [first]
    assert matching_ids(db, project.id, Filter(labels=("blue", "blue green"))) == [first, second]


def _other(db: Database, name: str) -> Project:
    project = create_project(db, name)
    with db.write() as cursor:
        cursor.execute(
            "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
            "VALUES (?, ?, '[[\"user\", \"a \\\"quoted\\\"\\nword\"]]', '', '', 'x', 'todo', ?)",
            [name, project.id, now()],
        )
    assert matching_ids(db, project.id, Filter(text='A "QUOTED"\nword')) == [name]
    return project


ACT = (
    "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, undoes, created_at, pair_key, "
    "source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', 'label')"
)
