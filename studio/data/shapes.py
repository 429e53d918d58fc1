"""Shapes: how the rows of a file are laid out (columns, Alpaca, messages, an export of Label Studio …), found or named.

A shape unfolds a row into plain columns that `to_draft` takes. What it leaves out: what the columns mean for a task
(studio.data.columns) and how a file is read (studio.data.readers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from studio.data.arrowfiles import class_names
from studio.data.columns import Columns, pick
from studio.data.readers import no_columns
from studio.data.rows import Row, Table
from studio.data.shape_argilla import ARGILLA
from studio.data.shape_base import Bound, Kind, Look, Unfold, Values
from studio.data.shape_doccano import DOCCANO
from studio.data.shape_labelstudio import LABEL_STUDIO
from studio.data.shape_studio import STUDIO_CSV
from studio.data.shape_tables import COLUMNS, TABLE_KINDS
from studio.errors import BadInput
from studio.language import mark, tr

_LOOK_ROWS = 100
_KINDS = (STUDIO_CSV, LABEL_STUDIO, ARGILLA, DOCCANO, *TABLE_KINDS, COLUMNS)
"""In the order in which they are tried: the one that says most about a file comes first."""

_OF_STRUCTS = ("Parquet", "Arrow", "datasets", "Hub")

AUTO = "auto"
SHAPES: dict[str, str] = {
    AUTO: "Detect",
    **{kind.name: kind.title for kind in (COLUMNS, *TABLE_KINDS[::-1], LABEL_STUDIO, ARGILLA, DOCCANO, STUDIO_CSV)},
}
"""What a person can name, and how a menu calls it."""

_TITLES = {
    **{"input": mark("Input"), "output": mark("Answer"), "context": mark("Context")},
    **{"a": mark("Answer A"), "b": mark("Answer B"), "margin": mark("Margin"), "reason": mark("Reason")},
    **{"priority": mark("Priority"), "group": mark("Group"), "tools": mark("Tools")},
}


@dataclass(frozen=True)
class Shape:
    """A shape bound to a table and a task. `read` unfolds a row's values (None: they are taken as they are); `parts`
    says in words what is read from where."""

    name: str
    title: str
    read: Unfold | None = None
    parts: tuple[tuple[str, str], ...] = ()


def unfold(shape: Shape, values: Mapping[str, object]) -> Mapping[str, object]:
    """A row's values as the columns that the shape's Columns name. Raises Unusable."""
    return values if shape.read is None else shape.read(values)


def find_shape(name: str) -> str:
    """The name of a shape as it was typed, made exact. Raises BadInput."""
    found = name.strip().lower().replace("_", "-").replace(" ", "-")
    if found not in SHAPES:
        told = {"name": name[:40], "names": ", ".join(SHAPES)}
        raise BadInput(tr("There is no shape '{name}': choose one of {names}.", **told))
    return found


def detect_shape(table: Table, task: str) -> str:
    """The name of the shape that a table's columns and first rows show. Raises BadFile."""
    return _detected(_look(table, task)).name


def shape_for(table: Table, shape_name: str, columns: Columns | None, task: str) -> tuple[Shape, Columns]:
    """The shape of a table, named or ("auto") found, bound to it and to a task; and the columns that `unfold` gives.

    Columns that a person named are taken as they stand, unless a shape is named besides: then only what stands beside
    (context, priority, group, tools) is. Raises BadFile (no columns) and BadInput.
    """
    if not table.columns:
        raise no_columns(table)
    name = find_shape(shape_name)
    if columns is not None and name in (AUTO, COLUMNS.name):
        _check(table, columns, task)
        kind, bound = COLUMNS, Bound(columns)
    else:
        look = _look(table, task)
        kind = _detected(look) if name == AUTO else next(kind for kind in _KINDS if kind.name == name)
        bound = kind.bind(look)
        if columns is not None:
            beside = {key: c for key in ("context", "tools") if (c := getattr(columns, key))}
            beside |= {"priority": columns.priority, "group": columns.group}
            bound = replace(bound, columns=replace(bound.columns, **beside))
        if bound.read is None:
            _check(table, bound.columns, task)
    bound = _with_class_names(table, bound)
    if bound.columns.tools and table.format in _OF_STRUCTS:
        bound = _without_empty_fields(bound, bound.columns.tools)
    return Shape(kind.name, kind.title, bound.read, _parts(bound)), bound.columns


