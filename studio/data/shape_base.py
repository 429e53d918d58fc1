"""What every shape is made of: a first look at a table, and how its rows are then read.

What it leaves out: the shapes themselves (shape_tables, shape_labelstudio, shape_argilla, shape_doccano).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from studio.data.columns import CONTEXTS, PAIRS, PROMPTS, Columns
from studio.data.rows import Table, as_text
from studio.errors import BadInput
from studio.language import tr

Values = Mapping[str, object]
Unfold = Callable[[Values], Values]

TEXTS = (*("instruction", "chat", "summarisation", "translation", "code", "question-answering"),)
"""Tasks whose answer is text."""

_MORE_PAIRS = (
    *(
        ("left", "right"),
        ("answer1", "answer2"),
        ("response1", "response2"),
        ("text1", "text2"),
        ("option1", "option2"),
    ),
    *(("generation_1", "generation_2"), ("generation_a", "generation_b"), ("text_a", "text_b")),
)


@dataclass(frozen=True)
class Look:
    """A table, the task of the project that it comes into, and the values of its first rows."""

    table: Table
    task: str
    rows: tuple[Values, ...]

    @property
    def known(self) -> dict[str, str]:
        """The table's columns by their names in small letters."""
        return {name.strip().lower(): name for name in reversed(self.table.columns)}

    def has(self, *names: str) -> bool:
        """Whether there are columns of all these names."""
        return all(name in self.known for name in names)

    def first(self, *names: str) -> str | None:
        """The first of these names that is a column, as the table writes it."""
        return next((self.known[name] for name in names if name in self.known), None)

    def values(self, column: str | None) -> list[object]:
        """The values of a column in the first rows, without nulls."""
        return [row[column] for row in self.rows if column in row and row[column] is not None] if column else []

    def lacks(self, title: str, needs: str) -> BadInput:
        """The error for a shape that was named and that the table does not have; `title` and `needs` are marked."""
        told = {"file": self.table.path.name, "shape": tr(title), "needs": tr(needs)}
        told["there"] = ", ".join(self.table.columns)
        return BadInput(tr("{file} is not laid out as {shape}: it needs {needs}; there are: {there}.", **told))


@dataclass(frozen=True)
class Bound:
    """How the rows of one table are read: `read` unfolds values (None: they are taken as they are) to those that
    `columns` name; `parts` says in words what is read from where."""

    columns: Columns
    read: Unfold | None = None
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kind:
    """A shape: whether a table `seems` to have it, and how it is read. `bind` raises BadInput."""

    name: str
    title: str
    seems: Callable[[Look], bool]
    bind: Callable[[Look], Bound]


def input_field(names: Iterable[str], values: Iterable[Values]) -> str | None:
    """Which of the named fields holds the input: by its name, else the first that holds text."""
    fields = {name.strip().lower(): name for name in reversed([*names])}
    found = next((fields[name] for name in (*PROMPTS, "dialogue", "dialog") if name in fields), None)
    if found is not None:
        return found
    seen = [*values]
    return next((name for name in fields.values() if any(isinstance(row.get(name), str) for row in seen)), None)


def pair_fields(names: Iterable[str]) -> tuple[str, str] | None:
    """Which two of the named fields are the answers of a preference."""
    fields = {name.strip().lower().replace("-", "_"): name for name in reversed([*names])}
    return next(((fields[a], fields[b]) for a, b in (*PAIRS, *_MORE_PAIRS) if a in fields and b in fields), None)


def context_field(names: Iterable[str]) -> str | None:
    """Which of the named fields is the context."""
    fields = {name.strip().lower(): name for name in names}
    return next((fields[name] for name in CONTEXTS if name in fields), None)


def dialogue(value: object) -> object:
    """A list of utterances with authors as messages; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "author" in item for item in value):
        return [{"role": as_text(item.get("author")), "content": item.get("text")} for item in value]
    return value
