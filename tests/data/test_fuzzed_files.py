"""Five hundred malformed files over every importer: one sentence or an exact account, never a traceback, a hang or half
an import. Seeded, so that each run has the same files."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.database import Database, connect
from storage.examples import count_examples
from storage.projects import create_project
from studio.data.importing import ImportReport, import_file
from studio.data.pasted import keep_pasted
from studio.data.previews import preview_import
from studio.data.readers import open_rows
from studio.data.shapes import SHAPES
from studio.errors import StudioError

SECONDS = 10
FILES = 500
TASKS = ("instruction", "classification", "multi-label", "rating", "preference", "chat", "question-answering")
SENTENCE = re.compile(r"[^\n\r]+[.:?)]")
FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "arrow", "stream", "folder", "splits", "zip", "pasted")
EACH = FILES // 10  # ten tests of fifty files

STEMS: list[dict[str, Any]] = [
    {"input": "a", "output": "b", "context": "c", "group": "g", "priority": 1},
    {"instruction": "i", "input": "c", "output": "o", "system": "s", "history": [["q", "a"]]},
    {"prompt": [{"role": "user", "content": "p"}], "completion": [{"role": "assistant", "content": "c"}]},
    {"conversations": [{"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}], "system": "s", "tools": "[]"},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "h"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
            {"role": "assistant", "content": "g", "weight": 1},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
    {"prompt": "p", "chosen": "c", "rejected": "r", "margin": 1},
    {"prompt": "p", "a": "x", "b": "y", "choice": "A", "margin": 1, "reason": "z"},
    {"chosen": "\n\nHuman: p\n\nAssistant: x", "rejected": "\n\nHuman: p\n\nAssistant: y"},
    {
        "input": {"messages": [{"role": "user", "content": "p"}]},
        "preferred_output": [{"role": "assistant", "content": "x"}],
        "non_preferred_output": [{"role": "assistant", "content": "y"}],
    },
    {"text": "t", "label": "x"},
    {
        "id": 1,
        "data": {"text": "t", "answer1": "x", "answer2": "y"},
        "annotations": [{"result": [{"from_name": "c", "type": "choices", "value": {"choices": ["x"]}}]}],
    },
    {"id": 1, "text": "t", "mood": {"choices": ["x", "y"]}, "annotator": 1, "annotation_id": 2},
    {"fields": {"text": "t", "a": "x", "b": "y"}, "responses": {"q": [{"value": "x", "status": "submitted"}]}},
    {"fields": {"text": "t"}, "responses": [{"values": {"q": {"value": [{"value": "a", "rank": 1}]}}}]},
    {"text": "t", "q.responses": ["x"], "q.responses.status": ["submitted"], "q.suggestion": "y"},
    {"text": "t", "inputs": {"text": "t"}, "annotation": ["x"], "annotation_agent": "y", "status": "Default"},
    {"id": 1, "text": "t", "label": ["x"], "Comments": []},
    {"id": 1, "text": "t", "entities": [{"label": "x", "start_offset": 0}], "relations": []},
    {"input": "i", "output": "o", "system": "s", "messages": '[{"role": "user"}]', "made_safe": "input|output|x"},
]
"""A good row of each shape, to be mangled."""

ODD: list[Any] = [
    *(None, "", " ", 0, -1, 1.5, 10**30, float("nan"), float("inf"), True, [], {}, [[]], [None], [{}], {"": ""}),
    *("\0", "\ud800", "é\u202e", "[", '{"a":', "[" * 3000, '[{"role": "user", "content": 1}]', "x" * 300_000),
    *([["q"]], ["x", "y"], [1, "x", None], {"text": 1}, {"messages": 3}, [{"role": "user", "content": {}}], "a|b;c\nd"),
    *([{"rank": "x"}], {"a": None}, [{"value": "x", "rank": 1}, {"value": [], "rank": None}]),
]  # fmt: skip
NOISE = st.one_of(
    st.sampled_from(ODD),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=6,
    ),
)
Cut = tuple[str, float, bytes]
CUTS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "flip", "insert", "double", "none"]), st.floats(0, 1), st.binary(min_size=1, max_size=6)
    ),
    max_size=3,
)


@st.composite
def mangled(draw: st.DrawFn) -> dict[str, Any]:
    """A good row in which some values, deep down too, are others or gone."""
    row = json.loads(json.dumps(draw(st.sampled_from(STEMS))))
    for _ in range(draw(st.integers(0, 3))):
        at: Any = row
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], (dict, list)) and at[key] and draw(st.booleans()):
                at = at[key]
                continue
            if draw(st.integers(0, 4)) == 0:
                del at[key]
            else:
                at[key] = deepcopy(draw(NOISE))
            break
    return dict(row)


ROWS = st.lists(mangled(), min_size=1, max_size=6)


def damaged(content: bytes, cuts: list[Cut]) -> bytes:
    for what, share, other in cuts:
        at = int(share * len(content))
        if what == "cut":
            content = content[:at]
        elif what == "flip":
            content = content[:at] + other + content[at + len(other) :]
        elif what == "insert":
            content = content[:at] + other + content[at:]
        elif what == "double":
            content += content[at:]
    return content


def as_json(value: object) -> str:
    return json.dumps(value, default=str)


def as_delimited(rows: list[dict[str, Any]], mark: str) -> bytes:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(text, delimiter=mark)
    writer.writerow(names)
    for row in rows:
        cells = [row.get(name, "") for name in names]
        writer.writerow([cell if isinstance(cell, str) else as_json(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "surrogatepass")


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as columns: nested where Arrow finds one kind for a column, else as JSON text."""
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
            columns[name] = pa.array([as_json(value) for value in values])
    return pa.table(columns or {"input": ["x"]})


