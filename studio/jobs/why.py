"""Why did it say that: start the process that looks for an answer's sources, tell how it goes, read what it found.

A question has its folder, named by what was asked of which weights; so asking it again shows what is there, and two
screens that ask the same share one process. What it leaves out: the looking (studio.why).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.contract.chat import Message
from studio.contract.spec import SPEC_FILE
from studio.contract.why import Source, WhySpec, read_report
from studio.errors import BadInput, BadSpec, DiskFull, JobFailed, NotFound
from studio.jobs import job_folders
from studio.jobs.job_folders import Standing
from studio.jobs.processes import claimed, is_alive, spawn
from studio.language import mark, tr
from studio.settings import Workspace

WHY_MODULE = "studio.why"
KEPT = 50
"""Questions whose folders are kept, the newest ones."""

_WEIGHTS = ("adapter/adapter_model.safetensors", "model/config.json")
_LOCK = threading.Lock()


@dataclass(frozen=True)
class TrainingPair:
    """A training pair that speaks for an answer. `row` counts from 1 in the `split` of the run's snapshot;
    `example_id` is '' where the snapshot does not say; `score` lies between -1 and 1."""

    row: int
    split: str
    example_id: str
    prompt: str
    answer: str
    score: float


@dataclass(frozen=True)
class Explanation:
    """The pairs that speak most for `answer`, best first: the nearest by their texts, and those whose gradients point
    the same way (None: not compared). `rows` pairs were trained on, `compared` of them by gradient; `note` is a
    sentence on what was left out, or ''."""

    answer: str
    nearest: tuple[TrainingPair, ...]
    by_gradient: tuple[TrainingPair, ...] | None
    rows: int
    compared: int
    note: str


@dataclass(frozen=True)
class WhyLook:
    """How a question stands, and what was found so far: the nearest pairs come first."""

    standing: Standing
    found: Explanation | None = None


def start_why(
    workspace: Workspace, run_id: str, turns: Sequence[Message], answer: str = "", gradients: bool = False, **asked: Any
) -> str:
    """Ask which training pairs of a run speak most for `answer` to `turns`; the question's id for the functions below.

    `answer` '': the run's own, worked out first. A question that was answered, or is being answered, is not asked
    again. `asked`: other fields of WhySpec (shown, candidates, device, …).
    Raises NotFound (no such run), BadInput (no weights yet, no prompt), BadSpec, DiskFull, JobFailed.
    """
    spec = _spec(workspace, run_id, turns, answer, gradients, asked)
    folder = workspace.why / _name(spec)
    with _LOCK:
        if is_alive(folder) or _standing(folder).state == "done":
            return folder.name
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            words = tr("The question cannot be written to {folder}: {reason}.", folder=folder, reason=why)
            raise DiskFull(words) from error
        _forget_oldest(workspace, folder)
        with claimed(folder) as lock:
            spawn(folder, WHY_MODULE, lock)
    return folder.name


def look_at_why(workspace: Workspace, question_id: str) -> WhyLook:
    """How a question stands. Raises NotFound."""
    folder = _folder(workspace, question_id)
    standing = _standing(folder)
    try:
        report = read_report(folder)
    except JobFailed as error:
        return WhyLook(standing if standing.alive else Standing("failed", words=str(error)))
    if report is None:
        return WhyLook(standing)
    by_gradient = None if report.by_gradient is None else _pairs(report.by_gradient)
    sizes = (report.rows, report.compared, report.note)
    return WhyLook(standing, Explanation(report.answer, _pairs(report.nearest), by_gradient, *sizes))


def cancel_why(workspace: Workspace, question_id: str) -> None:
    """Stop looking; what was worked out of training rows is kept for the next question. Raises NotFound."""
    job_folders.end(_folder(workspace, question_id))


def explain(
    workspace: Workspace,
    run_id: str,
    turns: Sequence[Message],
    answer: str = "",
    gradients: bool = False,
    on_progress: Callable[[float, str], object] = lambda fraction, words: None,
    **asked: Any,
) -> Explanation:
    """`start_why` and its answer, seconds to minutes later; an interrupt cancels it. Raises Cancelled besides."""
    question = start_why(workspace, run_id, turns, answer, gradients, **asked)
    job_folders.follow(
        lambda: _standing(workspace.why / question), lambda: cancel_why(workspace, question), on_progress
    )
    found = look_at_why(workspace, question).found
    if found is None:
        raise JobFailed("The sources of this answer cannot be read: ask again.")
    return found


def _spec(
    workspace: Workspace, run_id: str, turns: Sequence[Message], answer: str, gradients: bool, asked: dict[str, Any]
) -> WhySpec:
    run = workspace.runs / Path(run_id).name
    if not run_id or run.name != run_id or not (run / SPEC_FILE).is_file():
        raise NotFound(tr("There is no run '{run}' in {folder}.", run=run_id[:60], folder=workspace.runs))
    if not any((run / name).exists() for name in _WEIGHTS):
        raise BadInput("This run has no fine-tuned weights yet: let it finish first.")
    said = [turn for turn in turns if turn.role != "tool"]
    if not any(turn.content.strip() for turn in said if turn.role == "user"):
        raise BadInput("The prompt is empty: write what the model was asked.")
    fields: dict[str, Any] = {
        "run": run,
        "cache": workspace.why / "cache",
        "turns": [{"role": turn.role, "content": turn.content} for turn in said],
        "answer": answer,
        "gradients": gradients,
    }
    try:
        return WhySpec.model_validate(fields | asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", " ") if first["loc"] else "setting"
        why = f"{first['msg'][:1].lower()}{first['msg'][1:200]}"
        raise BadSpec(tr("The {name} cannot be used: {reason}.", name=name, reason=why)) from None


def _name(spec: WhySpec) -> str:
    """The same for the same question about the same weights."""
    stamps = [(path.stat().st_mtime_ns, path.stat().st_size) for name in _WEIGHTS if (path := spec.run / name).exists()]
    return "why-" + hashlib.sha256(json.dumps([spec.model_dump_json(), stamps]).encode()).hexdigest()[:24]


def _standing(folder: Path) -> Standing:
    cancelled = mark("Cancelled: ask again when you like.")
    return job_folders.standing(folder, mark("The look for sources broke off"), cancelled)


def _folder(workspace: Workspace, question_id: str) -> Path:
    folder = workspace.why / Path(question_id).name
    if not question_id.startswith("why-") or folder.name != question_id or not folder.is_dir():
        raise NotFound("This question is not known any more: ask it again.")
    return folder


def _pairs(sources: Sequence[Source]) -> tuple[TrainingPair, ...]:
    return tuple(TrainingPair(s.row, "train", s.example_id, s.prompt, s.answer, s.score) for s in sources)


def _forget_oldest(workspace: Workspace, keep: Path) -> None:
    folders = sorted(workspace.why.glob("why-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in folders[KEPT:]:
        if old != keep and not is_alive(old):
            shutil.rmtree(old, ignore_errors=True)
