"""The commands of the loop: projects, import, snapshot, export, runs, comparison, doctor."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from collections.abc import Mapping

from storage.projects import create_project, find_project, get_project, list_projects
from storage.records import Run
from storage.runs import get_run, list_runs
from studio.checkup import check_up
from studio.commands import Outcome, opened
from studio.commands.queueing import await_turn
from studio.commands.spec_flags import settings_of, with_method, with_share
from studio.contract.chat import Message, conversation
from studio.contract.events import Event
from studio.data.columns import Columns
from studio.data.importing import ImportProgress, import_file
from studio.data.prompt_files import read_prompts
from studio.data.rows import as_text
from studio.errors import BadInput, WorkspaceBusy
from studio.jobs.comparison import Pair, answer_pairs
from studio.jobs.engine import Sampling, open_engine, where_to_run
from studio.jobs.processes import ask_to_stop
from studio.jobs.runs import follow_run, resume_run, start_run, stop_run, sync_runs
from studio.settings import Workspace

_PROMPTS_LIMIT = 10_000


def create(workspace: Workspace, flags: Namespace) -> Outcome:
    """`project create`: make a project."""
    with opened(workspace) as db:
        return Outcome({"project": create_project(db, flags.name, flags.task, flags.system_prompt).name})


def projects(workspace: Workspace, flags: Namespace) -> Outcome:
    """`project list`: projects that are not archived."""
    with opened(workspace) as db:
        return Outcome({"projects": [{"project": p.name, "task": p.task} for p in list_projects(db)]})


def import_rows(workspace: Workspace, flags: Namespace) -> Outcome:
    """`import`: a file into a project, with the account of it."""
    named = {
        name: getattr(flags, name)
        for name in ("output", "context", "a", "b", "priority", "group", "tools", "margin", "reason")
    }
    if flags.input is None and any(named.values()):
        raise BadInput("Name the input column too: --input COLUMN.")
    columns = Columns(flags.input, **named) if flags.input else None
    with opened(workspace) as db:
        project = find_project(db, flags.name)
        report = import_file(db, project.id, flags.file, columns, on_progress=_import_progress, shape=flags.shape)
    unnamed = report.rejected_count - len(report.rejected)
    more = [f"{unnamed} more rows were rejected than are named."] if unnamed else []
    more += [f"{report.labels} labels were added to the project."] if report.labels else []
    return Outcome(
        {
            "imported": report.imported,
            "labeled": report.labeled,
            "duplicates": report.duplicates,
            "rejected_count": report.rejected_count,
            "rejected": [{"line": row.line, "reason": row.reason} for row in report.rejected],
        },
        "\n".join([*report.notes, *more]),
    )


def train(workspace: Workspace, flags: Namespace) -> Outcome:
    """`train`: start a run and, without --detach, see it to its end."""
    settings = with_share(with_method(settings_of(flags.set), flags.method), flags)
    with opened(workspace) as db:
        base_model = get_run(db, flags.from_run).base_model if flags.from_run else flags.model
        run = start_run(
            *(db, workspace, flags.snapshot, base_model, settings), from_run=flags.from_run, priority=flags.priority
        )
    return _started(workspace, run, flags.detach)


def resume(workspace: Workspace, flags: Namespace) -> Outcome:
    """`resume`: go on from a run's last checkpoint."""
    with opened(workspace) as db:
        run = resume_run(db, workspace, flags.run_id, share=with_share({}, flags))
    return _started(workspace, run, flags.detach)


def stop(workspace: Workspace, flags: Namespace) -> Outcome:
    """`stop`: ask a run to stop and wait until it has; one that waits leaves the queue."""
    with opened(workspace) as db:
        run = get_run(db, flags.run_id)
        stop_run(db, workspace, run.id)
        if get_run(db, run.id).state == "stopped":
            return Outcome(_result(get_run(db, run.id)))
    print("Stopping: waiting for the checkpoint …", file=sys.stderr)
    follow_run(workspace, run.id, lambda event: None, offset=run.events_offset)
    with opened(workspace) as db:
        sync_runs(db, workspace)
        return Outcome(_result(get_run(db, run.id)))


def runs(workspace: Workspace, flags: Namespace) -> Outcome:
    """`runs`: every run, newest first."""
    with opened(workspace) as db:
        sync_runs(db, workspace)
        names = {project.id: project.name for project in list_projects(db, archived=True)}
        rows = [
            {**_result(run), "project": names.get(run.project_id), "snapshot": run.snapshot_id, "model": run.base_model}
            for run in list_runs(db)
        ]
    return Outcome({"runs": rows})


