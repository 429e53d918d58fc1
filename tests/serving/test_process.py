"""The server as a process: started and ended by the studio, in the foreground by the command, told in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from storage.database import Database
from storage.projects import create_project
from storage.queued import Ask, change_state, get_job, put_in
from storage.runs import create_run
from studio.contract.events import read_all
from studio.contract.serving import Loan, read_loan, read_names
from studio.errors import BadInput, BadSpec, NotFound
from studio.jobs import serving
from studio.jobs.lending import Want, settle_loans
from studio.jobs.serving_keys import add_key, list_keys, revoke_key
from studio.settings import Workspace
from tests.inference.conftest import make_adapter
from tests.serving.conftest import turns, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_id(db: Database, workspace: Workspace, base_folder: Path) -> str:
    """A run with weights in a workspace."""
    project = create_project(db, "Mail", "instruction", "")
    make_adapter(workspace.runs, "run-aa", base_folder, scale=0.5, seed=1)
    spec = json.dumps({"device": "cpu", "dtype": "float32"})
    return create_run(db, "run-aa", project.id, "snap", str(base_folder), spec, 1).id


def test_a_server_is_started_asked_and_stopped(db: Database, workspace: Workspace, run_id: str) -> None:
    folder = serving.start_serving(db, workspace, [run_id])
    try:
        server = serving.wait_until_serving(folder, 120)
        assert server.names == {"base": "", "run-1": run_id} and serving.list_servers(workspace) == [server]
        with pytest.raises(BadInput, match="being served already"):
            serving.start_serving(db, workspace, [run_id])
        client = openai.OpenAI(base_url=server.url, api_key="none")
        assert client.chat.completions.create(model="run-1", messages=turns(), max_tokens=3).choices
        serving.change_names(folder, {"other": run_id})
        wait_for(lambda: "other" in serving.serving_standing(folder).names)
        token, _ = add_key(workspace, "notebook", ["other"])
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        assert [one.id for one in openai.OpenAI(base_url=server.url, api_key=token).models.list()] == ["other"]
    finally:
        serving.stop_serving(folder)
    ended = serving.serving_standing(folder)
    assert (ended.standing.state, ended.url) == ("stopped", "") and read_all(folder)[-1].data["state"] == "stopped"


def test_a_server_makes_room_for_a_job_and_comes_back_when_that_has_gone(
    db: Database, workspace: Workspace, run_id: str
) -> None:
    folder = serving.start_serving(db, workspace, [run_id], lend_after_seconds=0.2)
    try:
        server = serving.wait_until_serving(folder, 120)
        assert server.lends and server.device == "cpu" and server.bytes > 0
        with db.write() as cursor:
            put_in(cursor, Ask("a-job", "run", "p", "me", "cpu", 1000))
        job = get_job(db, "a-job")
        assert job
        settle_loans(db, workspace, [Want(job, {"cpu": server.bytes + 1})])
        assert read_loan(folder) is None, "all its memory would not be enough"
        settle_loans(db, workspace, [Want(job, {"cpu": server.bytes})])
        wait_for(lambda: serving.serving_standing(folder).lent_to == "a-job")
        settle_loans(db, workspace)
        assert read_loan(folder) == Loan(name="a-job", jobs={"a-job": 1000}), "it waits still"
        assert change_state(db, "a-job", ("waiting",), "ended")
        settle_loans(db, workspace)
        wait_for(lambda: serving.serving_standing(folder).lent_to == "")
        client = openai.OpenAI(base_url=server.url, api_key="none")
        assert client.chat.completions.create(model="run-1", messages=turns(), max_tokens=3).choices
        settle_loans(db, workspace, [Want(job, {"cpu": 1})])
    finally:
        serving.stop_serving(folder)
    settle_loans(db, workspace)
    assert read_loan(folder) is None, "the server has gone"


def test_what_cannot_be_served_is_refused_before_anything_starts(
    db: Database, workspace: Workspace, run_id: str
) -> None:
    with pytest.raises(BadSpec, match="key add"):
        serving.start_serving(db, workspace, [run_id], host="0.0.0.0")
    with pytest.raises(BadInput, match="nothing to serve"):
        serving.start_serving(db, workspace, [])
    with pytest.raises(NotFound):
        serving.start_serving(db, workspace, ["run-zz"])
    other = create_run(db, "run-bb", db.one("SELECT id FROM projects")[0], "snap", "elsewhere", "{}", 1)
    with pytest.raises(BadInput, match="one base model"):
        serving.start_serving(db, workspace, [run_id, other.id])
    with pytest.raises(BadSpec, match="port"):
        serving.start_serving(db, workspace, [run_id], port=70_000)


def test_two_runs_of_one_number_have_their_projects_in_their_names(
    db: Database, workspace: Workspace, run_id: str, base_folder: Path
) -> None:
    second = create_project(db, "Chat", "instruction", "")
    twin = create_run(db, "run-cc", second.id, "snap", str(base_folder), "{}", 1)
    runs = [serving.get_run(db, run_id), twin]
    assert serving.names_for(db, runs) == {"Mail/run-1": run_id, "Chat/run-1": "run-cc"}
    assert serving.names_for(db, runs[1:]) == {"run-1": "run-cc"}


def test_keys_are_shown_once_and_revoked_by_name(workspace: Workspace) -> None:
    token, key = add_key(workspace, "ci", days=1, a_minute=5)
    assert token.startswith("sft-") and len(token) > 40 and token not in serving.keys_file(workspace).read_text()
    assert serving.keys_file(workspace).stat().st_mode & 0o777 == 0o600
    add_key(workspace, "ci")
    with pytest.raises(BadInput, match="2 keys"):
        revoke_key(workspace, "ci")
    assert revoke_key(workspace, key.id).revoked and [one.revoked is None for one in list_keys(workspace)] == [
        False,
        True,
    ]
    with pytest.raises(NotFound):
        revoke_key(workspace, key.id)
    for wrong in (
        {"name": ""},
        {"name": "x", "days": 0},
        {"name": "x", "a_minute": 0},
        {"name": "x", "models": ["\n"]},
    ):
        with pytest.raises(BadInput):
            add_key(workspace, **wrong)


def test_a_process_that_cannot_serve_says_why(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{}")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "studio.serving", str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=60).returncode == 1
    error, done = read_all(tmp_path)[-2:]
    assert error.data["kind"] == "BadSpec" and done.data["state"] == "failed"
    assert subprocess.run([*command, "more"], cwd=ROOT, env=environment, capture_output=True).returncode == 2


def test_sigterm_while_the_model_loads_ends_it(tmp_path: Path, base_folder: Path) -> None:
    spec = {"models": str(tmp_path), "runs": str(tmp_path), "keys": str(tmp_path / "k"), "base_model": str(base_folder)}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, "-m", "studio.serving", str(tmp_path)], cwd=ROOT, env=environment)
    try:
        wait_for(lambda: read_all(tmp_path))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0 and read_all(tmp_path)[-1].data["state"] == "stopped"
    finally:
        process.kill()
        process.wait()
    assert read_names(tmp_path).names == {}
