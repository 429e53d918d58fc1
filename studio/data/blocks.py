"""Blocks of plain texts made ready for the database by whole columns: the same as `to_draft` makes of each row.

What a column's check finds odd is left to `to_draft`, which says what is wrong with it, or takes it after all. What it
leaves out: rows of messages, preferences and chats, which all go through `to_draft`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.imports import TEXT_SCHEMA
from storage.records import Project
from studio.contract.answers import TEXT_LIMIT
from studio.data import targets
from studio.data.columns import Columns
from studio.data.prompts import normal_text
from studio.data.rows import Block, Row
from studio.data.targets import Unusable
from studio.data.turns import MESSAGES

Made = tuple[str | None, tuple[str, ...]]
"""What a cell becomes, and the labels in it."""

_BLANKS = "".join(chr(code) for code in range(128) if not chr(code).strip())
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
_FIELDS = {"input", "output", "context", "group"}


@dataclass(frozen=True)
class Taken:
    """What became of a block: `texts` of TEXT_SCHEMA, `odd` rows that are to be taken one by one, in order, and where
    each label of the texts is met first: the line, and the place among that line's labels."""

    texts: pa.Table
    odd: list[Row]
    labels: dict[str, tuple[int, int]]


def block_columns(columns: Columns, project: Project) -> tuple[str, ...]:
    """The columns to read blocks of; none where rows of these columns are not plain texts."""
    named = columns.named
    if project.task in ("preference", "chat") or not named.keys() <= _FIELDS:
        return ()
    if columns.input.strip().lower() in MESSAGES or any("." in name for name in named.values()):
        return ()
    return tuple(dict.fromkeys(named.values()))


def take_block(block: Block, columns: Columns, project: Project) -> Taken:
    """The rows that a block of `block_columns` has arrays of."""
    import pyarrow.compute as pc

    arrays = {field: (block.columns or {})[name] for field, name in columns.named.items()}
    makers = {"group": lambda cell: (targets.group(cell), ()), "output": _maker(project)}
    made = {field: maker for field, maker in makers.items() if maker and field in arrays}
    if any(not _is_fit(array.type, field in made) for field, array in arrays.items()):
        return Taken(TEXT_SCHEMA.empty_table(), _rows(block, None), {})
    texts = {field: array.cast(pa.string()) for field, array in arrays.items() if field not in made}
    normal = _normal(texts["input"])
    odd = [_is_empty(normal), *map(_is_odd, texts.values())]
    cells = {field: _Cells.of(arrays[field], maker) for field, maker in made.items()}
    odd += [one.odd for one in cells.values()]
    keep = pc.invert(_either(odd))
    none = pa.nulls(len(normal), pa.string())
    columns_made = {
        "place": block.lines,
        "text": texts["input"],
        "text_normal": normal,
        **_context(texts.get("context", none)),
        "group_name": pc.fill_null(cells["group"].values if "group" in cells else none, ""),
        "response": cells["output"].values if "output" in cells else _answers(texts.get("output", none)),
    }
    table = pa.table(columns_made, TEXT_SCHEMA).filter(keep)
    labels = cells["output"].labels(block.lines, keep) if "output" in cells else {}
    return Taken(table, _rows(block, pc.invert(keep)), labels)


@dataclass(frozen=True)
class _Cells:
    """A column of which each different value is looked at once: what becomes of its cells, and which are odd."""

    values: pa.Array
    odd: pa.Array
    kinds: pa.Array
    labels_of: list[tuple[str, ...]]

    @classmethod
    def of(cls, array: pa.Array, maker: Callable[[object], Made]) -> _Cells:
        import pyarrow.compute as pc

        encoded = array.dictionary_encode()
        made = [_try(maker, value) for value in encoded.dictionary.to_pylist()]
        kinds = encoded.indices
        values = pa.array([one and one[0] for one in made], pa.string()).take(kinds)
        odd = pa.array([one is None for one in made], pa.bool_()).take(kinds)
        return cls(values, pc.fill_null(odd, False), kinds, [one[1] if one else () for one in made])

    def labels(self, lines: pa.Array, keep: pa.Array) -> dict[str, tuple[int, int]]:
        """The labels of the rows to keep, with the line on which each is met first, and its place there."""
        import numpy as np

        kept = pa.table({"kind": self.kinds, "line": lines}).filter(keep).drop_null()
        kinds, first = np.unique(kept["kind"].to_numpy(), return_index=True)
        found: dict[str, tuple[int, int]] = {}
        for kind, line in zip(kinds.tolist(), kept["line"].to_numpy()[first].tolist(), strict=True):
            for place, name in enumerate(self.labels_of[kind]):
                found[name] = min(found.get(name, (line, place)), (line, place))
        return found


def _maker(project: Project) -> Callable[[object], Made] | None:
    """What makes an answer of a cell, where the answer is no free text."""
    known = {label.name for label in project.settings.labels}
    most = project.settings.rating_max

    def one(cell: object) -> Made:
        name = targets.label(cell)
        return name, (name,) if name else ()

    def several(cell: object) -> Made:
        names = targets.labels(cell, known)
        return "\n".join(names) or None, names

    def rating(cell: object) -> Made:
        return targets.rating(cell, most), ()

    return {"classification": one, "multi-label": several, "rating": rating}.get(project.task)


def _try(maker: Callable[[object], Made], value: object) -> Made | None:
    try:
        made = maker(value)
    except Unusable:
        return None
    return None if made[0] and "\0" in made[0] else made


def _is_fit(kind: pa.DataType, by_value: bool) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    return by_value and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _context(array: pa.Array) -> dict[str, pa.Array]:
    import pyarrow.compute as pc

    normal = _normal(pc.fill_null(array, ""))
    return {"context": pc.if_else(_is_empty(normal), "", array), "context_normal": normal}


def _answers(array: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(_is_empty(_normal(array)), pa.scalar(None, pa.string()), array)


def _normal(array: pa.Array) -> pa.Array:
    """`normal_text` of each text: of ASCII alone, only white space has to go."""
    import pyarrow.compute as pc

    trimmed = pc.ascii_trim(array, characters=_BLANKS)
    beyond = pc.fill_null(pc.invert(pc.string_is_ascii(array)), False)
    if not pc.any(beyond).as_py():
        return trimmed
    texts = [normal_text(text) for text in array.filter(beyond).to_pylist()]
    return pc.replace_with_mask(trimmed, beyond, pa.array(texts, pa.string()))


def _is_empty(array: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.fill_null(pc.equal(pc.binary_length(array), 0), True)


def _is_odd(array: pa.Array) -> pa.Array:
    """Texts that are too long or hold control characters, of which JSON can be written in more than one way."""
    import pyarrow.compute as pc

    long = pc.greater(pc.utf8_length(array), TEXT_LIMIT)
    return pc.fill_null(pc.or_(long, pc.match_substring_regex(array, _CONTROLS)), False)


def _either(masks: list[pa.Array]) -> pa.Array:
    import pyarrow.compute as pc

    found = masks[0]
    for mask in masks[1:]:
        found = pc.or_(found, mask)
    return found


def _rows(block: Block, which: pa.Array | None) -> list[Row]:
    """Rows of a block: those of a mask, or all."""
    table = pa.table({f"{at}": array for at, array in enumerate((block.columns or {}).values())})
    table = table.append_column("line", block.lines)
    names = list(block.columns or {})
    found: list[dict[str, Any]] = (table if which is None else table.filter(which)).to_pylist()
    return [Row(row["line"], {name: row[f"{at}"] for at, name in enumerate(names)}) for row in found]