def compare(workspace: Workspace, flags: Namespace) -> Outcome:
    """`compare`: base and tuned answers to one prompt or a file of them."""
    sampling = _sampling(flags)
    prompts = [flags.prompt] if flags.file is None else read_prompts(flags.file, _PROMPTS_LIMIT)
    if not all(prompt.strip() for prompt in prompts):
        raise BadInput("The prompt is empty.")
    with opened(workspace) as db:
        run = get_run(db, flags.run_id)
        system = get_project(db, run.project_id).system_prompt
    if not any((workspace.runs / run.id / name).is_dir() for name in ("adapter", "model")):
        raise BadInput(f"Run {run.id} has no fine-tuned weights yet: let it finish first.")
    asked = [conversation([Message("user", prompt)], system) for prompt in prompts]
    print(f"Loading {run.base_model} …", file=sys.stderr)
    with open_engine(workspace, run.base_model, *where_to_run(run.spec)) as engine:
        pairs = answer_pairs(engine, asked, run.id, sampling)
    return Outcome({"pairs": [_sides(prompt, pair) for prompt, pair in zip(prompts, pairs, strict=True)]})


def _sides(prompt: str, pair: Pair) -> dict[str, object]:
    sides: dict[str, object] = {"prompt": prompt, "base": pair.base_text, "tuned": pair.tuned.text}
    chance = pair.tuned.probability
    return sides if chance is None else sides | {"probability": round(chance, 4)}


def doctor(workspace: Workspace, flags: Namespace) -> Outcome:
    """`doctor`: what is fine and what to do about what is not."""
    report = check_up(workspace, flags.repair)
    return Outcome(report, code=0 if report["ok"] else 1)


def _started(workspace: Workspace, run: Run, detach: bool) -> Outcome:
    waits = run.state == "waiting"
    print(f"Run {run.id} {'is in the queue. ' + run.message if waits else 'has started.'}", file=sys.stderr)
    if detach:
        return Outcome(_result(run), "It starts while the app or `queue work` runs." if waits else "")
    if waits:
        await_turn(workspace, run.id)
    last = _follow(workspace, run)
    try:
        with opened(workspace) as db:
            sync_runs(db, workspace)
            run = get_run(db, run.id)
        result, message = _result(run), run.message
    except WorkspaceBusy:  # the app was opened meanwhile: it has the database, the run's folder has the truth
        result, message = last.result(run), last.message
    done = result["state"] == "done"
    return Outcome(result, "" if done else message, 0 if done else 1)


def _follow(workspace: Workspace, run: Run) -> _Last:
    """Show a run until it ends. Ctrl-C stops it with a checkpoint; a second one leaves it to itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell
    last = _Last()
    try:
        follow_run(workspace, run.id, last.take, offset=run.events_offset)
    except KeyboardInterrupt:
        print("\nStopping: waiting for the checkpoint …", file=sys.stderr)
        ask_to_stop(workspace.runs / run.id)
        follow_run(workspace, run.id, last.take, offset=run.events_offset)  # what was shown is passed over
    return last


class _Last:
    """What a run said last, shown on stderr as it comes."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.message = ""
        self.done: Mapping[str, object] = {}
        self._seq = 0

    def take(self, event: Event) -> None:
        """Note and show one event; one seen before is passed over."""
        if event.seq <= self._seq:
            return
        self._seq = event.seq
        if event.kind == "step":
            self.step = int(str(event.data.get("step", 0)))
        elif event.kind == "done":
            self.done = event.data
        self.message = as_text(event.data.get("message")) or self.message
        if line := _line(event):
            print(line, file=sys.stderr, flush=True)

    def result(self, run: Run) -> dict[str, object]:
        """The run's result from its events alone."""
        known = {name: self.done.get(name) for name in ("base_loss", "tuned_loss", "tokens_per_second")}
        steps = run.step if self.step is None else self.step
        return {"run": run.id, "state": self.done.get("state", "failed"), **known, "steps": steps}


def _line(event: Event) -> str:
    data = event.data
    if event.kind == "step":
        eta = f", {float(str(data['eta_seconds'])):.0f} s left" if data.get("eta_seconds") is not None else ""
        rate = f", {float(str(data['tokens_per_second'])):.0f} tokens/s" if data.get("tokens_per_second") else ""
        return f"step {data.get('step')}/{data.get('steps')}  loss {float(str(data.get('loss', 'nan'))):.4f}{rate}{eta}"
    if event.kind == "metric":
        return f"{data.get('name')} {data.get('value')}"
    if event.kind in ("state", "warning", "error"):
        return as_text(data.get("message")) or as_text(data.get("state"))
    return ""


def _result(run: Run) -> dict[str, object]:
    return {
        "run": run.id,
        "state": run.state,
        "base_loss": run.base_loss,
        "tuned_loss": run.tuned_loss,
        "steps": run.step,
        "tokens_per_second": run.tokens_per_second,
    }


def _sampling(flags: Namespace) -> Sampling:
    if not 0 <= flags.temperature <= 2:
        raise BadInput("The temperature must lie between 0 and 2.")
    if not 1 <= flags.max_tokens <= 8192:
        raise BadInput("--max-tokens must lie between 1 and 8192.")
    return Sampling(temperature=flags.temperature, max_tokens=flags.max_tokens, seed=flags.seed)


def _import_progress(progress: ImportProgress) -> bool:
    if sys.stderr.isatty():
        end = "\n" if progress.fraction >= 1 else "\r"
        print(f"{progress.rows:,} rows, {progress.fraction:.0%}", end=end, file=sys.stderr, flush=True)
    return True
