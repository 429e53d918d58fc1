"""A first look at a file before anything is written: its rows as they lie in it, and as the examples they would be."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from storage.records import Project
from studio.data.columns import Columns, Draft, guess_columns, to_draft
from studio.data.readers import no_columns, no_rows, open_rows
from studio.data.rows import Rejected, Row, Table, as_text
from studio.data.shapes import Shape, nested_columns, shape_for, unfold
from studio.data.targets import Unusable
from studio.errors import BadFile, BadInput
from studio.language import tr

LOOKED_AT = 200
"""Rows that a preview tries."""

_CELL_LIMIT = 2000
_CELLS_LIMIT = 100
_REASONS = 5
_DRAFTS = 5


@dataclass(frozen=True)
class Preview:
    """A first look: the columns, some rows as text, what the file is, remarks, and which columns seem to be meant."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    format: str
    encoding: str
    notes: tuple[str, ...]
    guessed: Columns | None
    splits: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Trial:
    """How the first rows would be read: the shape with its parts, some examples as they would be stored, how many rows
    would be taken (`labeled` of them with an answer), and why others not. `problem`: why none can be, else ''."""

    shape: str = ""
    title: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    drafts: tuple[Draft, ...] = ()
    taken: int = 0
    labeled: int = 0
    rejected: int = 0
    reasons: tuple[str, ...] = ()
    columns: Columns | None = None
    problem: str = ""


def preview(path: Path, limit: int = 20, task: str = "instruction") -> Preview:
    """The first `limit` rows of a file, and the columns that a project of that task seems to want.

    Raises BadFile when it cannot be read or has no row that can be.
    """
    return _preview(open_rows(path), limit, task)


def preview_import(
    path: Path, project: Project | None, shape: str = "auto", columns: Columns | None = None
) -> tuple[Preview, Trial]:
    """A first look at a file, and how a project would take its first rows by a shape, named or found.

    Raises BadFile when it cannot be read or has no row that can be.
    """
    table = open_rows(path)
    found = _preview(table, 20, project.task if project else "instruction")
    return found, _trial(table, project, shape, columns)


def _preview(table: Table, limit: int, task: str) -> Preview:
    if not table.columns:
        raise no_columns(table)
    first = list(islice(table.rows(), limit))
    if not first:
        raise no_rows(table)
    rejected = [row for row in first if isinstance(row, Rejected)]
    notes = [
        *table.notes,
        *(tr("Line {line} cannot be taken: {reason}.", line=row.line, reason=row.reason) for row in rejected[:3]),
    ]
    shown = table.columns[:_CELLS_LIMIT]
    rows = tuple(tuple(_cell(row.values.get(name)) for name in shown) for row in first if isinstance(row, Row))
    guessed = guess_columns(table.columns, task)
    splits = tuple(getattr(table, "splits", ()))
    return Preview(
        nested_columns(table), rows, table.format, table.encoding, tuple(notes), guessed, splits, table.path.name
    )


def _trial(table: Table, project: Project | None, name: str, columns: Columns | None) -> Trial:
    try:
        shape, chosen = shape_for(table, name, columns, project.task if project else "instruction")
    except BadFile:
        raise
    except BadInput as problem:
        return Trial(problem=str(problem))
    drafts: list[Draft] = []
    reasons: dict[str, int] = {}
    rejected = 0
    for row in islice(table.rows(), LOOKED_AT):
        found = row if isinstance(row, Rejected) else _draft(row, shape, chosen, project)
        if isinstance(found, Draft):
            drafts.append(found)
        else:
            rejected += 1
            reasons.setdefault(found.reason, found.line)
    found_out = [*reasons.items()][:_REASONS]
    told = tuple(tr("Line {line}: {reason}", line=line, reason=reason) for reason, line in found_out)
    labeled = sum(draft.response is not None for draft in drafts)
    account = (len(drafts), labeled, rejected)
    return Trial(shape.name, shape.title, shape.parts, tuple(drafts[:_DRAFTS]), *account, told, chosen)


def _draft(row: Row, shape: Shape, columns: Columns, project: Project | None) -> Draft | Rejected:
    try:
        system = project.system_prompt if project else ""
        return to_draft(unfold(shape, row.values), columns, system, project)
    except Unusable as unusable:
        return Rejected(row.line, str(unusable))


def _cell(value: object) -> str:
    text = as_text(value)
    return text if len(text) <= _CELL_LIMIT else text[:_CELL_LIMIT] + " …"
