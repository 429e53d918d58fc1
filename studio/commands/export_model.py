"""`export-model RUN DIR`: a run or a base model as a folder that peft, transformers, llama.cpp or Ollama read.

DIR may be hub:OWNER/NAME: the export is then made in the workspace and sent. What it leaves out: printing (studio.cli).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import cast

from storage.runs import get_run
from studio.commands import Outcome, opened, teller
from studio.contract.export import ExportReport, Format
from studio.data.hub_push import Destination, check_destination
from studio.data.model_push import push_model
from studio.jobs.exporting_model import BASE, follow_export, start_export
from studio.people.roles import ALONE
from studio.settings import Workspace

HUB = "hub:"
"""What a DIR begins with that is a model on the Hub: hub:OWNER/NAME."""


def export_model(workspace: Workspace, flags: Namespace) -> Outcome:
    """`export-model RUN DIR --format …`: RUN is a run's id, or base:NAME; DIR a folder that is not there yet, or
    hub:OWNER/NAME (private, unless --public; the token from HF_TOKEN or `hf auth login`); --prompts says how many the
    studio and the export both answer. An interrupt cancels."""
    source, target = str(flags.run), str(flags.dir)
    wanted = cast(Format, flags.format)
    to_hub = target.startswith(HUB)
    destination = Destination(target.removeprefix(HUB), not getattr(flags, "public", False))
    if to_hub:
        check_destination(destination, "model")  # before minutes of work
    asked = {"questions": flags.prompts} if getattr(flags, "prompts", 0) else {}
    with opened(workspace) as db:
        project = "" if source.startswith(BASE) else get_run(db, source).project_id
        start_export(db, workspace, ALONE, source, wanted, None if to_hub else Path(target), **asked)
    report = follow_export(workspace, source, wanted, teller())
    data = result(report)
    if to_hub:
        with opened(workspace) as db:
            pushed = push_model(db, workspace, ALONE, report, destination, project, _progress)
        data |= {"url": pushed.url, "private": pushed.private}
    return Outcome(data, "\n".join([*(one.sentence for one in report.parity), *report.notes]))


def result(report: ExportReport) -> dict[str, object]:
    """A report as one JSON object."""
    return {
        "folder": str(report.target),
        "format": report.format,
        "weights": report.weights,
        "bytes": report.size,
        "licence": report.licence,
        "parity": [one.model_dump() for one in report.parity],
        "files": [file.model_dump() for file in report.files],
        "notes": list(report.notes),
        "seconds": report.seconds,
    }


def _progress(fraction: float, words: str) -> bool:
    print(f"{fraction:.0%} {words}", file=sys.stderr)
    return True
