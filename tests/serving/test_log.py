"""The log of served requests: whole lines, texts only where asked for and only redacted, and nobody waits for it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from studio.contract.traffic import TRAFFIC_FILE, ServedRequest, next_file, traffic_files
from studio.serving import log
from studio.serving.log import TrafficLog

TURNS = ({"role": "user", "content": "I am ann@example.com"}, {"role": "assistant", "content": "Hello ann@example.com"})


def line(number: int = 0, **fields: Any) -> ServedRequest:
    return ServedRequest(id=f"r{number}", at=datetime.now(UTC), model="base", status=200, **fields)


def written(folder: Path, lines: list[ServedRequest], keep_texts: bool = False) -> list[dict[str, Any]]:
    traffic = TrafficLog(folder, keep_texts)
    for one in lines:
        traffic.put(one)
    traffic.close()
    return [json.loads(text) for file in traffic_files(folder) for text in file.read_text().splitlines()]


def test_texts_are_kept_only_where_asked_for_and_redacted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert written(tmp_path / "a", [line(messages=TURNS)])[0]["messages"] is None
    kept = written(tmp_path / "b", [line(messages=TURNS)], keep_texts=True)[0]["messages"]
    assert [turn["content"] for turn in kept] == ["I am [EMAIL_1]", "Hello [EMAIL_1]"]
    assert traffic_files(tmp_path / "a")[0].stat().st_mode & 0o077 == 0


def test_a_text_that_cannot_be_redacted_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_redacted", lambda texts: 1 / 0)
    assert written(tmp_path, [line(messages=TURNS)], keep_texts=True)[0]["messages"] is None


def test_a_long_text_is_cut_at_a_space(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "word " * 8000 + "ann@example.com"}
    text = written(tmp_path, [line(messages=(turn,))], keep_texts=True)[0]["messages"][0]["content"]
    assert len(text) < 20_010 and text.endswith("word …")


def test_a_half_line_of_a_killed_server_stays_alone(tmp_path: Path) -> None:
    (tmp_path / next_file([], time.time_ns())).write_text('{"kind": "requ')
    traffic = TrafficLog(tmp_path, False)
    traffic.put(line(7))
    traffic.close()
    lines = traffic_files(tmp_path)[0].read_text().splitlines()
    assert lines[0] == '{"kind": "requ' and json.loads(lines[1])["id"] == "r7"


def test_lines_that_cannot_be_kept_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[int] = []
    traffic = TrafficLog(tmp_path, False, lambda: lost.append(1))
    monkeypatch.setattr(traffic, "_file", Full(traffic._file))
    traffic.put(line())
    traffic.put(line())
    traffic.close()
    assert len(lost) == 2 and traffic_files(tmp_path)[0].read_bytes() == b""


def test_a_long_file_is_left_for_a_new_one_and_no_line_is_lost_or_doubled(tmp_path: Path) -> None:
    traffic = TrafficLog(tmp_path, False, most_bytes=2000)
    for number in range(60):
        traffic._exchange()
        traffic._write([line(number)])
    traffic.close()
    files = traffic_files(tmp_path)
    ids = [json.loads(text)["id"] for file in files for text in file.read_text().splitlines()]
    assert ids == [f"r{number}" for number in range(60)] and len(files) > 5
    assert all(file.stat().st_size < 3000 for file in files)


def test_an_old_file_with_lines_is_left_and_an_empty_one_kept(tmp_path: Path) -> None:
    (tmp_path / TRAFFIC_FILE).write_text("what an older server wrote\n")
    traffic = TrafficLog(tmp_path, False, most_seconds=0)
    for number in range(3):
        traffic._exchange()
        traffic._exchange()  # nothing in the new one yet
        traffic._write([line(number)])
    traffic.close()
    assert len(traffic_files(tmp_path)) == 4 and traffic_files(tmp_path)[0].name == TRAFFIC_FILE
    assert (tmp_path / TRAFFIC_FILE).read_text() == "what an older server wrote\n"


def test_a_clock_that_was_set_back_begins_no_file_in_front_of_others(tmp_path: Path) -> None:
    first = tmp_path / next_file([], 10**18)
    assert next_file([first], 5) > first.name


def test_a_new_file_that_cannot_be_begun_leaves_the_old_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic = TrafficLog(tmp_path, False, most_bytes=1)
    traffic._write([line(1)])
    monkeypatch.setattr(log, "next_file", lambda known, now: "no-folder/x")
    traffic._exchange()
    traffic._write([line(2)])
    monkeypatch.undo()
    traffic.close()
    assert traffic_files(tmp_path)[0].read_text().count("\n") == 2


class Full:
    """A file on a full disk."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: bytes) -> int:
        self._file.write(text[:10])
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
