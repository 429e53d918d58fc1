"""Downloads over HTTP: the file, its name, who may have it, and that a broken one looks broken."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import uvicorn

from storage.audit import search_audit
from storage.projects import create_project
from storage.records import Project
from studio.context import open_studio
from studio.data import export_files
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.errors import BadFile
from studio.settings import Workspace
from studio.web.server import build_app
from tests.web.conftest import House


@pytest.fixture
def filled(house: House, tmp_path: Path) -> Project:
    project = create_project(house.studio.db, "Ünsere / Fragen\r\n", "instruction", "You help.")
    file = tmp_path / "pairs.jsonl"
    rows = [{"input": f"q{n}", "output": "=1" if n else "a"} for n in range(6)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert import_file(house.studio.db, project.id, file).labeled == 6
    return project


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "zip"])
def test_a_project_comes_down_as_each_kind_of_file(house: House, filled: Project, kind: str) -> None:
    answer = house.client.get(f"/api/export/project/{filled.id}", params={"kind": kind})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="Unsere-Fragen-messages.{kind}"'
    assert len(read(kind, answer.content)) == 6
    line = search_audit(house.studio.db, action="data export")[0]
    assert (line.project_id, line.details["rows"], line.details["shape"]) == (filled.id, 6, "messages")


def read(kind: str, content: bytes) -> list[object]:
    if kind == "jsonl":
        return [json.loads(line) for line in content.splitlines()]
    if kind == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    if kind == "parquet":
        return pq.read_table(io.BytesIO(content)).to_pylist()
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    return [None] * 6 if "state.json" in archive.namelist() else []


def test_a_snapshot_comes_down_with_its_splits(house: House, filled: Project) -> None:
    frozen = freeze(house.studio.db, house.studio.workspace, filled.id, 0.2, 0.2).snapshot
    answer = house.client.get(f"/api/export/snapshot/{filled.id}/{frozen.id}", params={"shape": "alpaca"})
    assert answer.headers["content-disposition"].endswith('filename="Unsere-Fragen-v1-alpaca.jsonl"')
    assert {row["split"] for row in read("jsonl", answer.content)} == {"train", "validation", "test"}
    folder = house.client.get(f"/api/export/snapshot/{filled.id}/{frozen.id}", params={"kind": "zip"}).content
    assert "test/state.json" in zipfile.ZipFile(io.BytesIO(folder)).namelist()


def test_what_cannot_be_is_one_sentence(house: House, filled: Project) -> None:
    asked = f"/api/export/project/{filled.id}"
    for params, word in (
        ({"shape": "nonsense"}, "no shape"),
        ({"kind": "exe"}, "no file format"),
        ({"kind": "../x"}, "no file format"),
        ({"shape": "openai", "kind": "csv"}, ".jsonl"),
        ({"shape": "preference"}, "one answer"),
    ):
        answer = house.client.get(asked, params=params)
        assert answer.status_code == 400 and word in answer.json()["message"], params
    assert house.client.get(f"/api/export/project/{house.project.id}").status_code == 400  # nothing accepted yet
    assert house.client.get("/api/export/project/none").status_code == 404
    assert house.client.get(f"/api/export/snapshot/{filled.id}/0123456789abcdef").status_code == 404
    assert search_audit(house.studio.db, action="data export") == []


@pytest.fixture
def broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A served studio (a real server) whose export fails behind its first bytes; gives the URL of one."""
    studio = open_studio(Workspace(tmp_path / "workspace"))
    project = create_project(studio.db, "Many")
    file = tmp_path / "many.jsonl"
    file.write_text("".join(json.dumps({"input": f"{n}", "output": "x" * 1000}) + "\n" for n in range(3000)))
    import_file(studio.db, project.id, file)
    whole = export_files.Export.records

    def breaks(self: export_files.Export, split: str = "") -> Iterator[object]:
        for number, row in enumerate(whole(self, split)):
            if number == 2000:
                raise BadFile("The disk went away.")
            yield row

    monkeypatch.setattr(export_files.Export, "records", breaks)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(build_app(studio), port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{port}/api/export/project/{project.id}"
    server.should_exit = True
    thread.join(20)


def test_an_error_in_the_middle_breaks_the_download(broken_off: str) -> None:
    seen = 0
    with (
        pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"),
        httpx.stream("GET", broken_off, trust_env=False) as answer,
    ):
        assert answer.status_code == 200
        for piece in answer.iter_bytes():
            seen += len(piece)
    assert seen > 100_000
