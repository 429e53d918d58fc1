"""The event file: whole lines only, one sequence over every resume, read by offset."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from studio.contract.events import EventWriter, newest, read_all, tail


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes of a file fail half done, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(run: Path, *steps: int) -> None:
    """One writer's life: a step event each."""
    writer = EventWriter(run)
    for step in steps:
        writer.write("step", step=step)
    writer.close()


def test_the_sequence_goes_on_with_the_next_writer(tmp_path):
    write(tmp_path, 1, 2)
    write(tmp_path, 3)
    events = read_all(tmp_path)
    assert [event.seq for event in events] == [1, 2, 3] == [event.data["step"] for event in events]
    assert events[0].at.utcoffset() is not None


def test_half_a_line_of_a_killed_writer_is_cut_off(tmp_path):
    write(tmp_path, 1)
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"seq": 2, "kind": "st')
    assert len(read_all(tmp_path)) == 1
    write(tmp_path, 2)
    assert [event.seq for event in read_all(tmp_path)] == [1, 2]


def test_writes_that_fail_leave_whole_lines_and_no_gap(tmp_path):
    writer = EventWriter(tmp_path)
    writer.write("step", step=1)
    with disk_full_at(writer.path.stat().st_size + 100):
        for _ in range(3):
            with pytest.raises(OSError, match=r"No space|too large"):
                writer.write("step", step=2, text="x" * 1000)
    writer.write("step", step=3)
    assert b"\0" not in writer.path.read_bytes()
    assert [event.seq for event in read_all(tmp_path)] == [1, 2]


def test_tail_goes_on_where_it_stopped_and_waits_for_the_end_of_a_line(tmp_path):
    write(tmp_path, 1)
    events, offset = tail(tmp_path)
    assert len(events) == 1 and tail(tmp_path, offset) == ([], offset)
    write(tmp_path, 2)
    whole = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / "events.jsonl").write_bytes(whole[:-5])
    assert tail(tmp_path, offset) == ([], offset)
    (tmp_path / "events.jsonl").write_bytes(whole)
    assert [event.seq for event in tail(tmp_path, offset)[0]] == [2]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[]", b'{"seq": 9}', b'{"seq": 9, "at": "x", "kind": "no", "data": {}}']
)
def test_a_damaged_line_is_passed_over(tmp_path, line):
    write(tmp_path, 1)
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(line + b"\n")
    write(tmp_path, 2)
    assert [event.data["step"] for event in read_all(tmp_path)] == [1, 2]


def test_newest_is_the_last_value_told(tmp_path):
    assert newest(tmp_path, "base_hash") is None
    writer = EventWriter(tmp_path)
    writer.write("state", base_hash="a")
    writer.write("done", base_hash="b")
    writer.write("warning", message="about base_hash")
    assert newest(tmp_path, "base_hash") == "b"


def test_a_folder_without_events_has_none(tmp_path):
    assert tail(tmp_path, 7) == ([], 7)
