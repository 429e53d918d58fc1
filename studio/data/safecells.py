"""Cells that no spreadsheet runs as a formula, and the exact way back to the text they were made of.

A cell that begins with = + - @ (wide ones of Asian keyboards too), a tab or a line's end, also behind apostrophes, or
with such a sign behind white space, gets an apostrophe in front. Our
own CSV files say so in the column `made_safe` of each row, and an import takes exactly those apostrophes away again:
those of somebody else's file are text. A carriage return in a cell is at the mercy of whoever reads CSV, so a row that
has one keeps its exact texts in `made_safe` as JSON. What it leaves out: reading and writing CSV.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

MADE_SAFE = "made_safe"
"""The column of our CSV files that names, joined by |, the row's cells that got an apostrophe; or it is a JSON object
with the exact texts of some of its cells by their names."""

_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_ENDS = ("\t", "\r", "\n")
# Some spreadsheets drop these in front of a cell: white space, and marks that nobody sees.
_DROPPED = " \t\r\n\v\f\0\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\u3000\u200b\u200e\u200f\u2060\ufeff"


def safe_cell(text: str) -> str:
    """The text, with an apostrophe in front where a spreadsheet would run it. One to one: see `plain_cell`."""
    return f"'{text}" if _runs(text) else text


def plain_cell(text: str) -> str:
    """The reverse of `safe_cell`."""
    return text[1:] if text.startswith("'") and _runs(text) else text


def _runs(text: str) -> bool:
    bare = text.lstrip("'")
    return bare.startswith(_ENDS) or bare.lstrip(_DROPPED).startswith(_SIGNS)


def safe_row(names: Sequence[str], cells: Mapping[str, str]) -> list[str]:
    """A row's cells in the order of `names`, of which MADE_SAFE is the last, each made safe."""
    texts = {name: cells.get(name, "") for name in names[:-1]}
    safe = {name: safe_cell(text) for name, text in texts.items()}
    changed = [name for name, text in texts.items() if safe[name] != text or "\r" in text]
    exact = any("\r" in texts[name] for name in changed)
    told = json.dumps({name: texts[name] for name in changed}) if exact else "|".join(changed)
    return [*safe.values(), told]


def plain_values(values: Mapping[str, object]) -> Mapping[str, object]:
    """A row of a file that has the column MADE_SAFE as it was before; any other row as it is."""
    told = values.get(MADE_SAFE)
    if not isinstance(told, str) or not told:
        return values
    if told.startswith("{"):
        return {**values, **_exact(told)}
    named = [name for name in told.split("|") if isinstance(values.get(name), str)]
    return {**values, **{name: plain_cell(str(values[name])) for name in named}}


def _exact(told: str) -> dict[str, str]:
    """The texts that MADE_SAFE gives; none where it was not written by us."""
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        return {}
    return {name: text for name, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}
