"""Files that lie: one sentence or a rejected row each; never a traceback, a hang or a full memory."""

from __future__ import annotations

import gzip
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.database import Database
from storage.examples import count_examples
from storage.records import Project
from studio.data.importing import ImportReport, import_file
from studio.data.previews import preview
from studio.data.readers import read_rows
from studio.data.rows import Rejected, Row
from studio.errors import BadFile, StudioError

PARQUET = b"PAR1" + b"\x00" * 40 + b"PAR1"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "empty"),
        ("a.parquet", b"", "empty"),
        ("a.jsonl", b"\n\n", "no rows"),
        ("a.json", b"[]", "no rows"),
        ("a.csv", b"input,output\n", "no rows"),
        ("a.csv", b"\n\n", "empty"),
        ("a.csv", bytes(range(256)) * 50, "binary"),
        ("a.jsonl", os.urandom(5000), "binary"),
        ("a.csv", b"\x7fELF" + bytes(3000), "binary"),
        ("a.csv", PARQUET, "Parquet"),
        ("a.parquet", PARQUET, "not a readable Parquet"),
        ("a.parquet", b"input,output\n", "not a readable Parquet"),
        ("a.csv", b"PK\x03\x04" + bytes(100), "unpack"),
        ("a.jsonl", gzip.compress(bytes(1 << 20)), "unpack"),
        ("a.csv", b'{"input": "x"}\n', "not CSV but JSON"),
        ("a.jsonl", b'[{"input": "x"}]', ".json"),
        ("a.csv", b"input,output,input\nx,y,z\n", "twice: input"),
        ("a.csv", b"input, output ,output\nx,y,z\n", "twice: output"),
        ("a.csv", b",,\nx,y,z\n", "does not name its columns"),
        ("a.csv", b'"never closed\nx,y\n', "header"),
        ("a.json", b'{"input": "x"}', "no list"),
        ("a.json", b'{"a": [{"q": 1}], "b": []}', "more than one list"),
        ("a.json", b'"text"', "list of objects"),
        ("a.json", b'[{"a": 1}\n{"a": 2}]', "line 2"),
        ("a.json", b'[{"a": 1},\n', "line 2"),
        ("a.json", b'[{"a": 1}] ]', "behind the end"),
        ("a.json", b"[" * 200_000, "nested"),
        ("a.json", b'[{"a": ' + b"[" * 200_000, "nested"),
        ("a.json", '[{"a": "é"},\n{"a": "'.encode() + b'\xff"}]', "Line 2"),
        ("a.txt", b"hello", "cannot be imported"),
        ("a.zip", b"PK", "not a readable ZIP"),
        ("a.zip", b"no zip", "no ZIP archive"),
        ("a.arrow", b"no arrow at all", "not a readable Arrow"),
        ("a.arrow", PARQUET, "Parquet"),
        ("a.jsonl", b"ARROW1\0\0" + bytes(100), "give it the ending .arrow"),
        ("a.jsonl", b"no json\nat all\n", "No row"),
    ],
)
def test_a_wrong_file_gives_one_sentence(
    tmp_path: Path, db: Database, project: Project, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        import_file(db, project.id, path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert count_examples(db, project.id).total == 0


def test_a_folder_a_missing_file_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, said in (("folder.csv", "folder"), ("none.csv", "no file"), ("pipe.csv", "not a file")):
        with pytest.raises(BadFile, match=said):
            preview(tmp_path / name)


def importing(db: Database, project: Project, path: Path, content: bytes) -> ImportReport:
    path.write_bytes(content)
    return import_file(db, project.id, path)


def test_broken_jsonl_at_line_70000_costs_that_line_only(tmp_path: Path, db: Database, project: Project) -> None:
    lines = [json.dumps({"input": f"q{n}", "output": f"a{n}"}) for n in range(1, 70_101)]
    lines[69_999] = '{"input": "cut'
    report = importing(db, project, tmp_path / "a.jsonl", "\n".join(lines).encode())
    assert (report.imported, report.rejected_count) == (70_099, 1)
    assert report.rejected[0].line == 70_000
    assert "not JSON" in report.rejected[0].reason


def test_broken_json_at_line_70000_is_named_and_nothing_is_imported(
    tmp_path: Path, db: Database, project: Project
) -> None:
    lines = [json.dumps({"input": f"q{n}", "output": f"a{n}"}) + "," for n in range(1, 70_101)]
    lines[69_998] = '{"input": cut,'
    path = tmp_path / "a.json"
    path.write_text("[\n" + "\n".join(lines) + "\n{}]")
    with pytest.raises(BadFile, match="line 70000"):
        import_file(db, project.id, path)
    assert count_examples(db, project.id).total == 0


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.csv", b"input,output\n" + b"x" * (2 << 20)),
        ("a.csv", b'input,output\nx,y\n"' + b"x" * (2 << 20)),
        ("a.jsonl", b'{"input": "x"}\n{"input": "' + b"x" * (2 << 20)),
        ("a.tsv", b"x" * (2 << 20)),
        ("b.csv", "input,output\n".encode("utf-16") + "x".encode("utf-16-le") * (1 << 20)),
        ("a.json", b'[{"input": "' + b"x" * (2 << 20)),
        ("a.jsonl", b""),
        ("a.csv", b""),
        ("a.parquet", b"PAR1"),
    ],
)
def test_two_gigabytes_of_one_line_are_not_read(tmp_path: Path, name: str, head: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(head)
    os.truncate(path, 2 << 30)  # a sparse file: no disk is used
    tracemalloc.start()
    with pytest.raises(BadFile):
        list(read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_row_over_one_mebibyte_is_rejected_and_reading_goes_on(tmp_path: Path, name: str) -> None:
    long = b"x" * (1 << 20)
    csv_file = b"input,output\na,b\n" + long + b",y\nc,d\n"
    jsonl = b'{"input": "a"}\n{"input": "' + long + b'"}\n\n{"input": "c"}\n'
    path = tmp_path / name
    path.write_bytes(csv_file if name == "a.csv" else jsonl)
    found = list(read_rows(path))
    assert [type(row) for row in found] == [Row, Rejected, Row]
    assert isinstance(found[1], Rejected)
    assert "1 MiB" in found[1].reason


def test_a_quote_never_closed_costs_its_line_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'input,output\na,b\n"open,b\n' + b"c,d\n" * 300_000)
    found = list(read_rows(path))
    assert [row.line for row in found if isinstance(row, Rejected)] == [3]
    assert len(found) == 300_002
    path.write_bytes(b'input,output\na,b\n"open,b\nc,d\ne,f')
    assert [(row.line, type(row)) for row in read_rows(path)] == [(2, Row), (3, Rejected), (4, Row), (5, Row)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b,c\n", "it has 3 values, the header names 2 columns"),
        (b"a\n", "it has 1 value, the header names 2 columns"),
        (b'"a"x,b\n', "quotes"),
        (b"a\x00,b\n", "NUL"),
        (b'"two\nl\x00ines",b\n', "NUL bytes (line 3)"),
        ("é,b\n".encode() + b"caf\xe9,b\n", "0xE9"),
        (b" ,b\n", "the input is empty"),
        (b"x" * 200_001 + b",b\n", "200,001 characters"),
        (b"a," + b"x" * 200_001 + b"\n", "the answer has"),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason(
    tmp_path: Path, db: Database, project: Project, content: bytes, reason: str
) -> None:
    report = importing(db, project, tmp_path / "a.csv", b"input,output\n" + content + b"good,row\n")
    assert reason in report.rejected[0].reason
    assert report.rejected_count == 1
    assert report.imported >= 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "a list"),
        ("null", "null"),
        ("{" * 100_000, "not JSON"),
        ('{"input": ' + "[" * 100_000, "nested"),
        ('{"input": ' + "9" * 5000 + "}", "not JSON"),
        (r'{"input": "\ud800"}', "half a character"),
        (r'{"input": "a\u0000"}', "NUL"),
        (r'{"input": ""}', "empty"),
        (r'{"other": 1}', "empty"),
    ],
)
def test_a_bad_object_is_rejected_with_its_reason(
    tmp_path: Path, db: Database, project: Project, line: str, reason: str
) -> None:
    report = importing(db, project, tmp_path / "a.jsonl", f'{{"input": "good"}}\n{line}\n'.encode())
    assert report.imported == 1
    assert [row.line for row in report.rejected] == [2]
    assert reason in report.rejected[0].reason


