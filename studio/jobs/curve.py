"""Learning curves started, stopped and gone on with: runs on nested parts of a snapshot, scored on the same rows.

A curve takes its place in the queue as a run does. Its parts are snapshots' folders of their own, each with the train
rows of the smaller ones and more, and with the same held-out rows. How each stands is told by studio.jobs.curves.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.audit import record
from storage.database import Database
from storage.projects import get_project
from storage.queued import Ask, get_job
from storage.records import Project, Snapshot, User
from storage.snapshots import get_snapshot
from studio.contract.answers import with_flags
from studio.contract.curve import PARTS_FOLDER, CurveSpec, Part, place
from studio.contract.evaluation import EvalSpec
from studio.contract.plain import question_and_answer
from studio.contract.spec import SPEC_FILE, TrainSpec
from studio.errors import BadFile, BadInput, BadSpec, DiskFull, NotFound, StudioError
from studio.jobs.continuing import check_start
from studio.jobs.curves import About, LearningCurve, curve_folder, get_curve, list_curves, write_about
from studio.jobs.evaluating import labels_of
from studio.jobs.placing import asked_device
from studio.jobs.plan_spec import complete, planned_bytes
from studio.jobs.processes import ask_to_stop
from studio.jobs.queueing import TURN, WAITING, cancel, enqueue
from studio.jobs.runs import make_spec
from studio.language import tr
from studio.settings import USER, Workspace

SWEEPING_MODULE = "studio.sweeping"
FRACTIONS = (0.25, 0.5, 0.75, 1.0)
LEAST_ROWS = 12
"""Train rows that a snapshot must have: below, the smallest part would teach nothing."""

_HELD_OUT_ROWS = 512
_LOOK_SECONDS = 0.3
_LABELED = ("classification", "multi-label", "rating")


def start_curve(
    db: Database,
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None = None,
    project_id: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    scored: bool | None = None,
    user: str = USER,
) -> LearningCurve:
    """Have the runs on `fractions` of a snapshot's train rows wait for their turn, with the settings of a run on all of
    them; they begin at once where a device is free.

    `scored`: whether answers are scored too, besides the held-out loss (None: where the task has labels).
    Raises BadInput, BadSpec, NotFound, DiskFull, and NotAllowed where the user's device-hours are used up.
    """
    snapshot = get_snapshot(db, snapshot_id, project_id)
    if not snapshot.test_rows and not snapshot.validation_rows:
        raise BadInput("A learning curve is measured on held-out rows, and this snapshot has none: freeze another.")
    if snapshot.train_rows < LEAST_ROWS:
        raise BadInput(
            tr("A learning curve needs at least {rows} training rows: label more, and freeze again.", rows=LEAST_ROWS)
        )
    base = _base(workspace, snapshot, base_model, settings)
    project = get_project(db, snapshot.project_id)
    labeled = project.task in _LABELED
    evaluation = _evaluation(workspace, project, snapshot, base) if (labeled if scored is None else scored) else None
    memory = planned_bytes(complete(workspace, snapshot.id, base_model, settings))
    folder = workspace.curves / f"curve-{secrets.token_hex(4)}"
    try:
        parts = make_parts(base.snapshot, folder / PARTS_FOLDER, fractions, labeled, base.seed)
        spec = CurveSpec(base=base, parts=tuple(parts), evaluation=evaluation)
        _write(workspace, folder, snapshot, spec)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        why = error.strerror or error
        raise DiskFull(
            tr("The curve cannot be written to {folder}: {why}. Make room.", folder=folder, why=why)
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        enqueue(db, workspace, Ask(folder.name, "curve", snapshot.project_id, user, asked_device(base), memory))
    except StudioError:  # then it is not in the queue
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return get_curve(workspace, folder.name)


def _write(workspace: Workspace, folder: Path, snapshot: Snapshot, spec: CurveSpec) -> None:
    """Into its folder, with the project's next number; one at a time, else two could take the same. Raises OSError."""
    with TURN:
        number = 1 + max((curve.about.number for curve in list_curves(workspace, snapshot.project_id)), default=0)
        write_about(folder, About(snapshot.project_id, number, snapshot.id, spec.base.base_model))
        (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2), encoding="utf-8")


def stop_curve(workspace: Workspace, curve_id: str, db: Database | None = None) -> None:
    """Ask a curve to stop; its run answers with a checkpoint. One that waits leaves the queue, where `db` is given.
    Raises BadInput when it is not at work, NotFound."""
    with TURN:  # else what waits could be started between the look and the cancelling
        if db and (job := get_job(db, curve_id)) and job.state in WAITING:
            cancel(db, workspace, curve_id)
            return
    if not ask_to_stop(curve_folder(workspace, curve_id)):
        raise BadInput("The learning curve is not at work: there is nothing to stop.")


def resume_curve(db: Database, workspace: Workspace, curve_id: str, user: str = "") -> LearningCurve:
    """Go on with a stopped or failed curve when it is its turn, with the part that was at work first; `user`: who asks,
    '' for whoever asked before. Raises BadInput, NotFound, NotAllowed."""
    curve = get_curve(workspace, curve_id)
    if curve.standing.state == "done":
        raise BadInput("The learning curve is done: there is nothing to resume.")
    if curve.active:
        raise BadInput("The learning curve waits or is at work already.")
    job = get_job(db, curve_id)
    who, memory = user or (job.user_name if job else USER), job.memory_bytes if job else 0
    enqueue(db, workspace, Ask(curve_id, "curve", curve.project_id, who, asked_device(curve.spec.base), memory))
    return get_curve(workspace, curve_id)


