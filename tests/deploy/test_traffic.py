"""Lines of a server taken up: half ones wait, broken ones are passed over, a killed app neither loses nor doubles."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import traffic as rows
from storage.database import Database
from storage.projects import create_project
from storage.records import Project
from studio.contract.traffic import TRAFFIC_FILE, ServedRequest, next_file
from studio.deploy import traffic
from studio.deploy.traffic import TakenUp, take_up, take_up_all
from studio.settings import Workspace
from tests.deploy.conftest import NOW, Server, make_run


def stored(db: Database) -> list[str]:
    return [row[0] for row in db.query("SELECT id FROM requests ORDER BY at_time")]


def test_what_is_new_is_taken_up_once(db: Database, workspace: Workspace, server: Server) -> None:
    server.ask(rating=1)
    server.ask()
    assert take_up_all(db, workspace) == TakenUp(2, 1, 0)
    server.ask()
    assert (take_up_all(db, workspace), take_up_all(db, workspace)) == (TakenUp(1), TakenUp())
    assert stored(db) == ["req-1", "req-2", "req-3"]


def test_a_half_line_waits_for_its_rest(db: Database, server: Server) -> None:
    server.ask()
    whole = (server.folder / TRAFFIC_FILE).read_text()
    (server.folder / TRAFFIC_FILE).write_text(whole + whole.replace("req-1", "req-2")[:40])
    assert server.taken() == TakenUp(1)
    (server.folder / TRAFFIC_FILE).write_text(whole + whole.replace("req-1", "req-2"))
    assert server.taken() == TakenUp(1) and stored(db) == ["req-1", "req-2"]


@pytest.mark.parametrize(
    "line", ["{", "nothing", '{"kind":"request"}', '{"kind":"other"}', "\x00\x01", '{"a":"\\ud800"}', "[]" * 9, "null"]
)
def test_a_line_that_is_none_is_counted_and_passed_over(db: Database, server: Server, line: str) -> None:
    server.write(line + "\n")
    server.ask()
    assert server.taken() == TakenUp(1, 0, 1) and server.taken() == TakenUp()


def test_figures_that_cannot_be_are_kept_within_bounds(db: Database, server: Server) -> None:
    server.ask(answer_tokens=10**30, prompt_tokens=-5, status=99999)
    assert server.taken() == TakenUp(1)
    assert db.query("SELECT answer_tokens, prompt_tokens, status FROM requests") == [(2**62, 0, 999)]


def test_small_pieces_give_the_same(db: Database, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_CHUNK", 100)
    for n in range(20):
        server.ask("x" * 37 * n)
    assert server.taken() == TakenUp(20) and len(stored(db)) == 20


def test_a_look_takes_only_so_much(db: Database, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_CHUNK", 100)
    for _ in range(5):
        server.ask()
    assert [take_up(db, server.folder, most_chunks=2).requests for _ in range(4)] == [2, 2, 1, 0]


def test_a_line_longer_than_any_is_passed_over(db: Database, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_CHUNK", 1 << 10)
    monkeypatch.setattr(traffic, "_LONGEST_LINE", 1 << 12)
    server.write("z" * 20_000 + "\n")
    server.ask()
    assert server.taken().requests == 1


def test_a_file_that_began_anew_is_read_from_its_start(db: Database, server: Server) -> None:
    for _ in range(3):
        server.ask()
    server.taken()
    (server.folder / TRAFFIC_FILE).write_text("")
    server.ask()
    assert server.taken() == TakenUp(1) and len(stored(db)) == 4


def test_a_crash_between_reading_and_keeping_loses_nothing(
    db: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ask(rating=-1)

    def crash(*given: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rows, "_add_feedback", crash)
        server.taken()
    assert stored(db) == [] and server.taken() == TakenUp(1, 1)


def test_feedback_that_overtook_its_request_counts_once_that_is_there(db: Database, server: Server) -> None:
    server.rate("req-1", -1)
    assert server.taken() == TakenUp(0, 1)
    project_id = db.query("SELECT id FROM projects")[0][0]
    assert rows.count_thumbs(db, project_id, NOW) == (0, 0)
    server.ask()
    server.taken()
    assert rows.count_thumbs(db, project_id, NOW) == (0, 1)


def test_whose_a_request_is(db: Database, workspace: Workspace, project: Project, server: Server) -> None:
    other = create_project(db, "Other")
    run = make_run(db, workspace, other)
    server.ask(run_id=run.id)
    server.ask(model="support@PRODUCTION")
    server.ask(model="base")
    server.ask(model="base", run_id="run-of-nobody")
    take_up(db, server.folder, "fallback")
    owners = [row[0] for row in db.query("SELECT project_id FROM requests ORDER BY at_time")]
    assert owners == [other.id, project.id, "fallback", "fallback"]


def test_refusals_are_told_from_the_text(db: Database, server: Server) -> None:
    server.ask(answer="I'm sorry, but I can't help with that request.")
    server.ask(answer="It is on its way.")
    server.ask(messages=None)
    server.ask(answer="", status=500)
    server.taken()
    assert [row[0] for row in db.query("SELECT refused FROM requests ORDER BY at_time")] == [True, False, None, None]


def segment(server: Server, born: int, *ids: str, tail: str = "") -> Path:
    """A file of that age with requests of these ids."""
    path = server.folder / next_file([], born)
    lines = [ServedRequest(id=one, at=NOW, model="base", status=200).model_dump_json() + "\n" for one in ids]
    path.write_text("".join(lines) + tail)
    return path


def test_files_that_were_left_are_read_to_their_end_and_deleted(db: Database, server: Server) -> None:
    server.ask()  # an older server's file
    first, second = segment(server, 10, "a", "b"), segment(server, 20, "c")
    assert server.taken() == TakenUp(4) and server.taken() == TakenUp()
    assert [path.exists() for path in (server.folder / TRAFFIC_FILE, first, second)] == [False, False, True]
    with second.open("a") as file:
        file.write(second.read_text().replace('"c"', '"d"'))
    third = segment(server, 30, "e")
    assert server.taken() == TakenUp(2) and not second.exists() and third.exists()
    assert sorted(stored(db)) == ["a", "b", "c", "d", "e", "req-1"]
    assert db.query("SELECT count(*) FROM traffic_files") == [(1,)]


def test_half_a_line_at_the_end_of_a_file_that_was_left_holds_nothing_up(db: Database, server: Server) -> None:
    first = segment(server, 10, "a", tail='{"kind": "requ')
    segment(server, 20, "b")
    assert server.taken() == TakenUp(2, 0, 1) and not first.exists()


def test_no_line_is_lost_or_doubled_by_a_crash_at_any_moment(
    db: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("add_traffic", "forget_file"):
        segment(server, 10, "a", "b")
        segment(server, 20, "c")

        def crash(*given: object) -> int:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(traffic, name, crash)
            server.taken()
        server.taken()
        assert sorted(stored(db)) == ["a", "b", "c"]


def test_a_look_takes_only_so_much_of_all_files_together(
    db: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_CHUNK", 100)
    for born in (10, 20, 30):
        segment(server, born, f"x{born}", f"y{born}")
    assert [take_up(db, server.folder, most_chunks=4).requests for _ in range(3)] == [4, 2, 0]