def as_bytes(table: pa.Table, kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "parquet":
        try:
            pq.write_table(table, sink)
        except (pa.ArrowException, NotImplementedError):  # a struct without fields has no place in Parquet
            return b"PAR1"
        return sink.getvalue()
    make = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def make(folder: Path, kind: str, rows: list[dict[str, Any]], cuts: list[Cut], state: bool) -> Path:
    """A damaged file (or folder) of a kind. Raises StudioError where pasted text is none."""
    if kind in ("csv", "tsv"):
        content = as_delimited(rows, "\t" if kind == "tsv" else ",")
    elif kind in ("json", "jsonl", "pasted"):
        content = as_json(rows).encode() if kind == "json" else "\n".join(map(as_json, rows)).encode()
    else:
        content = as_bytes(as_table(rows), kind)
    if kind == "pasted":
        return keep_pasted(damaged(content, cuts).decode("utf-8", "replace"), folder)
    if kind not in ("folder", "splits", "zip"):
        path = folder / f"rows.{'arrow' if kind == 'stream' else kind}"
        path.write_bytes(damaged(content, cuts))
        return path
    below = "train/" if kind == "splits" else ""
    files = {
        f"{below}d.arrow": content,
        f"{below}state.json": as_json({"_data_files": [{"filename": "d.arrow"}]}).encode(),
    }
    if below:
        files["dataset_dict.json"] = b'{"splits": ["train"]}'
    hurt = sorted(files)[-1] if state else f"{below}d.arrow"
    files[hurt] = damaged(files[hurt], cuts)
    if kind == "zip":
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, inside in files.items():
                archive.writestr(name, inside)
        (folder / "set.zip").write_bytes(damaged(sink.getvalue(), cuts if state else []))
        return folder / "set.zip"
    for name, inside in files.items():
        (folder / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / name).write_bytes(inside)
    return folder / "set"


class House:
    """A workspace with a project of each task, which the files of a test come into."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self.folder, self.numbers = db, folder, count()
        self.projects = {task: create_project(db, task, task) for task in TASKS}
        self.tried = 0

    def take(self, make_file: Callable[[Path], Path], task: str, shape: str) -> None:
        """Preview and import a file; fails on anything but a sentence or an exact account."""
        self.tried += 1
        folder = self.folder / str(next(self.numbers))
        folder.mkdir()
        project = self.projects[task]
        before = count_examples(self.db, project.id).total
        try:
            path = make_file(folder)
            said = within(lambda: preview_import(path, project, shape))
            if not isinstance(said, StudioError):
                assert "\n" not in said[1].problem
            report = within(lambda: import_file(self.db, project.id, path, shape=shape))
        except StudioError as error:
            report = error
        after = count_examples(self.db, project.id).total
        if isinstance(report, ImportReport):
            assert after - before <= report.imported  # an answer may have labeled an example that waited
            assert report.imported + report.duplicates + report.rejected_count == len(list(open_rows(path).rows()))
        else:
            assert SENTENCE.fullmatch(str(report)), repr(str(report))
            assert after == before
        shutil.rmtree(folder)


def within(work: Callable[[], Any]) -> Any:
    """What `work` gives, or the StudioError it raises; fails where it takes too long."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(work())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), f"not done within {SECONDS} s"
    if isinstance(ended[0], BaseException) and not isinstance(ended[0], StudioError):
        raise ended[0]
    return ended[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("fuzz")
    db = connect(folder / "studio.duckdb", folder / "backups")
    yield House(db, folder)
    db.close()


FAST = hypothesis_settings(
    max_examples=EACH,
    deadline=None,
    database=None,
    derandomize=False,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("number", range(10))
def test_a_malformed_file_costs_a_sentence_or_some_rows(house: House, number: int) -> None:
    kinds = FORMATS[number::5] + FORMATS[(number + 3) % 11 :: 6]

    @seed(number)
    @FAST
    @given(
        rows=ROWS,
        cuts=CUTS,
        kind=st.sampled_from(kinds),
        task=st.sampled_from(TASKS),
        shape=st.sampled_from(["auto", "auto", "auto", *SHAPES]),
        state=st.booleans(),
    )
    def try_one(rows: list[dict[str, Any]], cuts: list[Cut], kind: str, task: str, shape: str, state: bool) -> None:
        house.take(lambda folder: make(folder, kind, rows, cuts, state), task, shape)

    before = house.tried
    try_one()
    assert house.tried - before >= EACH


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("task", TASKS)
def test_good_rows_of_every_shape_are_read_from_every_format(house: House, kind: str, task: str) -> None:
    house.take(lambda folder: make(folder, kind, STEMS, [], False), task, "auto")
