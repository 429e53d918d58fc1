"""Blocks read at once give what reading row by row gives: the same rows, the same rejections, the same database."""

from __future__ import annotations

import codecs
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.annotations import pair_key
from storage.database import Database
from storage.examples import decode_turns
from storage.projects import create_project, get_project
from studio.data import delimited, importing, jsonfiles
from studio.data.columns import Columns
from studio.data.importing import import_file
from studio.data.prompts import content_key
from studio.data.readers import open_rows
from studio.data.rows import Rejected, Row, Table
from studio.errors import BadFile

MANY = hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FEW = hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
COLUMNS = ("input", "output")

PIECES = [
    b"a",
    b"b c",
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"\t",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"\xf0\x9f\x98\x80",
]
PIECES += [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x0b",
    b"\x1c",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b'"x"',
    b'"x\ny"',
    b'x,"y ""z"""\n',
]
PIECES += [b"a,b\n", b"a,b\r\n", b'"a,b\r\n', b"a,,\n", b"\n\n", b";", b"long " * 5]
CSV_BODIES = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)

LINES = [
    b'{"input": "a", "output": "b"}',
    b'{"input":"a"}',
    b'{"input": "\\u00e9 \\n\\u0000"}',
    b'{"input": 5, "output": null}',
    b"",
]
LINES += [
    b'{"input": "a", "input": "b"}',
    b"[1]",
    b"null",
    b'{"input": "a"} {"input": "b"}',
    b'{"input": "a',
    b'", "output": "b"}',
]
LINES += [
    b'{"input": "\\ud800"}',
    b'{"input": "x", "n": 1e999}',
    b'{"input": "x", "n": NaN}',
    b'{"input": "\xff"}',
    b"\0",
    b"\xc2\xa0",
]
LINES += [
    b'{"input": "x", "n": ' + b"1" * 30 + b"}",
    b'{"input": true}',
    b'{"input": ["a"], "output": {"b": 1}}',
    b' {"input": "s"} \t',
]
LINES += [
    b'{"input": "d", "n": ' + b"[" * 995 + b"]" * 995 + b"}",
    b'{"input": "i", "n": ' + b"1" * 4500 + b"}",
    b"\xef\xbb\xbf{}",
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that a short file has several."""
    for module in (delimited, jsonfiles):
        monkeypatch.setattr(module, "SMALL_BLOCK", 24)
        monkeypatch.setattr(module, "LARGE_BLOCK", 200)


def opened(path: Path) -> Table:
    try:
        return open_rows(path)
    except BadFile:  # random bytes look like binary data at times
        reject()


def one_by_one(table: Table) -> list[tuple[int, object, object]]:
    return [flat(row) for row in table.rows()]


def by_blocks(table: Table) -> list[tuple[int, object, object]]:
    found: list[tuple[int, object, object]] = []
    for block in table.blocks(COLUMNS):
        rows = [flat(row) for row in block.beside]
        if block.lines is not None and block.columns is not None:
            arrays = [block.columns[name].to_pylist() for name in COLUMNS]
            rows += list(zip(block.lines.to_pylist(), *arrays, strict=True))
        found += sorted(rows, key=lambda row: row[0])
    return found


def flat(row: Row | Rejected) -> tuple[int, object, object]:
    if isinstance(row, Rejected):
        return row.line, "rejected", row.reason
    return row.line, row.values.get("input"), row.values.get("output")


@MANY
@given(body=CSV_BODIES, end=st.sampled_from([b"\n", b"\r\n"]), mark=st.booleans())
@example(body=b'a,"b\r\nc"\r\n\r\nd,e', end=b"\r\n", mark=True)
@example(body=b'a"b,c\n"d"e,f\n"g,h\n', end=b"\n", mark=False)
def test_csv_blocks_are_its_rows(tmp_path: Path, body: bytes, end: bytes, mark: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(codecs.BOM_UTF8 * mark + b"input,output" + end + body + end + b"more,rows" * 30)
    table = opened(path)
    assert by_blocks(table) == one_by_one(table)


@MANY
@given(lines=st.lists(st.sampled_from(LINES), max_size=25), end=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans())
def test_json_blocks_are_its_rows(tmp_path: Path, lines: list[bytes], end: bytes, last: bool) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(end.join([LINES[0], *lines]) + end * last)
    table = opened(path)
    assert by_blocks(table) == one_by_one(table)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_blocks_of_other_encodings_are_their_rows(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("input,output\n" + 'Caf\u00e9,"cr\u00e8me, s\u2019il"\n' * 40, encoding=encoding)
    table = open_rows(path)
    assert by_blocks(table) == one_by_one(table) and len(one_by_one(table)) == 40


def test_most_of_a_plain_file_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("input,output\n" + 'a,"b ""c"""\n' * 100 + 'odd"\n' + "d,e\n" * 100)
    sizes = [(len(block.beside), block.size) for block in open_rows(path).blocks(COLUMNS)]
    assert sum(size for _, size in sizes) == 201 and sum(beside for beside, _ in sizes) < 30


CELLS = st.text(
    st.sampled_from('aB \u00e9e\u0301\u00a0\u2028\n\r\t"\\/\x0b\x1c\x1f\x7f;|1,\U0001f600\u212b'), max_size=5
)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS, st.sampled_from(["", "g", " g  1"])), min_size=1, max_size=12)


