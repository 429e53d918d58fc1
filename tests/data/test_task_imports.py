"""Imports by task: labels that are found, choices, ratings, conversations with flags, priorities, review."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.annotations import Act, Rules, append_act
from storage.database import Database
from storage.examples import get_example, list_pairs, page_examples
from storage.labels import PALETTE
from storage.projects import create_project, get_project
from storage.records import Project, Settings
from studio.data.columns import Columns, guess_columns, to_draft
from studio.data.importing import import_file
from studio.data.targets import Unusable, choice, labels, rating
from studio.errors import BadInput
from studio.labeling.answers import check_answer


def write(folder: Path, rows: list[dict[str, Any]], name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make(db: Database, task: str, **settings: Any) -> Project:
    return create_project(db, task, task, settings=replace(Settings(), **settings))


def names(db: Database, project: Project) -> list[str]:
    return [label.name for label in get_project(db, project.id).settings.labels]


def answers(db: Database, project: Project) -> list[tuple[str, str]]:
    return [(pair.response, pair.value) for pair in list_pairs(db, project.id)]


def test_labels_are_added_by_first_appearance_with_colours(db: Database, tmp_path: Path) -> None:
    project = make(db, "classification")
    rows = [{"text": f"t{n}", "label": name} for n, name in enumerate(["b", " a\n x", "b", "", "c|d"])]
    report = import_file(db, project.id, write(tmp_path, rows))
    assert (report.labeled, report.labels) == (4, 3) and names(db, project) == ["b", "a x", "c|d"]
    colours = [label.colour for label in get_project(db, project.id).settings.labels]
    assert colours == list(PALETTE[:3])
    more = import_file(db, project.id, write(tmp_path, [{"text": "n", "label": "new"}, {"text": "m", "label": "b"}]))
    assert more.labels == 1 and names(db, project)[-1] == "new"


def test_banking77_gives_77_labels(db: Database, tmp_path: Path) -> None:
    project, path = make(db, "classification"), tmp_path / "b.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "category"], *[[f"text {n}", f"intent_{n % 77}"] for n in range(400)]])
    assert import_file(db, project.id, path).labels == 77
    assert len(set(names(db, project))) == 77 and import_file(db, project.id, path).labels == 0


def test_too_many_labels_are_no_classification(db: Database, tmp_path: Path) -> None:
    project = make(db, "classification")
    path = write(tmp_path, [{"text": f"t{n}", "label": f"l{n}"} for n in range(1001)])
    with pytest.raises(BadInput, match="more than 1,000 different labels"):
        import_file(db, project.id, path)
    assert names(db, project) == [] and page_examples(db, project.id) == []


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (["x", "y", "x"], ("x", "y")),
        ('["x", 2]', ("x", "2")),
        ("x|y", ("x", "y")),
        ("x; y;", ("x", "y")),
        ("a, b", ("a", "b")),
        ("a, z", ("a, z",)),
        ("a, b, c", ("a, b, c",)),
        ("a, b|x", ("a, b", "x")),
        ([11.0, None], ("11",)),
        ("[x", ("[x",)),
        (None, ()),
        ("", ()),
    ],
)
def test_several_labels_in_a_cell(cell: object, found: tuple[str, ...]) -> None:
    assert labels(cell, ["a", "b", "a, b, c"]) == found


def test_several_labels_are_imported_as_an_annotator_would_give_them(db: Database, tmp_path: Path) -> None:
    project = make(db, "multi-label")
    import_file(db, project.id, write(tmp_path, [{"text": "1", "labels": ["b", "a"]}, {"text": "2", "labels": "a;b"}]))
    known = get_project(db, project.id)
    assert names(db, project) == ["b", "a"]
    example = page_examples(db, project.id)[0][0]
    assert {check_answer(known, example, *answer) for answer in answers(db, project)} == {("b\na", "")}


@pytest.mark.parametrize(("cell", "found"), [("4", "4"), (4.0, "4"), (5, "5"), ("3.0", "3"), ("", None), (None, None)])
def test_ratings_are_numbers(cell: object, found: str | None) -> None:
    assert rating(cell, 5) == found


@pytest.mark.parametrize("cell", ["6", "0", "4.5", "good", -1, True])
def test_what_is_no_rating_is_rejected(cell: object) -> None:
    with pytest.raises(Unusable, match="1 to 5"):
        rating(cell, 5)


@pytest.mark.parametrize(
    ("cell", "found"),
    [("A", "A"), ("b", "B"), ("model_a", "A"), ("Response B", "B"), ("tie (bothbad)", "tie"), (2, "B"), ("", None)],
)
def test_choices_have_many_names(cell: object, found: str | None) -> None:
    assert choice(cell).response == found


def test_two_answers_become_the_payload(db: Database, tmp_path: Path) -> None:
    project = make(db, "preference")
    rows = [
        {"prompt": "p", "response_a": "x", "response_b": "y", "choice": "b", "margin": 2, "reason": "kinder"},
        {"prompt": "p", "response_a": "x", "response_b": "z"},
        {"prompt": "p", "response_a": "x", "response_b": "z"},
        {"prompt": "p", "response_a": "x", "response_b": " "},
        {"prompt": "q", "response_a": "x", "response_b": "z", "choice": "neither"},
    ]
    report = import_file(db, project.id, write(tmp_path, rows))
    assert (report.imported, report.labeled, report.duplicates, report.rejected_count) == (2, 1, 1, 2)
    assert answers(db, project) == [("B", '{"choice":"B","margin":2,"reason":"kinder"}')]
    assert [dict(example.payload) for example, _ in page_examples(db, project.id)] == [
        {"a": "x", "b": "y"},
        {"a": "x", "b": "z"},
    ]


def test_chosen_and_rejected_are_shuffled_and_labeled(db: Database, tmp_path: Path) -> None:
    project = make(db, "preference")
    path = write(tmp_path, [{"prompt": f"p{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(200)])
    assert import_file(db, project.id, path).labeled == 200
    pairs = list_pairs(db, project.id)
    assert all(pair.payload["a" if pair.response == "A" else "b"].startswith("good") for pair in pairs)
    assert 60 < sum(pair.response == "A" for pair in pairs) < 140
    assert import_file(db, project.id, path).imported == 0


def test_whole_conversations_that_differ_in_their_last_turn_are_a_preference(db: Database, tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Hi"}
    row = {kind: [asked, {"role": "assistant", "content": kind}] for kind in ("chosen", "rejected")}
    project = make(db, "preference")
    assert import_file(db, project.id, write(tmp_path, [row])).labeled == 1
    pair = list_pairs(db, project.id)[0]
    assert pair.prompt[0].content == "Hi" and sorted(pair.payload.values()) == ["chosen", "rejected"]


def test_a_preference_needs_two_answers(db: Database, tmp_path: Path) -> None:
    project, path = make(db, "preference"), write(tmp_path, [{"prompt": "p", "answer": "x"}])
    with pytest.raises(BadInput, match="two answers; there are: prompt, answer"):
        import_file(db, project.id, path)
    with pytest.raises(BadInput, match="answer A and answer B"):
        import_file(db, project.id, path, Columns("prompt"))


def talk(*turns: tuple[str, object]) -> list[dict[str, Any]]:
    """Turns of (text, flag or None), user and assistant by turns."""
    made: list[dict[str, Any]] = []
    for n, (text, flag) in enumerate(turns):
        made.append({"role": "user" if n % 2 == 0 else "assistant", "content": text})
        if flag is not None:
            made[-1]["weight" if n % 4 == 1 else "train"] = flag
    return made


def test_a_conversation_is_imported_whole_with_its_flags(db: Database, tmp_path: Path) -> None:
    project = make(db, "chat")
    rows = [
        {"messages": talk(("a", None), ("b", 1), ("c", None), ("d", 0))},
        {"messages": talk(("a2", None), ("b", None), ("c", None), ("d", None))},
        {"messages": talk(("open", None))},
        {"messages": talk(("a3", None), ("b", 0))},
        {"messages": talk(("a4", None), ("b", 7))},
    ]
    report = import_file(db, project.id, write(tmp_path, rows))
    assert [row.line for row in report.rejected] == [4, 5] and (report.imported, report.labeled) == (3, 2)
    flags = [[turn["train"] for turn in json.loads(value)["turns"]] for _, value in answers(db, project)]
    assert flags == [[False, True, False, False], [False, False, False, True]]
    example = page_examples(db, project.id)[0][0]
    assert all(check_answer(project, example, *answer) == answer for answer in answers(db, project))


def test_prompt_and_answer_are_a_conversation_too(db: Database) -> None:
    project = make(db, "chat")
    draft = to_draft({"prompt": "q", "completion": "a"}, Columns("prompt", "completion"), "", project)
    assert json.loads(draft.value)["turns"][-1] == {"role": "assistant", "content": "a", "train": True}
    assert to_draft({"prompt": "q"}, Columns("prompt"), "", project).value == ""


def test_priorities_are_numbers(db: Database, project: Project, tmp_path: Path) -> None:
    rows = [{"input": "a", "priority": 2.5}, {"input": "b"}, {"input": "c", "priority": "high"}]
    rows += [{"input": "d", "priority": float("inf")}]
    report = import_file(db, project.id, write(tmp_path, rows))
    assert [row.line for row in report.rejected][:1] == [3]
    assert db.query("SELECT priority FROM examples ORDER BY position") == [(2.5,), (0.0,)]


def test_an_imported_answer_is_done_whatever_the_overlap_and_waits_for_review(db: Database, tmp_path: Path) -> None:
    project = make(db, "instruction", overlap=3, review=True)
    import_file(db, project.id, write(tmp_path, [{"input": "w"}]))
    import_file(db, project.id, write(tmp_path, [{"input": "w", "output": "1"}, {"input": "n", "output": "2"}]))
    examples = [example for example, _ in page_examples(db, project.id)]
    assert [(e.status, e.answers, e.review) for e in examples] == [("labeled", 1, "pending")] * 2
    assert list_pairs(db, project.id) == []
    db.cursor().execute("UPDATE examples SET review = 'accepted'")
    assert [pair.response for pair in list_pairs(db, project.id)] == ["1", "2"]


def test_an_imported_answer_stands_beside_those_that_people_gave(db: Database, tmp_path: Path) -> None:
    project = make(db, "instruction", overlap=2)
    import_file(db, project.id, write(tmp_path, [{"input": "w"}]))
    example = page_examples(db, project.id)[0][0]
    with db.write() as cursor:
        append_act(cursor, Act(example.id, "ann", "submit", "hers"), Rules(2))
    import_file(db, project.id, write(tmp_path, [{"input": "w", "output": "1"}]))
    found = get_example(db, example.id)
    assert (found.status, found.answers) == ("labeled", 2)


@pytest.mark.parametrize(
    ("task", "columns", "meant"),
    [
        ("classification", ["text", "category"], Columns("text", "category")),
        ("classification", ["text", "label", "label_text"], Columns("text", "label_text")),
        ("classification", ["input", "instruction", "intent"], Columns("instruction", "intent")),
        ("multi-label", ["messages", "labels"], Columns("messages", "labels")),
        ("rating", ["text", "label", "score"], Columns("text", "score")),
        ("preference", ["prompt", "a", "b", "priority"], Columns("prompt", None, None, "a", "b", priority="priority")),
        ("preference", ["query", "output_a", "output_b", "vote"], Columns("query", "vote", a="output_a", b="output_b")),
        ("preference", ["chosen", "rejected"], Columns("chosen", None, None, "chosen", "rejected")),
        ("preference", ["prompt", "answer"], None),
        ("summarisation", ["article", "highlights"], Columns("article", "highlights")),
        ("question-answering", ["context", "question", "answer"], Columns("question", "answer", "context")),
    ],
)  # fmt: skip
def test_columns_are_guessed_by_task(task: str, columns: list[str], meant: Columns | None) -> None:
    assert guess_columns(columns, task) == meant