def nested_columns(table: Table) -> tuple[str, ...]:
    """The columns of a table, and those inside of its objects as "a.b", two deep, as far as the first rows show."""
    found = dict.fromkeys(table.columns)
    for row in _look(table, "").rows:
        for name, value in row.items():
            found.update(dict.fromkeys(_inside(name, value, 2)))
        if len(found) > 200:
            break
    return tuple(found)[: max(200, len(table.columns))]


def _look(table: Table, task: str) -> Look:
    rows = tuple(row.values for row in islice(table.rows(), _LOOK_ROWS) if isinstance(row, Row))
    table.position = 0
    return Look(table, task, rows)


def _detected(look: Look) -> Kind:
    return next(kind for kind in _KINDS if kind.seems(look))


def _check(table: Table, chosen: Columns, task: str) -> None:
    told = {"file": table.path.name, "names": ", ".join(table.columns)}
    if task == "preference" and (chosen.a is None or chosen.b is None):
        raise BadInput(tr("Say which columns of {file} are answer A and answer B; there are: {names}.", **told))
    for field, name in chosen.named.items():
        known = name in table.columns or name.split(".")[0] in table.columns
        # JSON rows may have keys that the first rows lack, so only tables with a header can be sure
        if not known and (field == "input" or table.format not in ("JSON", "JSONL")):
            raise BadInput(tr("{file} has no column '{name}'; there are: {names}.", name=name, **told))


def _with_class_names(table: Table, bound: Bound) -> Bound:
    """Numbers of classes are read as their names, where a file of `datasets` tells these."""
    names = {name: found for name, found in _class_names(table).items() if name in bound.columns.named.values()}
    if not names:
        return bound
    before = bound.read

    def read(values: Values) -> Values:
        found = before(values) if before else values
        return {**found, **{name: _named(pick(found, name), known) for name, known in names.items()}}

    return replace(bound, read=read)


def _without_empty_fields(bound: Bound, tools: str) -> Bound:
    """Tools as they were before a column of structs gave each of them every field of all of them."""
    before = bound.read

    def read(values: Values) -> Values:
        found = before(values) if before else values
        return {**found, tools: _full(pick(found, tools))}

    return replace(bound, read=read)


def _full(value: object) -> object:
    if isinstance(value, dict):
        return {name: _full(inner) for name, inner in value.items() if inner is not None}
    return [_full(item) for item in value] if isinstance(value, list) else value


def _class_names(table: Table) -> Mapping[str, tuple[str, ...]]:
    if table.format != "Parquet":
        return getattr(table, "class_names", {})
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return class_names(pq.read_schema(table.path))
    except (pa.ArrowException, OSError):
        return {}


def _named(cell: object, names: tuple[str, ...]) -> object:
    whole = isinstance(cell, int) and not isinstance(cell, bool)
    return names[cell] if isinstance(cell, int) and whole and 0 <= cell < len(names) else None if cell == -1 else cell


def _inside(name: str, value: object, depth: int) -> list[str]:
    if not isinstance(value, dict) or depth == 0:
        return []
    keys = [(f"{name}.{key}", inner) for key, inner in value.items() if key]
    return [path for key, inner in keys for path in (key, *_inside(key, inner, depth - 1))]


def _parts(bound: Bound) -> tuple[tuple[str, str], ...]:
    """What is read from where: the shape's own words first, then columns as they are."""
    told = {title for title, _ in bound.parts}
    unfolded = bound.read is not None and bound.parts
    plain = [
        (_TITLES[field], tr("column {name}", name=name))
        for field, name in bound.columns.named.items()
        if _TITLES[field] not in told and not (unfolded and field in ("input", "output", "a", "b"))
    ]
    if bound.columns.output is None and "Answer" not in told and bound.columns.a is None:
        plain.append(("Answer", tr("the last turn, if it is the assistant's")))
    return (*bound.parts, *plain)
