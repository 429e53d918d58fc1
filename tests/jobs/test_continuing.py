"""Going on from a finished run: which may be gone on from, and what the next one keeps of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from storage.projects import create_project
from storage.records import Run
from studio.errors import BadInput, BadSpec, NotFound
from studio.jobs import continuing, runs
from tests.jobs.conftest import Room


def finished(room: Room, **settings: object) -> Run:
    """A run that is done and has left an adapter."""
    run = room.ended(room.start("quick", **settings))
    (room.folder(run) / "adapter").mkdir(exist_ok=True)
    (room.folder(run) / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    return run


def go_on(room: Room, run: Run, **settings: object) -> Run:
    """A run that begins with the weights of another."""
    given = (room.db, room.workspace, room.snapshot.id, str(room.model), settings)
    return room.ended(runs.start_run(*given, from_run=run.id))


def test_the_next_run_begins_with_the_weights_and_keeps_their_shape(room: Room) -> None:
    first = finished(room, method="rslora", lora_rank=8, learning_rate=1e-3)
    second = go_on(room, first, epochs=1.0)
    spec = json.loads((room.folder(second) / "spec.json").read_text())
    assert spec["start_from"] == str(room.folder(first) / "adapter") == second.spec["start_from"]
    assert (spec["method"], spec["lora_rank"], spec["epochs"]) == ("rslora", 8, 1.0)


def test_a_pissa_run_is_gone_on_from_as_the_plain_lora_that_it_left(room: Room) -> None:
    second = go_on(room, finished(room, method="pissa", lora_rank=4, lora_alpha=8.0))
    assert (second.spec["method"], second.spec["lora_rank"], second.spec["lora_alpha"]) == ("lora", 8, 16.0)


def test_methods_that_leave_the_same_kind_of_adapter_can_follow_each_other(room: Room) -> None:
    first = finished(room, method="lora")
    assert go_on(room, first, method="lora-plus").spec["method"] == "lora-plus"
    with pytest.raises(BadSpec, match="can only go on so: set method=lora"):
        go_on(room, first, method="full")
    with pytest.raises(BadSpec, match="keeps that: leave it unset"):
        go_on(room, first, lora_rank=99)


def test_a_run_that_is_not_done_or_has_lost_its_weights_is_refused(room: Room) -> None:
    failed = room.ended(room.start("crash"))
    with pytest.raises(BadInput, match="only a run that is done"):
        go_on(room, failed)
    first = finished(room)
    (room.folder(first) / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(NotFound, match="weights of run 2 are gone"):
        go_on(room, first)
    with pytest.raises(NotFound):
        go_on(room, replace(first, id="run-unknown"))


def test_another_base_or_another_project_is_refused(room: Room) -> None:
    first = finished(room)
    with pytest.raises(BadInput, match="choose that base"):
        runs.start_run(room.db, room.workspace, room.snapshot.id, "starter", {}, from_run=first.id)
    elsewhere = replace(room.snapshot, project_id=create_project(room.db, "Other").id)
    asked = (room.db, room.workspace, first.id, elsewhere, str(room.model))
    with pytest.raises(BadInput, match="another project"):
        continuing.settings_from(*asked, {})
    assert continuing.settings_from(*asked, {"objective": "dpo"})["start_from"]


def test_the_base_of_the_finished_run_is_taken_where_none_is_named(room: Room) -> None:
    first = finished(room)
    run = runs.start_run(room.db, room.workspace, room.snapshot.id, "", {}, from_run=first.id)
    assert room.ended(run).base_model == first.base_model


def test_a_folder_cannot_be_named_by_hand(room: Room) -> None:
    with pytest.raises(BadInput, match="name the finished run"):
        room.start("quick", start_from="/etc")


def test_a_missing_tracker_or_an_objective_that_does_not_fit_starts_nothing(room: Room) -> None:
    for settings, told in (
        ({"trackers": "nonsense"}, "no tracker 'nonsense'"),
        ({"objective": "dpo"}, "this snapshot has none"),
    ):
        with pytest.raises(BadSpec, match=told):
            room.start("quick", **settings)
    assert runs.list_runs(room.db) == []
