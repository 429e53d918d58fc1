"""Exports by real processes: a run with its records, the same by command, cancel, what is refused, and the Hub."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.annotations import annotate
from storage.audit import search_audit
from storage.database import Database, connect
from storage.projects import create_project
from storage.records import Run, User
from storage.runs import create_run, take_up_events
from studio.commands.export_model import export_model
from studio.contract.export import ExportReport
from studio.data.hub_push import Destination
from studio.data.model_push import push_model
from studio.data.snapshots import freeze
from studio.errors import BadFile, BadInput, Cancelled, NotFound
from studio.jobs.exporting_model import cancel_export, folder_of, follow_export, look_at, records_of, start_export
from studio.jobs.runs import get_run
from studio.settings import Workspace
from tests import tiny
from tests.data.test_hub_push import FakeApi, fake_hub
from tests.export.made import House, lora_run
from tests.labeling.samples import put_examples

ANN = User("ann", "admin")
FEW: dict[str, Any] = {"questions": 3, "answer_tokens": 4}


@pytest.fixture
def run(db: Database, workspace: Workspace, tmp_path: Path) -> Run:
    """A finished run on 12 labeled pairs, 4 of them held out, as training would have left it."""
    project = create_project(db, "Desk", "instruction", "Be brief.")
    given = put_examples(db, project.id, [question for question, _ in tiny.pairs(12)])
    for example, (_, answer) in zip(given, tiny.pairs(12), strict=True):
        annotate(db, example, "ben", "submit", answer)
    snapshot = freeze(db, workspace, project.id, 0.1, 0.3).snapshot
    base = tiny.make_model(tmp_path / "base")
    spec = {"base_model": str(base), "method": "lora", "device": "cpu", "learning_rate": 0.01, "models": "/home/me"}
    create_run(db, "run-1", project.id, snapshot.id, str(base), json.dumps(spec), 4)
    ended = {"state": "done", "adapter_hash": "a" * 64, "base_hash": "", "tuned_loss": 1.5, "device": "CPU"}
    take_up_events(db, "run-1", [], 0, ended)
    lora_run(House(workspace.root, base, workspace.snapshots / snapshot.id), "run-1")
    return get_run(db, "run-1")


def test_an_export_is_started_followed_and_stands_with_its_records(
    db: Database, workspace: Workspace, run: Run
) -> None:
    place = start_export(db, workspace, ANN, run.id, "adapter", **FEW)
    with pytest.raises(BadInput, match="at work already"):
        start_export(db, workspace, ANN, run.id, "adapter", **FEW)
    told: list[str] = []
    report = follow_export(workspace, run.id, "adapter", lambda fraction, words: told.append(words))
    assert report.target == place and place.is_relative_to(workspace.exports) and report.parity[0].same_text == 3
    card = (place / "README.md").read_text()
    assert "Desk 1" in card and "by 1 annotator" in card and "/home/me" not in card and "ben" not in card
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "peft"
    found = look_at(workspace, run.id, "adapter")
    assert found.standing.state == "done" and found.report == report
    assert look_at(workspace, run.id, "merged").standing.state == "none"
    line = search_audit(db, action="model export")[0]
    assert (line.user, line.details["format"]) == ("ann", "adapter")


def test_records_tell_what_is_known(db: Database, workspace: Workspace, run: Run) -> None:
    records = records_of(db, workspace, run)
    assert records.data is not None and records.data.rows["test"] == 4 and records.data.hash
    assert records.settings["learning_rate"] == 0.01 and "models" not in records.settings
    assert (records.number, records.tuned_loss, records.evaluation, records.checked) == (1, 1.5, None, False)


def test_a_cancelled_export_leaves_nothing(db: Database, workspace: Workspace, run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out" / "here"
    start_export(db, workspace, ANN, run.id, "merged", target)
    cancel_export(workspace, run.id, "merged")
    assert look_at(workspace, run.id, "merged").standing.state == "stopped"
    assert not target.exists() and not list(tmp_path.glob("out/.*"))
    with pytest.raises(Cancelled, match="nothing was exported"):
        follow_export(workspace, run.id, "merged")


def test_what_cannot_be_exported_is_refused_with_what_to_do(
    db: Database, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no format 'onnx'"):
        start_export(db, workspace, ANN, run.id, "onnx")
    with pytest.raises(NotFound):
        start_export(db, workspace, ANN, "nobody", "adapter")
    with pytest.raises(BadInput, match="is there already"):
        start_export(db, workspace, ANN, run.id, "adapter", tmp_path)
    take_up_events(db, run.id, [], 0, {"adapter_hash": None})
    with pytest.raises(BadInput, match="no weights yet"):
        start_export(db, workspace, ANN, run.id, "adapter")
    assert folder_of(workspace, "base:../../etc", "gguf").parent == workspace.exports


def test_the_command_gives_one_object(
    db: Database, workspace: Workspace, run: Run, tmp_path: Path, hub: FakeApi
) -> None:
    db.close()  # the command opens it itself
    flags = {"run": run.id, "format": "gguf", "public": False, "prompts": 2}
    done = export_model(workspace, Namespace(dir=str(tmp_path / "out"), **flags))
    assert done.data["folder"] == str(tmp_path / "out") and (tmp_path / "out" / "Modelfile").is_file()
    assert "answers are those of the studio" in done.message and json.loads(json.dumps(done.data))["parity"]
    sent = export_model(workspace, Namespace(dir="hub:ann/desk", **flags))
    assert sent.data["private"] and set(hub.files) == {"README.md", "Modelfile", "model-f16.gguf"}
    again = connect(workspace.database, workspace.backups)
    assert search_audit(again, action="model push")[0].details["repo"] == "ann/desk"
    again.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A Hub that is a list of files."""
    return fake_hub(monkeypatch)


