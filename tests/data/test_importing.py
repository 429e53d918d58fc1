"""Imports: the account is exact, twice is once, all or nothing."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.annotations import annotate
from storage.database import Database, connect
from storage.examples import count_examples, list_pairs, next_examples, page_examples
from storage.imports import ImportBatch
from storage.projects import create_project
from storage.records import Counts, Project
from studio.data.columns import Columns
from studio.data.importing import ImportProgress, import_file
from studio.data.prompts import content_key
from studio.data.sample import SAMPLE_FILE, create_sample_project
from studio.errors import BadInput, Cancelled, DiskFull, NotFound
from studio.settings import Workspace


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_account_is_exact(tmp_path: Path, db: Database, project: Project) -> None:
    rows: list[dict[str, object]] = [{"input": "a", "output": "1"}, {"input": "b"}, {"input": "a", "output": "1"}]
    rows += [{"input": "a", "output": "2"}, {"input": ""}, {"input": "b", "output": "3"}]
    report = import_file(db, project.id, jsonl(tmp_path / "a.jsonl", rows))
    assert (report.imported, report.labeled, report.duplicates) == (3, 3, 2)
    assert [(row.line, row.reason) for row in report.rejected] == [(5, "the input is empty")]
    assert report.imported + report.duplicates + report.rejected_count == len(rows)


def test_the_same_file_again_adds_nothing_even_after_corrections(
    tmp_path: Path, db: Database, project: Project
) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": "a", "output": "1"}, {"input": "b", "output": "2"}, {"input": "c"}])
    import_file(db, project.id, path)
    annotate(db, list_pairs(db, project.id)[0].example_id, "me", "submit", "corrected")
    annotate(db, list_pairs(db, project.id)[1].example_id, "me", "flag")
    again = import_file(db, project.id, path)
    assert (again.imported, again.duplicates) == (0, 3)
    assert count_examples(db, project.id) == Counts(todo=1, labeled=1, flagged=1)


def test_examples_count_on_from_one_whatever_line_the_rows_begin_on(
    tmp_path: Path, db: Database, project: Project
) -> None:
    table, more = tmp_path / "a.csv", jsonl(tmp_path / "b.jsonl", [{"input": "d"}, {"input": "e"}])
    table.write_text("prompt,answer\na,1\nb,2\nc,3\n")
    import_file(db, project.id, table)
    import_file(db, project.id, more)
    assert [example.position for example, _ in page_examples(db, project.id)] == [1, 2, 3, 4, 5]


def test_an_answer_labels_the_example_that_waits(tmp_path: Path, db: Database, project: Project) -> None:
    import_file(db, project.id, jsonl(tmp_path / "a.jsonl", [{"input": "a"}, {"input": "b"}]))
    report = import_file(db, project.id, jsonl(tmp_path / "b.jsonl", [{"input": "a", "output": "1"}]))
    assert (report.imported, report.labeled) == (1, 1)
    assert count_examples(db, project.id) == Counts(todo=1, labeled=1)


def test_projects_do_not_see_each_other(tmp_path: Path, db: Database, project: Project) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": "a", "output": "1"}, {"input": "b"}])
    other = create_project(db, "Other")
    assert import_file(db, project.id, path).imported == import_file(db, other.id, path).imported == 2


def test_the_order_of_the_file_is_kept(tmp_path: Path, db: Database, project: Project) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": f"q{n}"} for n in range(12_000)])
    import_file(db, project.id, path)
    texts = [example.text for example in next_examples(db, project.id, 12_000)]
    assert texts == [f"q{n}" for n in range(12_000)]


def test_columns_can_be_named(tmp_path: Path, db: Database, project: Project) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Frage,Antwort,Lage\nq,a,c\n")
    with pytest.raises(BadInput, match="Frage, Antwort, Lage"):
        import_file(db, project.id, path)
    with pytest.raises(BadInput, match="no column 'answer'"):
        import_file(db, project.id, path, Columns("Frage", "answer"))
    assert import_file(db, project.id, path, Columns("Frage", "Antwort", "Lage")).labeled == 1
    pair = list_pairs(db, project.id)[0]
    assert (pair.prompt[0].content, pair.response, pair.context) == ("q", "a", "c")


def test_cancelling_imports_nothing(tmp_path: Path, db: Database, project: Project) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": f"q{n}" + 40 * " "} for n in range(9_000)])
    seen: list[ImportProgress] = []
    with pytest.raises(Cancelled):
        import_file(db, project.id, path, on_progress=lambda step: bool(seen.append(step)) or len(seen) < 2)
    assert [step.rows for step in seen] == sorted({step.rows for step in seen})
    assert 0.1 < seen[-1].fraction < 1 and 1000 < seen[-1].rows < 9000
    assert count_examples(db, project.id).total == 0
    assert import_file(db, project.id, path).imported == 9_000


@pytest.mark.parametrize("count", [3, 1500])
def test_cancelling_behind_the_last_row_still_imports_nothing(
    tmp_path: Path, db: Database, project: Project, count: int
) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": f"q{n}"} for n in range(count)])
    with pytest.raises(Cancelled):
        import_file(db, project.id, path, on_progress=lambda step: step.rows < count)
    assert count_examples(db, project.id).total == 0
    seen: list[ImportProgress] = []
    import_file(db, project.id, path, on_progress=lambda step: not seen.append(step))
    assert seen[-1] == ImportProgress(count, 1.0) and {step.rows for step in seen if step.fraction == 1.0} == {count}


def test_cancelling_while_rows_are_written_imports_nothing(
    tmp_path: Path, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": "a", "output": "b"}])
    told, asked = threading.Event(), threading.Event()
    drop_known = ImportBatch._drop_known
    monkeypatch.setattr(ImportBatch, "_drop_known", lambda *args: (told.set(), asked.wait(20), drop_known(*args)))
    with pytest.raises(Cancelled):
        import_file(db, project.id, path, on_progress=lambda step: not told.is_set() or bool(asked.set()))
    assert count_examples(db, project.id).total == 0
    monkeypatch.undo()
    assert import_file(db, project.id, path).imported == 1


def test_an_unknown_project_is_refused(db: Database) -> None:
    with pytest.raises(NotFound):
        import_file(db, "none", SAMPLE_FILE)


def test_imports_beside_labeling_lose_nothing(tmp_path: Path, db: Database, project: Project) -> None:
    import_file(db, project.id, jsonl(tmp_path / "w.jsonl", [{"input": f"w{n}"} for n in range(40)]))
    files = [jsonl(tmp_path / f"{k}.jsonl", [{"input": f"{k}-{n}"} for n in range(3000)]) for k in range(3)]
    waiting = [example.id for example in next_examples(db, project.id, 40)]
    threads = [threading.Thread(target=import_file, args=(db, project.id, file)) for file in files]
    threads.append(threading.Thread(target=lambda: [annotate(db, e, "me", "submit", "x") for e in waiting]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_examples(db, project.id) == Counts(todo=9000, labeled=40)


def test_annotators_go_on_while_rows_are_written(
    tmp_path: Path, db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_file(db, project.id, jsonl(tmp_path / "w.jsonl", [{"input": "w"}]))
    waiting = next_examples(db, project.id, 1)[0].id
    drop_known = ImportBatch._drop_known

    def annotate_meanwhile(*args: object) -> None:
        drop_known(*args)  # type: ignore[arg-type]
        thread = threading.Thread(target=annotate, args=(db, waiting, "me", "submit", "x"))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()

    monkeypatch.setattr(ImportBatch, "_drop_known", annotate_meanwhile)
    assert import_file(db, project.id, jsonl(tmp_path / "a.jsonl", [{"input": "a", "output": "b"}])).imported == 1
    assert count_examples(db, project.id) == Counts(labeled=2)


def test_one_file_twice_at_the_same_time_is_there_once(tmp_path: Path, db: Database, project: Project) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"input": f"q{n}", "output": f"a{n % 7}"} for n in range(3000)])
    reports: list[int] = []
    threads = [
        threading.Thread(target=lambda: reports.append(import_file(db, project.id, path).imported)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reports) == [0, 0, 3000] and count_examples(db, project.id) == Counts(labeled=3000)


def test_every_example_has_a_position_of_its_own(tmp_path: Path, db: Database, project: Project) -> None:
    files = [jsonl(tmp_path / f"{k}.jsonl", [{"input": f"{k} {n}", "output": "x"} for n in range(50)]) for k in "ab"]
    for file in files:
        import_file(db, project.id, file)
    rows = db.query("SELECT e.position, a.number, e.prompt FROM examples e JOIN annotations a ON a.example_id = e.id")
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == 100
    assert [row[2] for row in sorted(rows)] == [f'[["user", "{k} {n}"]]' for k in "ab" for n in range(50)]


def test_a_full_disk_imports_nothing_and_keeps_what_was_there(small_disk: Path, tmp_path: Path) -> None:
    workspace = Workspace(small_disk)
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "P")
    import_file(db, project.id, jsonl(tmp_path / "a.jsonl", [{"input": "kept", "output": "yes"}]))
    big = jsonl(tmp_path / "b.jsonl", [{"input": f"{n} " + str(hash(str(n))) * 100} for n in range(20_000)])
    with pytest.raises(DiskFull, match="full"):
        import_file(db, project.id, big)
    assert count_examples(db, project.id) == Counts(labeled=1)
    annotate(db, list_pairs(db, project.id)[0].example_id, "me", "submit", "still works")
    db.close()
    db = connect(workspace.database, workspace.backups)
    assert list_pairs(db, project.id)[0].response == "still works"
    db.close()


def test_the_sample_project_is_numbered_when_its_name_is_taken(db: Database) -> None:
    first, second = create_sample_project(db), create_sample_project(db)
    assert second.name == f"{first.name} 2"
    assert count_examples(db, second.id) == Counts(todo=15, labeled=205)
    assert all(answer.startswith("Ahoy!") for _, answer in page_examples(db, first.id, "labeled", limit=300))


def test_one_prompt_typed_in_two_ways_is_one(tmp_path: Path, db: Database, project: Project) -> None:
    rows: list[dict[str, object]] = [{"input": "caf\u00e9 "}, {"input": "cafe\u0301"}, {"input": "Caf\u00e9"}]
    assert import_file(db, project.id, jsonl(tmp_path / "a.jsonl", rows)).duplicates == 1
    assert content_key((), "a") != content_key((), "b")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXTS, st.none() | TEXTS), min_size=1, max_size=12))
def test_any_rows_are_all_accounted_for(tmp_path: Path, db: Database, rows: list[tuple[str, str | None]]) -> None:
    project = create_project(db, f"P{len(list(tmp_path.iterdir()))}-{next(_numbers)}")
    path = jsonl(tmp_path / "a.jsonl", [{"input": q, "output": a} for q, a in rows])
    report = import_file(db, project.id, path)
    assert report.imported + report.duplicates + report.rejected_count == len(rows)
    assert import_file(db, project.id, path).imported == 0
    pairs = Counter((pair.content_key, pair.response) for pair in list_pairs(db, project.id))
    assert all(count == 1 for count in pairs.values())


_numbers = iter(range(10**9))