def test_values_that_are_no_text_become_text(tmp_path: Path, db: Database, project: Project) -> None:
    table = pa.table({"input": [1, 2], "output": [[1, None], None], "x": [b"\xff", b""]})
    pq.write_table(table, tmp_path / "a.parquet")
    report = import_file(db, project.id, tmp_path / "a.parquet")
    assert (report.imported, report.labeled) == (2, 1)


def test_binary_and_broken_values_in_parquet_are_rejected_rows(tmp_path: Path, db: Database, project: Project) -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"ok"]).buffers())
    pq.write_table(pa.table({"input": bad}), tmp_path / "a.parquet")
    report = import_file(db, project.id, tmp_path / "a.parquet")
    assert (report.imported, report.rejected_count) == (1, 1)


def test_json_over_256_mib_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[{}")
    os.truncate(path, (256 << 20) + 1)
    with pytest.raises(BadFile, match="JSONL"):
        preview(path)


def never_fails(read: Callable[[], object]) -> None:
    try:
        read()
    except StudioError as error:
        assert re.fullmatch(r"[^\n]+[.:]?", str(error))


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:;\n\r\t\\ aé0\x00\ud83d', max_size=200)),
    ending=st.sampled_from(["csv", "tsv", "json", "jsonl", "parquet"]),
)
def test_any_bytes_give_rows_or_a_sentence(tmp_path: Path, content: str | bytes, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    never_fails(lambda: list(read_rows(path)))
    never_fails(lambda: preview(path))
