"""Arrow files, `datasets` folders and archives of them, pasted text, a data set of the Hub, encodings of JSON."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import create_project
from storage.records import Project
from studio.data import hub
from studio.data.importing import import_file
from studio.data.pasted import keep_pasted, recognise
from studio.data.previews import preview_import
from studio.data.readers import open_rows
from studio.data.rows import Row
from studio.data.shapes import shape_for, unfold
from studio.errors import BadFile, BadInput

PAIRS = pa.table({"input": ["a", "b"], "output": ["1", "2"]})


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row.values) for row in open_rows(path).rows() if isinstance(row, Row)]


def save(folder: Path, table: pa.Table = PAIRS, files: int = 1) -> Path:
    """A folder as `save_to_disk` writes it."""
    folder.mkdir(parents=True)
    names = [f"data-{number}.arrow" for number in range(files)]
    for name in names:
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def save_splits(folder: Path, *splits: str) -> Path:
    for split in splits:
        save(folder / split, pa.table({"input": [split], "output": ["x"]}))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


def zipped(folder: Path, below: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, below + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("kind", ["file", "stream", "feather", "compressed"])
def test_arrow_is_read_as_file_and_as_stream(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.feather" if kind == "feather" else "a.arrow")
    options = pa.ipc.IpcWriteOptions(compression="zstd" if kind == "compressed" else None)
    make = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    if kind == "feather":
        feather.write_feather(PAIRS, str(path))
    else:
        with make(str(path), PAIRS.schema, options=options) as writer:
            writer.write_table(PAIRS)
    assert rows(path) == PAIRS.to_pylist() and open_rows(path).format == "Arrow"


def test_every_kind_of_column_becomes_text(tmp_path: Path, db: Database, project: Project) -> None:
    table = pa.table(
        {
            "input": pa.array(["x", "y", "x"]).dictionary_encode(),
            "output": pa.array(["1", None, "3"], pa.large_string()),
            "context": pa.array([float("nan"), 1.5, None]),
            "group": pa.array([7.0, None, 7.0]),
            "day": pa.array([0, 1, 2], pa.date32()),
            "raw": pa.array([b"\xff", b"", None]),
        }
    )
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    report = import_file(db, project.id, tmp_path / "a.arrow")
    assert (report.imported, report.labeled, report.rejected_count) == (3, 2, 0)
    assert sorted(db.query("SELECT group_name FROM examples")) == [("",), ("7",), ("7",)]


def test_a_folder_of_datasets_is_read_with_all_its_files(tmp_path: Path, db: Database, project: Project) -> None:
    folder = save(tmp_path / "set", files=3)
    assert len(rows(folder)) == 6 == len(rows(zipped(folder))) == len(rows(zipped(folder, "deep/er/")))
    report = import_file(db, project.id, folder)
    assert (report.imported, report.duplicates) == (2, 4)


def test_of_several_splits_one_is_chosen_or_all_are_read_and_that_is_said(tmp_path: Path) -> None:
    folder = save_splits(tmp_path / "set", "train", "test")
    for path in (folder, zipped(folder)):
        assert [row["input"] for row in rows(path)] == ["train", "test"]
        assert any("train, test" in note for note in open_rows(path).notes)
        assert [row["input"] for row in rows(Path(f"{path}:test"))] == ["test"]
        with pytest.raises(BadFile, match="no split 'dev'; there are: train, test"):
            open_rows(Path(f"{path}:dev"))


def test_what_datasets_itself_saves_is_read_with_names_of_classes(tmp_path: Path, db: Database) -> None:
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=kinds)
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "set")
    made.to_parquet(tmp_path / "set.parquet")
    for number, path in enumerate((tmp_path / "set", tmp_path / "set.parquet")):
        project = create_project(db, f"P{number}", "classification")
        report = import_file(db, project.id, path)
        assert (report.imported, report.labeled) == (3, 2)
        assert [pair.response for pair in list_pairs(db, project.id)] == ["yes", "no"]


@pytest.mark.parametrize("name", ["../outside.arrow", "/etc/passwd", "..", "a/b", "", None, 7, "x\\y", "a\0"])
def test_a_folder_that_names_a_file_outside_of_it_is_refused(tmp_path: Path, name: object) -> None:
    folder = save(tmp_path / "set")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(BadFile, match="outside of it"):
        open_rows(folder)
    with pytest.raises(BadFile, match="outside of it"):
        open_rows(zipped(folder))


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    folder, other = save(tmp_path / "set"), save(tmp_path / "other")
    (folder / "data-0.arrow").unlink()
    (folder / "data-0.arrow").symlink_to(other / "data-0.arrow")
    with pytest.raises(BadFile, match="outside of it"):
        open_rows(folder)


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"_data_files": 3}', "[" * 100_000, '{"_data_files": []}'])
def test_a_folder_with_a_broken_state_gives_one_sentence(tmp_path: Path, state: str) -> None:
    folder = save(tmp_path / "set")
    (folder / "state.json").write_text(state)
    with pytest.raises(BadFile, match=r"^[^\n]+\.$"):
        open_rows(folder)


def test_an_archive_without_such_a_folder_says_what_is_missing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BadFile, match=r"state\.json"):
        open_rows(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("text", "ending", "count"),
    [
        ("input,output\na,b\nc,d", "csv", 2),
        ("question;answer\na;b", "csv", 1),
        ("x\ty\na\tb\nc\td", "tsv", 2),
        ('{"input": "a"}\n{"input": "b"}', "jsonl", 2),
        ('{\n "input": "a"\n}', "jsonl", 1),
        ('{"messages": [{"role": "user", "content": "a"}]}', "jsonl", 1),
        ('[{"input": "a"},\n {"input": "b"}]', "json", 2),
        ('{"rows": [{"input": "a"}]}', "json", 1),
        ("Hello, world\r\n\r\nHow are you, friend?", "jsonl", 2),
        ("question\nWhy, oh why?\nHow?", "jsonl", 2),
        ("[not json\nat all", "jsonl", 2),
        ("{curly} text", "jsonl", 1),
        ("one line", "jsonl", 1),
        ('"quoted"\nnot', "jsonl", 2),
    ],
)
def test_pasted_text_is_recognised(tmp_path: Path, text: str, ending: str, count: int) -> None:
    assert recognise(text.replace("\r\n", "\n"))[0] == ending
    path = keep_pasted(text, tmp_path)
    assert path.suffix == f".{ending}" and len(rows(path)) == count


def test_pasted_lines_keep_the_numbers_of_their_lines(tmp_path: Path) -> None:
    found = list(open_rows(keep_pasted("a\n\nb", tmp_path)).rows())
    assert [row.line for row in found] == [1, 3]
    with pytest.raises(BadInput, match="Paste some text"):
        keep_pasted(" \n", tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl"])
def test_encodings_are_read_and_a_guess_is_said(tmp_path: Path, encoding: str, ending: str) -> None:
    values = [{"input": f"café {n} déjà vu", "output": "niño"} for n in range(20)]
    mark = "\t" if ending == "tsv" else ","
    lines = [mark.join(("input", "output")), *(mark.join(value.values()) for value in values)]
    objects = [json.dumps(value, ensure_ascii=False) for value in values]
    content = {"json": "[" + ",\n".join(objects) + "]", "jsonl": "\n".join(objects)}.get(ending, "\n".join(lines))
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content.encode(encoding))
    assert rows(path) == values
    assert any("guess" in note for note in open_rows(path).notes) == (encoding in ("cp1252", "utf-16-le"))


def test_a_preview_tells_the_shape_its_parts_and_what_would_become_of_the_rows(
    tmp_path: Path, project: Project
) -> None:
    path = tmp_path / "a.jsonl"
    given = [
        {"instruction": "i", "input": "c", "output": "o"},
        {"instruction": "", "output": "x"},
        {"instruction": "j"},
    ]
    path.write_text("\n".join(map(json.dumps, given)))
    seen, trial = preview_import(path, project)
    assert (trial.shape, trial.taken, trial.labeled, trial.rejected) == ("alpaca", 2, 1, 1)
    assert ("Context", "column input") in trial.parts and trial.reasons == ("Line 2: the input is empty",)
    assert [draft.prompt[0].content for draft in trial.drafts] == ["i", "j"] and seen.columns[0] == "instruction"
    assert "it needs" in preview_import(path, project, "label-studio")[1].problem


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hub:org/name", hub.HubName("org/name")),
        ("org/name/main:train", hub.HubName("org/name", "main", "train")),
        ("https://huggingface.co/datasets/org/name", hub.HubName("org/name")),
        ("squad", hub.HubName("squad")),
    ],
)
def test_names_of_the_hub(text: str, meant: hub.HubName) -> None:
    assert hub.parse_hub_name(text) == meant


@pytest.mark.parametrize("text", ["", "hub:", "../etc", "a/b/c/d", "org/name:a b", "org//name", "/etc/passwd", "a b"])
def test_what_is_no_name_of_the_hub_is_refused(text: str) -> None:
    with pytest.raises(BadFile, match="no name of a data set"):
        hub.parse_hub_name(text)


def test_without_the_hub_there_is_one_sentence_within_seconds() -> None:
    start = time.monotonic()
    with pytest.raises(BadFile, match=r"cannot be reached[^\n]+\.$"):
        open_rows(Path("hub:org/name"))
    assert time.monotonic() - start < 10


def test_a_data_set_of_the_hub_is_streamed(tmp_path: Path, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "set").mkdir()
    table = pa.table({"text": ["a", "b"], "label": ["x", "y"]})
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / "set" / f"{split}.parquet")
    real, asked = datasets.load_dataset_builder, []

    def load(name: str, config: str | None) -> Any:
        asked.append((name, config))
        return real(str(tmp_path / "set"))

    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(hub, "_HUB_FILES", str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    project = create_project(db, "Hub", "classification")
    report = import_file(db, project.id, Path("hub:org/name/main:train"))
    assert asked[0] == ("org/name", "main") and (report.imported, report.labels) == (2, 2)
    both = open_rows(Path("hub:org/name"))
    assert len(list(both.rows())) == 4 and "All splits" in both.notes[0]
    with pytest.raises(BadFile, match=r"^[^\n]+\.$"):
        open_rows(Path("hub:org/name:dev"))


def test_tools_in_columns_of_structs_come_without_their_empty_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    tools = [{"type": "function", "function": {"name": "look", "strict": None}}]
    turns = [{"role": "user", "content": "h"}]
    pq.write_table(pa.Table.from_pylist([{"messages": turns, "tools": tools}]), path)
    table = open_rows(path)
    shape, columns = shape_for(table, "auto", None, "chat")
    assert columns.tools == "tools"
    assert unfold(shape, rows(path)[0])["tools"] == [{"type": "function", "function": {"name": "look"}}]
