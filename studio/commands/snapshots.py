"""The commands around snapshots: freeze, diff, verify, and the lineage of whatever has an id."""

from __future__ import annotations

import sys
from argparse import Namespace

from storage.database import Database
from storage.projects import find_project
from storage.snapshots import get_snapshot
from studio.commands import Outcome, opened
from studio.data import snapshot_files
from studio.data.diff import KINDS, DiffRow, diff_rows, diff_snapshots
from studio.data.lineage import lineage as lineage_of
from studio.data.transfers import freeze_for
from studio.errors import BadFile, BadInput, NotFound
from studio.people.roles import ALONE
from studio.settings import Workspace

_ROWS = 20


def snapshot(workspace: Workspace, flags: Namespace) -> Outcome:
    """`snapshot NAME`, `snapshot diff A B` or `snapshot verify ID`. Flags: words, and those of `freeze`."""
    match flags.words:
        case [name]:
            return freeze(workspace, name, flags)
        case ["diff", before, after]:
            return diff(workspace, before, after)
        case ["verify", snapshot_id]:
            return verify(workspace, snapshot_id)
    raise BadInput("Give a project's name, `diff A B` or `verify ID`; a name of several words stands in quotes.")


def freeze(workspace: Workspace, name: str, flags: Namespace) -> Outcome:
    """`snapshot NAME`: freeze a project. Flags: validation, test, seed, no_stratify, group_by."""
    with opened(workspace) as db:
        project = find_project(db, name)
        made = freeze_for(
            *(db, workspace, ALONE, project.id, flags.validation, flags.test, flags.seed),
            stratify=not flags.no_stratify,
            group_by=flags.group_by,
            on_progress=_progress,
        )
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    frozen = made.snapshot
    rows = {"train": frozen.train_rows, "validation": frozen.validation_rows, "test": frozen.test_rows}
    return Outcome({"snapshot": frozen.id, **rows}, "\n".join(made.notes))


def diff(workspace: Workspace, a: str, b: str) -> Outcome:
    """`snapshot diff A B`: what became of each row between two snapshots, by their ids or beginnings of them."""
    with opened(workspace) as db:
        before, after = _whole_id(db, a), _whole_id(db, b)
        found = diff_snapshots(workspace, db, before, after)
        rows = [_row(row) for kind in KINDS for row in diff_rows(workspace, db, found, kind, 0, _ROWS)]
    more = sum(max(0, found.counts[kind] - _ROWS) for kind in KINDS)
    counts = {**found.counts, "by": dict(found.by), "moves": {f"{a} to {b}": n for (a, b), n in found.moves.items()}}
    told = f"{more:,} more rows differ than are named: the Datasets tab shows all." if more else ""
    return Outcome({"before": before, "after": after, **counts, "rows": rows}, told)


def verify(workspace: Workspace, beginning: str) -> Outcome:
    """`snapshot verify ID`: whether a snapshot's files are what it was named by."""
    with opened(workspace) as db:
        snapshot_id = _whole_id(db, beginning)
    try:
        rows = snapshot_files.verify(workspace, snapshot_id)
    except (BadFile, NotFound) as error:
        return Outcome({"snapshot": snapshot_id, "sound": False, "problem": str(error)}, str(error), 1)
    return Outcome({"snapshot": snapshot_id, "sound": True, **rows})


def lineage(workspace: Workspace, flags: Namespace) -> Outcome:
    """`lineage ID`: where an example, annotation, snapshot or run comes from and what it went into. Flags: id."""
    with opened(workspace) as db:
        found = lineage_of(db, flags.id)
    nodes = [{"id": node.id, "kind": node.kind, "text": node.text, "detail": node.detail} for node in found.nodes]
    return Outcome({"kind": found.kind, "id": found.id, "nodes": nodes, "edges": [list(edge) for edge in found.edges]})


def _whole_id(db: Database, beginning: str) -> str:
    """The id of a snapshot by its beginning; a folder that this database does not know goes by its whole id."""
    try:
        return get_snapshot(db, beginning).id
    except NotFound:
        if len(beginning) == 16:
            return beginning
        raise


def _row(row: DiffRow) -> dict[str, object]:
    at = row.at.isoformat(timespec="seconds") if row.at else None
    sides = {"before": row.before, "after": row.after, "from": row.split_before, "to": row.split_after}
    return {"kind": row.kind, "example": row.example_id, "prompt": row.prompt, **sides, "by": row.by, "at": at}


def _progress(fraction: float, words: str) -> bool:
    if sys.stderr.isatty():
        print(f"\r\033[K{words} ({fraction:.0%})", end="", file=sys.stderr, flush=True)
    return True
