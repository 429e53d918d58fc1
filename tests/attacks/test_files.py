"""Files that bite: names that lead elsewhere, archives that unpack without end, cells that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage.database import Database
from storage.projects import create_project
from storage.records import Project
from studio.data import unpacking
from studio.data.datasetfolders import DatasetTable
from studio.data.importing import import_file
from studio.data.readers import open_rows
from studio.data.safecells import MADE_SAFE, plain_cell, plain_values, safe_cell, safe_row
from studio.data.transfers import Goods
from studio.errors import BadFile, StudioError
from studio.settings import Workspace
from tests.web.conftest import House, Town

RAN = "a pickle was run"
ROWS = pa.table({"prompt": ["x" * 40_000] * 1000})


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.path, RAN))


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if memory were small, so that a bomb of 100 MB will do."""
    monkeypatch.setattr(unpacking, "AT_ONCE", 20 << 20)


def arrow(kind: str, packing: str | None) -> bytes:
    """ROWS as an Arrow file or stream of one batch."""
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with new(sink, ROWS.schema, options=pa.ipc.IpcWriteOptions(compression=packing)) as writer:
        writer.write_table(ROWS)
    return sink.getvalue().to_pybytes()


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """A ZIP archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def state(*names: str) -> bytes:
    """The state.json of a datasets folder with these files."""
    return json.dumps({"_data_files": [{"filename": name} for name in names]}).encode()


@pytest.mark.parametrize("packing", ["zstd", "lz4"])
@pytest.mark.parametrize("kind", ["file", "stream"])
def test_an_arrow_file_that_unpacks_without_end_is_refused_unread(
    tmp_path: Path, little: None, kind: str, packing: str
) -> None:
    path = tmp_path / "bomb.arrow"
    path.write_bytes(arrow(kind, packing))
    before = pa.total_allocated_bytes()
    with pytest.raises(BadFile, match=r"would unpack .* into 40,0"):
        open_rows(path)
    assert path.stat().st_size < 1 << 20 and pa.total_allocated_bytes() - before < 1 << 20


def test_a_folder_and_an_archive_of_them_too(tmp_path: Path, little: None) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "state.json").write_bytes(state("a.arrow"))
    (tmp_path / "set" / "a.arrow").write_bytes(arrow("stream", "zstd"))
    zipped = packed(tmp_path / "set.zip", {"state.json": state("a.arrow"), "a.arrow": arrow("stream", "zstd")})
    for path in (tmp_path / "set", zipped):
        with pytest.raises(BadFile, match="would unpack"):
            list(DatasetTable(path).rows())


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, little: None) -> None:
    path = packed(tmp_path / "bomb.zip", {"state.json": state("a.arrow"), "a.arrow": arrow("stream", None)})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BadFile, match="would unpack"):
        list(DatasetTable(path).rows())


def test_an_archive_is_not_believed_about_the_length_of_a_piece(tmp_path: Path, little: None) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:  # stored as it is: nothing is packed
        archive.writestr("state.json", state("a.arrow"))
        archive.writestr("a.arrow", arrow("stream", None))
    with pytest.raises(BadFile, match="claims a piece of"):
        list(DatasetTable(tmp_path / "a.zip").rows())


@pytest.mark.parametrize("packing", ["zstd", "gzip", "snappy"])
def test_a_parquet_file_that_unpacks_without_end_is_refused(tmp_path: Path, little: None, packing: str) -> None:
    many = pa.table({"prompt": ["x" * 60_000 + str(number) for number in range(400)]})
    pq.write_table(many, tmp_path / "bomb.parquet", compression=packing, use_dictionary=False)
    if packing == "snappy":  # packs no more than twentyfold or so: the file is as large as what it holds
        assert len(list(open_rows(tmp_path / "bomb.parquet").rows())) == 400
        return
    with pytest.raises(BadFile, match="would unpack"):
        open_rows(tmp_path / "bomb.parquet")


def test_what_is_packed_as_usual_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fine.arrow"
    path.write_bytes(arrow("file", "zstd"))
    assert len(list(open_rows(path).rows())) == 1000


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=300), st.integers(0, 600))
def test_a_broken_head_of_a_message_is_a_sentence(junk: bytes, at: int) -> None:
    whole = bytearray(arrow_head())
    whole[at : at + len(junk)] = junk
    with suppress(pa.ArrowException, OSError, BadFile):
        unpacking.refuse_arrow_bomb(Path("a.arrow"), pa.BufferReader(bytes(whole)))


def arrow_head() -> bytes:
    """A small compressed stream."""
    sink = pa.BufferOutputStream()
    table = pa.table({"a": ["x" * 50] * 9})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "..", "a/../../x", "a\\..\\x", "C:x", "x\0y", ""])
def test_an_archive_names_no_file_outside_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.arrow").write_bytes(arrow_head())
    (tmp_path / "in").mkdir()
    path = packed(tmp_path / "in" / "set.zip", {"state.json": state(name)})
    (tmp_path / "in" / "state.json").write_bytes(state(name))
    for where in (path, tmp_path / "in"):
        with pytest.raises(BadFile):
            list(open_rows(where).rows())


def test_a_link_in_a_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.arrow").write_bytes(arrow_head())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "state.json").write_bytes(state("a.arrow"))
    (tmp_path / "set" / "a.arrow").symlink_to(tmp_path / "secret.arrow")
    with pytest.raises(BadFile, match="outside of it"):
        list(open_rows(tmp_path / "set").rows())


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.arrow", "a.json", "a.zip", "a.pkl", "a.npy"])
def test_a_pickle_under_any_name_is_never_run(tmp_path: Path, db: Database, project: Project, name: str) -> None:
    proof = tmp_path / "proof"
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(proof)))
    with suppress(StudioError):
        import_file(db, project.id, tmp_path / name)
    assert not proof.exists()


STARTS = [
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    " =",
    "\u00a0=",
    "\ufeff=",
    "'=",
    "''+",
    " \t-",
    "\uff1d",
    "\uff20",
    "\n=",
]


@pytest.mark.parametrize("start", STARTS)
def test_no_cell_begins_as_a_formula(start: str) -> None:
    cell = safe_cell(f"{start}cmd|' /C calc'!A0")
    assert cell.startswith("'") and plain_cell(cell) == f"{start}cmd|' /C calc'!A0"


@hypothesis_settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(st.sampled_from("=+-@\t\r\n '\"a,;\ufeff\u00a0\uff1d|"), max_size=8), min_size=2, max_size=2))
def test_every_cell_is_safe_and_comes_back(texts: list[str]) -> None:
    names = ["prompt", "response", MADE_SAFE]
    text = io.StringIO(newline="")
    csv.writer(text).writerow(safe_row(names, dict(zip(names, texts, strict=False))))
    (row,) = csv.reader(io.StringIO(text.getvalue(), newline=""))
    for cell in row[:2]:
        assert cell.lstrip(" \u00a0\ufeff\r\n\t")[:1] not in ("=", "+", "-", "@", "\uff1d")
    back = plain_values(dict(zip(names, row, strict=True)))
    assert [back["prompt"], back["response"]] == texts


@pytest.mark.parametrize("evil", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", " =1", "\uff1d1"])
def test_an_export_has_no_formula_and_imports_as_it_was(house: House, tmp_path: Path, evil: str) -> None:
    project = create_project(house.studio.db, f"{evil} desk", "instruction", "").id
    (tmp_path / "in.jsonl").write_text(json.dumps({"prompt": evil, "response": evil}), encoding="utf-8")
    import_file(house.studio.db, project, tmp_path / "in.jsonl")
    answer = house.client.get(f"/api/export/project/{project}?shape=pairs&kind=csv")
    if answer.status_code != 200:
        answer = house.client.get(f"/api/export/project/{project}?shape=alpaca&kind=csv")
    assert answer.status_code == 200, answer.text
    cells = [cell for row in csv.reader(io.StringIO(answer.text.lstrip("\ufeff"), newline="")) for cell in row]
    assert f"'{evil}" in cells and not [c for c in cells if c.lstrip()[:1] in ("=", "+", "-", "@", "\uff1d")]
    disposition = answer.headers["content-disposition"]
    assert "\n" not in disposition and disposition.count('"') == 2 and "/" not in disposition


@pytest.mark.parametrize(
    "name", ["../../evil.csv", "..%2f..%2fevil.csv", "/etc/evil.csv", "a\\..\\evil.csv", "\u202evsc.exe"]
)
def test_an_upload_lands_where_uploads_lie(
    town: Town, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = town.ask("ann", "POST", "/gradio_api/upload", files={"files": (name, b"prompt\nx\n")})
    assert answer.status_code == 200
    (path,) = answer.json()
    import gradio.utils

    assert Path(path).resolve().is_relative_to(Path(gradio.utils.get_upload_folder()).resolve())
    assert not list(tmp_path.rglob("*evil*")) and not Path("/etc/evil.csv").exists()


BESIDE = ["studio.duckdb", "endpoint.json", "uploads/../studio.duckdb", "snapshots", "runs/../studio.duckdb"]


@pytest.mark.parametrize("path", [*BESIDE, "../../etc/passwd", "%2e%2e/studio.duckdb", "uploads/%2e%2e/studio.duckdb"])
def test_no_file_of_the_workspace_is_served_to_anybody(town: Town, path: str) -> None:
    root = town.studio.workspace.root
    (root / "endpoint.json").write_text("{}", encoding="utf-8")
    for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/static/", "/assets/", "/svelte/"):
        for asked in (f"{root}/{path}", path):
            for who in ("bob", "rev", "ann"):
                assert town.ask(who, "GET", f"{route}{asked}").status_code in (400, 403, 404), (route, asked, who)


@pytest.mark.parametrize("word", ["../../etc", "..", "/etc/passwd", "a/../../b", "x\0y", "%2e%2e%2f", "'; DROP TABLE"])
def test_a_snapshot_or_project_is_named_by_no_path(town: Town, word: str) -> None:
    for path in (f"/api/export/project/{word}", f"/api/export/snapshot/{town.project.id}/{word}"):
        answer = town.ask("ann", "GET", path.replace("\0", "%00"), params={"shape": "../x", "kind": "../../x"})
        assert answer.status_code in (400, 403, 404) and "etc" not in answer.headers.get("content-disposition", "")


def test_a_snapshot_of_another_name_is_no_folder(db: Database, workspace: Workspace, project: Project) -> None:
    from studio.data.transfers import source_of

    outside = workspace.root.parent / "outside"
    outside.mkdir()
    (outside / "manifest.json").write_text("{}", encoding="utf-8")
    for word in ("../../outside", str(outside), "..", "."):
        with pytest.raises(StudioError):
            with source_of(db, workspace, Goods(project.id, word)):
                pass
