"""Data out without a browser: `export` to a file or a folder, and to the Hugging Face Hub.

Rows that a shape has no place for are counted and told with their reason. What it leaves out: printing (studio.cli).
"""

from __future__ import annotations

import sys
from argparse import Namespace

from storage.database import Database
from storage.projects import find_project
from storage.snapshots import get_snapshot
from studio.commands import Outcome, opened
from studio.data.export_files import ExportReport
from studio.data.hub_push import Destination, push
from studio.data.transfers import Goods, export_project_for, export_snapshot_for
from studio.errors import NotFound
from studio.labeling.agreement import agreement
from studio.people.roles import ALONE
from studio.settings import Workspace

HUB = "hub:"
"""What a FILE begins with that is a dataset on the Hub: hub:OWNER/NAME."""


def export(workspace: Workspace, flags: Namespace) -> Outcome:
    """`export NAME|SNAPSHOT FILE --shape …`: a project by its name, or a snapshot by its id; FILE may be a folder, or
    hub:OWNER/NAME (private, unless --public; the token from HF_TOKEN or `hf auth login`)."""
    target, shape = str(flags.file), flags.shape
    with opened(workspace) as db:
        goods = goods_of(db, flags.name)
        if target.startswith(HUB):
            return _push(db, workspace, goods, Destination(target.removeprefix(HUB), not flags.public), shape)
        if goods.snapshot_id:
            where = (goods.project_id, goods.snapshot_id, flags.file)
            report = export_snapshot_for(db, workspace, ALONE, *where, shape, _tell)
        else:
            report = export_project_for(db, ALONE, goods.project_id, flags.file, shape, _tell)
    return Outcome({"exported": report.rows, "file": target, **_left(report)}, "\n".join(report.lines))


def goods_of(db: Database, name: str) -> Goods:
    """A project by its name, or a snapshot by its id or the beginning of it. Raises NotFound."""
    try:
        return Goods(find_project(db, name).id)
    except NotFound as no_project:
        try:
            found = get_snapshot(db, name)
        except NotFound:
            raise NotFound(f"There is no snapshot of that id either. {no_project}") from None
    return Goods(found.project_id, found.id)


def _push(db: Database, workspace: Workspace, goods: Goods, where: Destination, shape: str) -> Outcome:
    said = agreement(db, goods.project_id).words
    pushed = push(db, workspace, ALONE, goods, where, shape, said, _progress)
    data = {"exported": pushed.report.rows, "url": pushed.url, "private": pushed.private, **_left(pushed.report)}
    return Outcome(data, "\n".join(pushed.report.lines))


def _left(report: ExportReport) -> dict[str, object]:
    """What the JSON says besides, only where there is something to say."""
    said: dict[str, object] = {}
    if report.left_out:
        said["left_out"] = [{"rows": count, "reason": reason} for reason, count in report.left_out.items()]
    if report.notes:
        said["not_kept"] = [{"rows": count, "what": note} for note, count in report.notes.items()]
    return said


def _tell(seen: int) -> None:
    if sys.stderr.isatty():
        print(f"{seen:,} rows", end="\r", file=sys.stderr, flush=True)


def _progress(fraction: float, words: str) -> bool:
    if sys.stderr.isatty():
        print(f"{words} ({fraction:.0%})", end="\r", file=sys.stderr, flush=True)
    return True
