"""Label these: which requests, each once, with the answer as suggestion; and held-out prompts stay held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.annotations import annotate
from storage.database import Database
from storage.examples import get_example
from storage.projects import create_project
from storage.records import Label, Project, Settings
from storage.suggestions import newest_suggestion
from storage.watches import add_drift
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.deploy.label_these import Labeled, candidates, count_taken, label_these, requests_of
from studio.errors import BadInput
from studio.settings import Workspace
from tests.deploy.conftest import NOW, Server


def take(db: Database, project: Project, server: Server, reasons: Sequence[str] = ("low-rated",)) -> Labeled:
    server.taken()
    return label_these(db, "ann", project.id, candidates(db, project.id, NOW, reasons))


def test_a_low_rated_request_becomes_an_example(db: Database, project: Project, server: Server) -> None:
    server.ask("Fine?", rating=1)
    system = {"role": "system", "content": "You help."}
    bad = server.ask(turns=[system, {"role": "user", "content": "Where?"}], answer="Nowhere.", rating=-1)
    (example_id,) = take(db, project, server).examples
    example, draft = get_example(db, example_id), newest_suggestion(db, example_id)
    assert [(turn.role, turn.content) for turn in example.prompt] == [("user", "Where?")]
    assert (example.source, example.status) == ("served", "todo")
    assert draft and (draft.response, draft.source) == ("Nowhere.", "served")
    assert requests_of(db, example_id) == [(bad, "low-rated")] and count_taken(db, project.id) == {"low-rated": 1}


def test_a_request_is_taken_once(db: Database, project: Project, server: Server) -> None:
    server.ask(rating=-1)
    server.taken()
    chosen = candidates(db, project.id, NOW)
    assert label_these(db, "ann", project.id, chosen).taken == 1
    assert label_these(db, "bob", project.id, chosen).taken == 0
    assert candidates(db, project.id, NOW) == []


def test_the_same_prompt_is_one_example(db: Database, project: Project, server: Server) -> None:
    for _ in range(3):
        server.ask("Where?", rating=-1)
    done = take(db, project, server)
    assert (len(done.examples), done.taken, done.waiting) == (1, 3, 0)
    server.ask("Where?", rating=-1)
    done = take(db, project, server)
    assert (done.examples, done.taken, done.waiting) == ([], 1, 1)


def test_the_strongest_reason_counts(db: Database, project: Project, server: Server) -> None:
    one, two, three = server.ask("a", rating=-1, confidence=0.1), server.ask("b", confidence=0.2), server.ask("c")
    server.ask("d", confidence=0.9)
    server.taken()
    add_drift(db, project.id, "s", True, {"topics": [{"requests": [one, three]}]}, NOW)
    found = candidates(db, project.id, NOW)
    assert [(each.request.id, each.reason) for each in found] == [
        (one, "low-rated"),
        (three, "drifting"),
        (two, "unsure"),
    ]


def test_old_unrated_and_textless_requests_are_left(db: Database, project: Project, server: Server) -> None:
    server.ask(rating=-1, at=NOW - timedelta(days=60))
    server.ask(messages=None, rating=-1)
    server.rate(server.ask(rating=-1), 1)
    server.ask(status=500, answer="", rating=-1)
    server.taken()
    assert candidates(db, project.id, NOW) == []
    with pytest.raises(BadInput, match="no reason 'other'"):
        candidates(db, project.id, NOW, ["other"])


def test_what_cannot_be_stored_is_left_out(db: Database, project: Project, server: Server) -> None:
    server.ask("nul \0 here", rating=-1)
    server.ask("  ", rating=-1)
    done = take(db, project, server)
    assert (done.taken, done.left_out) == (0, 2)


def test_an_answer_that_names_a_label_suggests_it(db: Database, server: Server) -> None:
    labels = Settings(labels=(Label("late", "#000000"), Label("lost", "#111111")))
    project = create_project(db, "Mail", "classification", settings=labels)
    server.ask("It came a week after.", "LATE.", rating=-1, model="Mail@production")
    server.ask("It never came.", "I do not know", rating=-1, model="Mail@production")
    late, lost = take(db, project, server).examples[::-1]
    draft = newest_suggestion(db, late)
    assert draft and draft.response == "late" and newest_suggestion(db, lost) is None


def test_preferences_are_refused(db: Database, server: Server) -> None:
    project = create_project(db, "Which", "preference")
    server.ask(rating=-1, model="Which@production")
    with pytest.raises(BadInput, match="needs two answers"):
        take(db, project, server)


def test_of_another_project_nothing_is_taken(db: Database, project: Project, server: Server) -> None:
    server.ask(rating=-1)
    server.taken()
    chosen = candidates(db, project.id, NOW)
    assert label_these(db, "ann", create_project(db, "Other").id, chosen).taken == 0


def frozen(db: Database, workspace: Workspace, project: Project, split: str) -> list[str]:
    """The example ids of a split of a new snapshot."""
    snapshot = freeze(db, workspace, project.id, 0.2, 0.3).snapshot
    return [
        str(one)
        for one in pq.read_table(workspace.snapshots / snapshot.id / f"{split}.parquet")["example_id"].to_pylist()
    ]


def test_held_out_prompts_never_reach_training(
    db: Database, workspace: Workspace, project: Project, server: Server, tmp_path: Path
) -> None:
    """As they are, with their context where the server puts it, and as the begin of a longer conversation."""
    pairs = [
        {"prompt": f"Where is {n}?", "context": f"Order {n}." if n % 2 else "", "response": "Y"} for n in range(40)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    import_file(db, project.id, tmp_path / "a.jsonl")
    held = [get_example(db, one) for one in frozen(db, workspace, project, "test")]
    assert {bool(one.context) for one in held} == {True, False}
    for example in held:
        asked = f"{example.context}\n\n{example.text}" if example.context else example.text
        user = {"role": "user", "content": asked}
        server.ask(turns=[user], rating=-1)
        server.ask(turns=[{"role": "system", "content": "Other."}, user], rating=-1)
        server.ask(turns=[user, {"role": "assistant", "content": "A"}, {"role": "user", "content": "Yes?"}], rating=-1)
    done = take(db, project, server)
    assert len(done.examples) == 3 * len(held)
    for number, example_id in enumerate(done.examples):
        annotate(db, example_id, "ann", "submit", f"Corrected {number}.")
    assert set(done.examples) & set(frozen(db, workspace, project, "train")) == set()
    assert set(done.examples) & set(frozen(db, workspace, project, "test"))


def test_a_redacted_held_out_prompt_is_known_too(
    db: Database, workspace: Workspace, project: Project, server: Server, tmp_path: Path
) -> None:
    pairs = [{"prompt": f"I am 100%_sure, mail me{n}@a.org about {n}.", "response": "Y"} for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    import_file(db, project.id, tmp_path / "a.jsonl")
    held = [get_example(db, one) for one in frozen(db, workspace, project, "test")]
    for example in held:
        number = example.text.rsplit(" ", 1)[1]
        server.ask(f"I am 100%_sure, mail [EMAIL_1] about {number}", rating=-1)
        server.ask(f"{example.text.rsplit(' ', 2)[0]} …", rating=-1)
    done = take(db, project, server)
    for example_id in done.examples:
        annotate(db, example_id, "ann", "submit", f"Corrected {example_id}.")
    assert len(done.examples) == 2 * len(held)
    assert set(done.examples) & set(frozen(db, workspace, project, "train")) == set()