def exported(folder: Path) -> ExportReport:
    """An adapter as an export leaves it."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/home/me/base", "r": 4}))
    (folder / "README.md").write_text("# Card")
    files = [{"name": path.name, "size": path.stat().st_size, "sha256": ""} for path in folder.iterdir()]
    told: dict[str, Any] = {"run": "r", "base_model": "/home/me/base", "format": "adapter", "family": "causal"}
    return ExportReport.model_validate(told | {"target": folder, "files": files})


def test_a_model_goes_as_it_was_exported_without_paths_or_token(
    db: Database, workspace: Workspace, tmp_path: Path, hub: FakeApi
) -> None:
    report = exported(tmp_path / "adapter")
    (report.target / "README.md").write_text("# Card\n\nLanguages: English.")  # the publisher's own words
    pushed = push_model(db, workspace, ANN, report, Destination("ann/desk", token="hf_secret_token"))
    assert (hub.made["repo_type"], hub.made["private"], hub.token) == ("model", True, "hf_secret_token")
    assert json.loads(hub.files["adapter_config.json"]) == {"base_model_name_or_path": "base", "r": 4}
    assert b"English" in hub.files["README.md"] and pushed.url.endswith("ann/desk")
    assert "/home/me" in (report.target / "adapter_config.json").read_text()
    assert "hf_secret" not in str(search_audit(db, action="model push")) and not list(workspace.uploads.iterdir())


def test_what_is_not_the_export_does_not_go(db: Database, workspace: Workspace, tmp_path: Path, hub: FakeApi) -> None:
    report = exported(tmp_path / "adapter")
    hub.private = False
    with pytest.raises(BadInput, match="is public"):
        push_model(db, workspace, ANN, report, Destination("ann/desk"))
    (report.target / "private.key").write_text("mine")
    with pytest.raises(BadFile, match="not those that were exported"):
        push_model(db, workspace, ANN, report, Destination("ann/desk", private=False))
    with pytest.raises(BadInput, match="no name for a model"):
        push_model(db, workspace, ANN, report, Destination("../etc"))
    assert hub.files == {} and search_audit(db, action="model push") == []
