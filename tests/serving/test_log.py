"""The log of served requests: whole lines, texts only where asked for and only redacted, and nobody waits for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from studio.contract.traffic import ServedRequest
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
    return [json.loads(text) for text in (folder / "traffic.jsonl").read_text().splitlines()]


def test_texts_are_kept_only_where_asked_for_and_redacted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert written(tmp_path / "a", [line(messages=TURNS)])[0]["messages"] is None
    kept = written(tmp_path / "b", [line(messages=TURNS)], keep_texts=True)[0]["messages"]
    assert [turn["content"] for turn in kept] == ["I am [EMAIL_1]", "Hello [EMAIL_1]"]
    assert (tmp_path / "a" / "traffic.jsonl").stat().st_mode & 0o077 == 0


def test_a_text_that_cannot_be_redacted_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_redacted", lambda texts: 1 / 0)
    assert written(tmp_path, [line(messages=TURNS)], keep_texts=True)[0]["messages"] is None


def test_a_long_text_is_cut_at_a_space(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "word " * 8000 + "ann@example.com"}
    text = written(tmp_path, [line(messages=(turn,))], keep_texts=True)[0]["messages"][0]["content"]
    assert len(text) < 20_010 and text.endswith("word …")


def test_a_half_line_of_a_killed_server_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "traffic.jsonl").write_text('{"kind": "requ')
    traffic = TrafficLog(tmp_path, False)
    traffic.put(line(7))
    traffic.close()
    lines = (tmp_path / "traffic.jsonl").read_text().splitlines()
    assert lines[0] == '{"kind": "requ' and json.loads(lines[1])["id"] == "r7"


def test_lines_that_cannot_be_kept_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[int] = []
    traffic = TrafficLog(tmp_path, False, lambda: lost.append(1))
    monkeypatch.setattr(traffic, "_file", Full(traffic._file))
    traffic.put(line())
    traffic.put(line())
    traffic.close()
    assert len(lost) == 2 and (tmp_path / "traffic.jsonl").read_bytes() == b""


class Full:
    """A file on a full disk."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: bytes) -> int:
        self._file.write(text[:10])
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
