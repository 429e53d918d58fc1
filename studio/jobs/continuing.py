"""Going on from a finished run: which run may be gone on from, and what of its settings the next one has to keep.

The next run begins with the weights that the finished one left and with no memory of its optimiser: new steps, a new
schedule. What it leaves out: resuming a stopped run (studio.jobs.runs), and how the weights are loaded (training).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.database import Database
from storage.records import Run, Snapshot
from storage.runs import get_run
from studio.contract.methods import METHODS
from studio.contract.spec import TrainSpec
from studio.contract.trackers import tracker_names
from studio.errors import BadFile, BadInput, BadSpec, NotFound
from studio.language import tr
from studio.settings import Workspace

_PLAIN = frozenset({"lora", "lora-plus", "qlora"})
"""Methods whose adapters are one kind: one can go on from another."""

_KEPT = ("lora_rank", "lora_alpha", "target_modules", "prompt_tokens", "family")
"""Settings that give an adapter its shape."""


def settings_from(
    db: Database, workspace: Workspace, run_id: str, snapshot: Snapshot, base_model: str, settings: Mapping[str, object]
) -> dict[str, object]:
    """`settings` for a run that goes on from run `run_id`: with its method, its shape and where its weights lie.

    A run that learns answers goes on from one of its own project; one that learns preferences may begin with any run of
    the same base model. Raises NotFound, BadInput or BadSpec where the two do not go together.
    """
    run = get_run(db, run_id)
    if run.state != "done":
        told = {"number": run.number, "state": tr(run.state)}
        raise BadInput(tr("Run {number} is {state}: only a run that is done can be gone on from.", **told))
    if run.project_id != snapshot.project_id and settings.get("objective", "sft") == "sft":
        told = {"number": run.number, "snapshot": snapshot.id[:8]}
        raise BadInput(
            tr("Run {number} is of another project than snapshot {snapshot}: choose one of its own.", **told)
        )
    if run.base_model != base_model:
        told = {"number": run.number, "own": run.base_model, "other": base_model}
        raise BadInput(tr("Run {number} was trained on '{own}', not on '{other}': choose that base.", **told))
    left = weights_of(workspace, run)
    return {**_kept(run, settings), **settings, "method": _method(run, settings), "start_from": str(left)}


def weights_of(workspace: Workspace, run: Run) -> Path:
    """The folder of what a finished run has learnt. Raises NotFound."""
    for name in ("adapter", "model"):
        folder = workspace.runs / run.id / name
        if any(folder.glob("*.safetensors")):
            return folder
    told = {"number": run.number, "folder": workspace.runs / run.id}
    raise NotFound(tr("The weights of run {number} are gone from {folder}: train it again.", **told))


def check_start(spec: TrainSpec) -> None:
    """What can be told before a process is started. Raises BadSpec, BadFile."""
    tracker_names(spec.trackers)
    preferences = has_preferences(spec.snapshot)
    if preferences and spec.objective == "sft":
        raise BadSpec("This snapshot holds preferences: set objective to dpo, ipo or kto.")
    if spec.objective != "sft" and not preferences:
        raise BadSpec(
            tr(
                "Objective {objective} learns from preferences, and this snapshot has none: set objective to sft, or "
                "freeze a project whose task is preference.",
                objective=spec.objective,
            )
        )


def has_preferences(snapshot: Path) -> bool:
    """Whether the rows of a snapshot's folder have a worse answer beside the better one. Raises BadFile."""
    try:
        with pq.ParquetFile(snapshot / "train.parquet") as file:
            if "rejected" not in file.schema_arrow.names:
                return False
            batches = file.iter_batches(batch_size=4096, columns=["rejected"])
            return any(batch.column(0).null_count < len(batch) for batch in batches)
    except (pa.ArrowException, OSError):
        file = f"{snapshot}/train.parquet"
        raise BadFile(tr("{file} cannot be read: freeze the project again.", file=file)) from None


def _method(run: Run, settings: Mapping[str, object]) -> str:
    """The method of the next run: what was asked for, where the finished run's weights are of that kind."""
    own = str(run.spec.get("method", "lora"))
    had = "lora" if own == "pissa" else own  # its adapter is kept as plain LoRA
    asked = str(settings.get("method", had))
    wanted = "lora" if asked == "pissa" else asked
    if wanted != had and not {wanted, had} <= _PLAIN:
        title = METHODS[had].title if had in METHODS else had  # type: ignore[index]
        told = {"number": run.number, "title": tr(title), "method": had}
        raise BadSpec(
            tr("Run {number} was trained by {title}, and what it left can only go on so: set method={method}.", **told)
        )
    return wanted


def _kept(run: Run, settings: Mapping[str, object]) -> dict[str, object]:
    """The settings of a finished run that its weights bind the next one to. Raises BadSpec where others were set."""
    doubled = 2 if run.spec.get("method") == "pissa" else 1  # what it learnt is a difference: of twice the rank
    kept = {name: run.spec[name] for name in _KEPT if name in run.spec}
    for name in ("lora_rank", "lora_alpha"):
        value = kept.get(name)
        if isinstance(value, (int, float)):
            kept[name] = value * doubled
    for name, value in kept.items():
        if name in settings and str(settings[name]) != str(value):
            told = {"number": run.number, "name": name, "value": value}
            raise BadSpec(
                tr("Run {number} has {name} {value}, and what goes on from it keeps that: leave it unset.", **told)
            )
    return kept | ({"chat_template": run.spec["chat_template"]} if run.spec.get("chat_template") else {})