def follow_curve(workspace: Workspace, curve_id: str, on_look: Callable[[LearningCurve], None]) -> LearningCurve:
    """Look at a curve until its process has ended. Needs no database."""
    while (curve := get_curve(workspace, curve_id)).active:
        on_look(curve)
        time.sleep(_LOOK_SECONDS)
    on_look(curve)
    return curve


def start_curve_for(
    db: Database,
    workspace: Workspace,
    user: User,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None = None,
    project_id: str | None = None,
) -> LearningCurve:
    """`start_curve` with a line in the audit log."""
    curve = start_curve(db, workspace, snapshot_id, base_model, settings, project_id, user=user.name)
    record(db, user.name, "curve start", curve.project_id, curve.id, snapshot=curve.about.snapshot_id)
    return curve


def stop_curve_for(db: Database, workspace: Workspace, user: User, curve_id: str) -> None:
    """`stop_curve` with a line in the audit log."""
    stop_curve(workspace, curve_id, db)
    record(db, user.name, "curve stop", get_curve(workspace, curve_id).project_id, curve_id)


def resume_curve_for(db: Database, workspace: Workspace, user: User, curve_id: str) -> LearningCurve:
    """`resume_curve` with a line in the audit log."""
    curve = resume_curve(db, workspace, curve_id, user.name)
    record(db, user.name, "curve resume", curve.project_id, curve_id)
    return curve


def make_parts(snapshot: Path, folder: Path, fractions: Sequence[float], labeled: bool, seed: int) -> list[Part]:
    """Write the parts of a snapshot to `folder`, the smallest first; the whole is the snapshot itself.

    Each part has the rows of those before it, in the order of the snapshot. `labeled`: each has every label that it has
    room for, in like shares. Raises BadInput for fewer than three different parts, BadFile, OSError.
    """
    shares = sorted({share for share in fractions if 0 < share <= 1})
    try:
        table = pq.read_table(snapshot / "train.parquet")
    except (OSError, pa.ArrowException) as error:
        raise BadFile(tr("The snapshot in {folder} cannot be read: freeze it again.", folder=snapshot)) from error
    order = nested_order(_answers(table) if labeled else [""] * len(table), seed)
    counts = sorted({max(1, round(share * len(table))) for share in shares})
    if len(counts) < 3:
        raise BadInput("A learning curve needs at least three different parts between 0 and 1: name other fractions.")
    folder.mkdir(parents=True)
    return [_part(snapshot, folder / place(number), table, order, count) for number, count in enumerate(counts)]


def nested_order(labels: Sequence[str], seed: int) -> list[int]:
    """Row indices in an order whose beginnings are samples: at random, with every label as evenly spread as may be and
    its first row as early as there is room."""
    rows = [int(row) for row in np.random.default_rng(seed).permutation(len(labels))]
    counts, seen = Counter(labels), Counter[str]()
    keys: dict[int, tuple[float, int]] = {}
    for drawn, row in enumerate(rows):
        label = labels[row]
        keys[row] = (-1.0 if not seen[label] else (seen[label] + 0.5) / counts[label], drawn)
        seen[label] += 1
    return sorted(rows, key=lambda row: keys[row])


def _part(snapshot: Path, folder: Path, table: pa.Table, order: Sequence[int], count: int) -> Part:
    if count == len(table):
        return Part(labels=count, snapshot=snapshot)
    folder.mkdir()
    pq.write_table(table.take(pa.array(sorted(order[:count]), pa.int64())), folder / "train.parquet")
    for name in ("validation.parquet", "test.parquet", "manifest.json"):
        if (snapshot / name).is_file():
            shutil.copyfile(snapshot / name, folder / name)
    return Part(labels=count, snapshot=folder)


def _answers(table: pa.Table) -> list[str]:
    found = []
    for turns in table["messages"].to_pylist():
        try:
            said = list(with_flags([turn | {"content": turn["content"] or ""} for turn in turns or []]))
            found.append(question_and_answer(said)[1].strip())
        except ValueError:
            found.append("")
    return found


def _base(
    workspace: Workspace, snapshot: Snapshot, base_model: str, settings: Mapping[str, object] | None
) -> TrainSpec:
    """The run on the whole snapshot. Raises BadInput, BadSpec, NotFound."""
    if "start_from" in (settings or {}):
        raise BadInput("The runs of a learning curve begin with the base model: no folder to start from can be set.")
    base = make_spec(workspace, snapshot.id, base_model, settings)
    if base.objective != "sft":
        raise BadInput("A learning curve is drawn for learning answers (objective sft), not for preferences.")
    if not (base.snapshot / "manifest.json").exists():
        told = {"snapshot": snapshot.id, "folder": base.snapshot}
        raise NotFound(tr("The files of snapshot {snapshot} are gone from {folder}: freeze it again.", **told))
    check_start(base)
    return base if base.held_out_rows else base.model_copy(update={"held_out_rows": _HELD_OUT_ROWS})


def _evaluation(workspace: Workspace, project: Project, snapshot: Snapshot, base: TrainSpec) -> EvalSpec:
    """How the answers of each part's run are scored. Raises BadSpec."""
    fields: dict[str, Any] = {
        "run": "part",
        "runs": workspace.curves,
        "models": workspace.models,
        "snapshot": base.snapshot,
        "answers": workspace.evaluations / "answers",
        "metrics": workspace.metrics,
        "base_model": base.base_model,
        "device": base.device,
        "dtype": base.dtype,
        "split": "test" if snapshot.test_rows else "validation",
        "task": project.task,
        "labels": labels_of(project),
        "ways": False,
    }
    try:
        return EvalSpec.model_validate(fields)
    except ValidationError as error:
        why = error.errors()[0]["msg"][:200]
        raise BadSpec(tr("The answers cannot be scored: {why}.", why=why)) from None