@FEW
@given(
    rows=TABLES,
    task=st.sampled_from(["instruction", "classification", "multi-label", "rating"]),
    kind=st.integers(0, 3),
)
def test_the_database_is_the_same(
    tmp_path: Path, db: Database, rows: list[tuple[str, ...]], task: str, kind: int
) -> None:
    path = (write_csv, write_json, write_parquet, write_arrow)[kind](tmp_path, rows)
    columns = Columns("input", "output", "context", group="group")
    with pytest.MonkeyPatch.context() as patch:
        by_block = outcome(db, path, columns, task)
        patch.setattr(importing, "block_columns", lambda *_: ())
        assert outcome(db, path, columns, task) == by_block


def outcome(db: Database, path: Path, columns: Columns, task: str) -> tuple[object, ...]:
    """What an import reports, the rows it leaves in the database, and what the same file adds again."""
    project = create_project(db, f"P{next(_numbers)}", task)
    report = import_file(db, project.id, path, columns)
    rows = db.query(
        "SELECT e.prompt, e.context, e.payload, e.content_key, e.group_name, e.status, e.answers, e.priority, "
        "a.response, a.value, a.pair_key FROM examples e LEFT JOIN annotations a ON a.id = e.annotation_id "
        "WHERE e.project_id = ? ORDER BY e.position",
        [project.id],
    )
    for prompt, context, payload, key, *_, response, _, pair in rows:
        assert key == content_key(decode_turns(prompt), context, json.loads(payload or "{}"))
        assert response is None or pair == pair_key(key, response)
    labels = [label.name for label in get_project(db, project.id).settings.labels]
    return report, rows, labels, import_file(db, project.id, path, columns).imported


NAMES = ("input", "output", "context", "group")
_numbers = itertools.count()


def write_csv(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    plain = f"{'plain ' * 99},,,"  # without which short files look like binary data
    (folder / "a.csv").write_bytes("\n".join([",".join(NAMES), *quoted, plain]).encode())
    return folder / "a.csv"


def write_json(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    lines = [json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False) for row in rows]
    (folder / "a.jsonl").write_bytes("\n".join(lines).encode())
    return folder / "a.jsonl"


def write_parquet(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    columns: dict[str, Any] = {name: [row[at] or None for row in rows] for at, name in enumerate(NAMES)}
    pq.write_table(
        pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), folder / "a.parquet"
    )
    return folder / "a.parquet"


def write_arrow(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    table = pq.read_table(write_parquet(folder, rows))
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as file:
        file.write_table(table)
    return folder / "a.arrow"
