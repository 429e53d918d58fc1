"""What is in production: promoted, rolled back, refused; and the names that servers read."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from storage.audit import search_audit
from storage.database import Database
from storage.projects import archive_project, create_project, update_project
from storage.records import Project
from studio.contract import serving
from studio.deploy import production
from studio.errors import BadInput, NotFound
from studio.jobs.processes import claimed
from studio.settings import Workspace
from tests.deploy.conftest import make_run


def written(workspace: Workspace) -> dict[str, Any]:
    found = json.loads((workspace.root / "serving" / production.NAMES_FILE).read_text())
    return dict(found["names"])


def test_promote_writes_the_name_and_the_history(db: Database, workspace: Workspace, project: Project) -> None:
    run = make_run(db, workspace, project)
    made = production.promote(db, workspace, project.id, run.id, "ann", " better ")
    assert (made.kind, made.user, made.why) == ("promote", "ann", "better")
    adapter = str(workspace.runs / run.id / "adapter")
    assert written(workspace) == {
        "Support@production": {
            **{"run_id": run.id, "adapter": adapter, "base_model": "starter", "trained_on": "starter"}
        }
    }
    assert production.in_production(db, project.id) == run.id
    assert [line.action for line in search_audit(db)] == ["model promote"]


def test_whole_weights_are_a_base_model_of_their_own(db: Database, workspace: Workspace, project: Project) -> None:
    run = make_run(db, workspace, project, weights=["model"])
    production.promote(db, workspace, project.id, run.id, "ann")
    one = written(workspace)["Support@production"]
    assert (one["adapter"], one["base_model"]) == ("", str(workspace.runs / run.id / "model"))


def test_rollback_puts_back_what_was_there(db: Database, workspace: Workspace, project: Project) -> None:
    first, second, third = (make_run(db, workspace, project) for _ in range(3))
    for run in (first, second, third):
        production.promote(db, workspace, project.id, run.id, "ann")
    assert production.rollback(db, workspace, project.id, "bob", "worse").run_id == second.id
    assert production.rollback(db, workspace, project.id, "bob").run_id == first.id
    assert written(workspace)["Support@production"]["run_id"] == first.id
    with pytest.raises(BadInput, match="Nothing that was in production before"):
        production.rollback(db, workspace, project.id, "bob")
    assert [row.kind for row in production.list_deployments(db, project.id)] == ["rollback"] * 2 + ["promote"] * 3


def test_rollback_passes_over_what_is_gone(db: Database, workspace: Workspace, project: Project) -> None:
    runs = [make_run(db, workspace, project) for _ in range(3)]
    for run in runs:
        production.promote(db, workspace, project.id, run.id, "ann")
    shutil.rmtree(workspace.runs / runs[1].id)
    assert production.rollback(db, workspace, project.id, "bob").run_id == runs[0].id


def test_a_project_with_nothing_in_production(db: Database, workspace: Workspace, project: Project) -> None:
    with pytest.raises(BadInput, match="Nothing is in production"):
        production.rollback(db, workspace, project.id, "bob")


@pytest.mark.parametrize("state", ["failed", "stopped", "training"])
def test_a_run_that_is_not_done_is_refused(db: Database, workspace: Workspace, project: Project, state: str) -> None:
    run = make_run(db, workspace, project, state=state)
    with pytest.raises(BadInput, match=f"is {state}: only a run that is done"):
        production.promote(db, workspace, project.id, run.id, "ann")
    assert production.list_deployments(db, project.id) == []


def test_what_cannot_be_served_is_refused(db: Database, workspace: Workspace, project: Project) -> None:
    gone, other = make_run(db, workspace, project), make_run(db, workspace, create_project(db, "Other"))
    shutil.rmtree(workspace.runs / gone.id)
    with pytest.raises(BadInput, match="weights of run 1 are gone"):
        production.promote(db, workspace, project.id, gone.id, "ann")
    with pytest.raises(BadInput, match="of another project"):
        production.promote(db, workspace, project.id, other.id, "ann")
    with pytest.raises(NotFound):
        production.promote(db, workspace, project.id, "run-none", "ann")
    run = make_run(db, workspace, project)
    production.promote(db, workspace, project.id, run.id, "ann")
    with pytest.raises(BadInput, match="in production already"):
        production.promote(db, workspace, project.id, run.id, "ann")


def test_names_follow_the_projects(db: Database, workspace: Workspace, project: Project) -> None:
    run = make_run(db, workspace, project)
    production.promote(db, workspace, project.id, run.id, "ann")
    update_project(db, project.id, "Help/../desk", "", "")
    production.write_names(db, workspace)
    assert list(written(workspace)) == ["Help/../desk@production"]
    archive_project(db, project.id)
    production.write_names(db, workspace)
    assert written(workspace) == {}


def test_a_server_at_work_gets_the_name_of_what_it_serves(db: Database, workspace: Workspace, project: Project) -> None:
    old, new, other = (make_run(db, workspace, project) for _ in range(3))
    foreign = make_run(db, workspace, create_project(db, "Other"))
    folders = {name: workspace.root / "serving" / name for name in ("ours", "dead", "theirs")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        spec = {"models": "/m", "runs": "/r", "keys": "/k"}
        (folder / "spec.json").write_text(serving.ServeSpec.model_validate(spec).model_dump_json())
        serving.write_names(folder, {"one": foreign.id if name == "theirs" else old.id})
    with claimed(folders["ours"]), claimed(folders["theirs"]):
        production.promote(db, workspace, project.id, new.id, "ann")
        assert dict(serving.read_names(folders["ours"]).names) == {"one": old.id, "Support@production": new.id}
        production.promote(db, workspace, project.id, other.id, "ann")
        assert serving.read_names(folders["ours"]).names["Support@production"] == other.id
    assert (
        list(serving.read_names(folders["theirs"]).names) == ["one"] == list(serving.read_names(folders["dead"]).names)
    )
