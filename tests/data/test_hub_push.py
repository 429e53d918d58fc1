"""Pushes: which files and which card would go, and what is said when they cannot. The Hub itself is never asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from storage.annotations import annotate
from storage.audit import search_audit
from storage.database import Database
from storage.examples import list_pairs
from storage.projects import create_project
from storage.records import Project, User
from studio.data import hub_push
from studio.data.hub_push import Destination, push
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.data.transfers import Goods
from studio.errors import BadInput, Cancelled
from studio.settings import Workspace

ANN = User("ann", "admin")
SECRET = "hf_secret_token"


@dataclass
class FakeApi:
    """What `huggingface_hub.HfApi` is asked for."""

    private: bool = True
    error: Exception | None = None
    token: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def create_repo(self, repo_id: str, **asked: Any) -> Any:
        if self.error:
            raise self.error
        self.made = {"repo_id": repo_id, **asked}
        return _Url(f"https://huggingface.co/datasets/{repo_id}", repo_id)

    def repo_info(self, repo_id: str, repo_type: str) -> Any:
        return type("Info", (), {"private": self.private})

    def upload_folder(self, repo_id: str, repo_type: str, folder_path: Path, commit_message: str) -> None:
        files = [path for path in Path(folder_path).rglob("*") if path.is_file()]
        self.files = {path.relative_to(folder_path).as_posix(): path.read_bytes() for path in files}


class _Url(str):
    def __new__(cls, url: str, repo_id: str) -> _Url:
        made = super().__new__(cls, url)
        made.repo_id = repo_id  # type: ignore[attr-defined]
        return made


def fake_hub(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A Hub that is a list of files, in the real one's place."""
    import huggingface_hub

    api = FakeApi()

    def make(token: str | None = None) -> FakeApi:
        api.token = token
        return api

    monkeypatch.setattr(huggingface_hub, "HfApi", make)
    monkeypatch.setattr(hub_push, "is_offline", lambda: False)
    monkeypatch.setattr(hub_push, "reachable", lambda: True)
    return api


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    return fake_hub(monkeypatch)


@pytest.fixture
def filled(db: Database, tmp_path: Path) -> Project:
    project = create_project(
        db, "Help <b>desk</b> [x](y): #1", "classification", "Secret prompt.", "Secret guidelines."
    )
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"q{n}", "label": "ab"[n % 2]}) + "\n" for n in range(20)))
    import_file(db, project.id, path)
    for pair in list_pairs(db, project.id)[:3]:
        annotate(db, pair.example_id, "bob", "submit", "a")
    return project


def test_the_files_and_the_card_of_a_snapshot_go(
    db: Database, workspace: Workspace, filled: Project, hub: FakeApi
) -> None:
    frozen = freeze(db, workspace, filled.id, 0.2, 0.2, 7).snapshot
    where = Destination("ann/desk", token=SECRET)
    pushed = push(db, workspace, ANN, Goods(filled.id, frozen.id), where, "messages", "alpha 0.81 on 40 examples")
    assert (hub.made["repo_id"], hub.made["private"], hub.made["repo_type"]) == ("ann/desk", True, "dataset")
    names = {f"data/{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")}
    assert set(hub.files) == {"README.md", *names} and hub.token == SECRET
    card = hub.files["README.md"].decode()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["pretty_name"] == filled.name and head["task_categories"] == ["text-classification"]
    assert [part["split"] for part in head["configs"][0]["data_files"]] == ["train", "validation", "test"]
    assert "license" not in head and "language" not in head
    for words in (frozen.id, "seed 7", "version 1", "alpha 0.81", "by 1 annotator", f"| train | {frozen.train_rows} |"):
        assert words in card
    assert "<b>" not in card.split("---\n")[2] and "[x](y)" not in card.split("---\n")[2]
    assert "Secret" not in card and "bob" not in card
    assert pushed.url.endswith("ann/desk") and pushed.report.rows == 20
    assert list(workspace.uploads.iterdir()) == []


def test_a_project_goes_as_one_split(db: Database, workspace: Workspace, filled: Project, hub: FakeApi) -> None:
    push(db, workspace, ANN, Goods(filled.id), Destination("ann/desk", private=False), "alpaca")
    assert set(hub.files) == {"README.md", "data/train-00000-of-00001.parquet"} and hub.token is None
    (workspace.root / "out.parquet").write_bytes(hub.files["data/train-00000-of-00001.parquet"])
    assert pq.read_table(workspace.root / "out.parquet").column_names == ["instruction", "input", "output", "system"]
    assert "given in the studio: 3, by 1 annotator; imported with the data: 17" in hub.files["README.md"].decode()


def test_the_log_knows_of_it_but_not_the_token(
    db: Database, workspace: Workspace, filled: Project, hub: FakeApi
) -> None:
    push(db, workspace, ANN, Goods(filled.id), Destination("ann/desk", token=SECRET))
    line = search_audit(db, action="data push")[0]
    assert (line.details["repo"], line.details["private"], line.details["rows"]) == ("ann/desk", True, 20)
    assert SECRET not in str(line)
    db.cursor().execute("CHECKPOINT")
    assert SECRET.encode() not in workspace.database.read_bytes()


def test_nothing_private_goes_into_a_public_repository(
    db: Database, workspace: Workspace, filled: Project, hub: FakeApi
) -> None:
    hub.private = False
    with pytest.raises(BadInput, match="is public"):
        push(db, workspace, ANN, Goods(filled.id), Destination("ann/desk"))
    assert hub.files == {} and search_audit(db, action="data push") == []


def refusal(status: int) -> Exception:
    from huggingface_hub.errors import HfHubHTTPError

    response = httpx.Response(status, request=httpx.Request("POST", "https://huggingface.co"))
    return HfHubHTTPError("told at length", response=response)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refusal(401), "hf auth login"),
        (refusal(403), "write access"),
        (refusal(500), "status 500"),
        (httpx.ConnectError("gone"), "try again"),
        (OSError("gone"), "try again"),
    ],
)
def test_a_refusal_is_one_sentence(
    db: Database, workspace: Workspace, filled: Project, hub: FakeApi, error: Exception, words: str
) -> None:
    hub.error = error
    with pytest.raises(BadInput, match=words):
        push(db, workspace, ANN, Goods(filled.id), Destination("ann/desk"))
    assert list(workspace.uploads.iterdir()) == []


def test_without_a_hub_it_is_said_at_once(db: Database, workspace: Workspace, filled: Project) -> None:
    with pytest.raises(BadInput, match="cannot be reached: nothing was sent"):  # the tests run with HF_HUB_OFFLINE=1
        push(db, workspace, ANN, Goods(filled.id), Destination("ann/desk"))
    with pytest.raises(BadInput, match="OWNER/NAME"):
        push(db, workspace, ANN, Goods(filled.id), Destination("../etc"))


def test_a_push_can_be_called_off(
    db: Database, workspace: Workspace, filled: Project, hub: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_push, "_TOLD_ROWS", 1)
    with pytest.raises(Cancelled):
        push(db, workspace, ANN, Goods(filled.id), Destination("ann/desk"), on_progress=lambda part, words: False)
    assert hub.files == {} and list(workspace.uploads.iterdir()) == []
