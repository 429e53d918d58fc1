"""Ordinary files, read as they are meant."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.data.previews import preview
from studio.data.readers import open_rows, read_rows
from studio.data.rows import Rejected, Row
from studio.errors import BadFile


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(path: Path) -> list[Row | Rejected]:
    return list(read_rows(path))


def test_csv_rows_carry_the_line_on_which_they_begin(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'input,output\r\n"two\r\nlines",yes\r\n\r\nlast,no\r\n')
    assert rows(path) == [
        Row(2, {"input": "two\nlines", "output": "yes"}),
        Row(5, {"input": "last", "output": "no"}),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "q,a\nx,y\n"),
        ("a.csv", "q;a\nx;y\n"),
        ("a.csv", "q|a\nx|y"),
        ("a.csv", "q,a\rx,y\r"),
        ("a.tsv", "q\ta\nx\ty\n"),
        ("a.json", '[\n{"q": "x", "a": "y"}\n]'),
        ("a.json", '{"version": {"n": [1]}, "data": [{"q": "x", "a": "y"}], "more": null}\n'),
        ("a.json", '{"q": "x", "a": "y"}\n{"q": "z", "a": "w"}\n'),
        ("a.jsonl", '\n{"q": "x", "a": "y"}'),
        ("a.ndjson", '{"q": "x", "a": "y"}\r\n'),
    ],
)
def test_every_text_format_gives_columns_and_rows(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    assert open_rows(path).columns == ("q", "a")
    first = rows(path)[0]
    assert isinstance(first, Row)
    assert first.values == {"q": "x", "a": "y"}


def test_parquet_rows_are_numbered_from_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"q": ["x", None], "n": [1, 2]}), tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == [Row(1, {"q": "x", "n": 1}), Row(2, {"q": None, "n": 2})]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings_are_recognised(tmp_path: Path, codec: str) -> None:
    text = "input,output\n" + "crème brûlée,süß\n" * 50
    path = write(tmp_path, "a.csv", text.encode(codec))
    assert rows(path)[0] == Row(2, {"input": "crème brûlée", "output": "süß"})


def test_a_guessed_encoding_is_said(tmp_path: Path) -> None:
    text = "input,output\n" + "Où est la crème brûlée à l'hôtel?,Près de la forêt\n" * 20
    found = preview(write(tmp_path, "a.csv", text.encode("cp1252")))
    assert "guess" in " ".join(found.notes)
    assert found.rows[0][0] == "Où est la crème brûlée à l'hôtel?"


def test_json_lines_are_those_of_the_elements(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '[\n {"q": 1},\n\n {"q":\n 2},\n 3]')
    assert [(row.line, isinstance(row, Row)) for row in rows(path)] == [(2, True), (4, True), (6, False)]


def test_preview_shows_text_notes_and_a_guess(tmp_path: Path) -> None:
    lines = ['{"question": "q", "answer": null, "n": 1.5}', "no json", '{"question": ["a"], "answer": "b"}']
    found = preview(write(tmp_path, "a.jsonl", "\n".join(lines)), limit=5)
    assert found.columns == ("question", "answer", "n")
    assert found.rows == (("q", "", "1.5"), ('["a"]', "b", ""))
    assert "Line 2" in found.notes[0]
    assert found.guessed is not None
    assert (found.guessed.input, found.guessed.output) == ("question", "answer")


def test_a_table_can_be_read_twice_and_knows_how_far_it_is(tmp_path: Path) -> None:
    table = open_rows(write(tmp_path, "a.jsonl", "".join(json.dumps({"q": n}) + "\n" for n in range(100))))
    assert len(list(table.rows())) == len(list(table.rows())) == 100
    assert table.fraction == 1.0


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", "only words\nand more words\n", "line 1: it is not JSON"),
        ("a.jsonl", '{"q": "x", "a": \n', "line 1: it is not JSON"),
        ("a.json", "[1,\n2, 3]", "line 1: it is a number"),
        ("a.json", "[{}]", "has no rows"),
    ],
)
def test_a_file_without_a_row_that_can_be_read_is_refused_with_the_first_reason(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    with pytest.raises(BadFile, match=reason):
        preview(write(tmp_path, name, content))
