"""Prompts to ask models, read from a file of any kind that can be imported.

What it leaves out: chats of several turns, and answers (importing has both).
"""

from __future__ import annotations

from pathlib import Path

from studio.data.readers import open_rows
from studio.data.rows import Rejected, as_text
from studio.errors import BadFile

COLUMNS = ("prompt", "input", "question", "instruction", "text")
"""Where prompts are looked for: the first of these that a file has."""


def read_prompts(path: Path, most: int) -> list[str]:
    """The prompts of a file, as they are. Raises BadFile: no such column, an empty prompt, or more than `most`."""
    table = open_rows(path)
    column = next((name for name in COLUMNS if name in table.columns), None)
    if column is None:
        raise BadFile(f"{path.name} has no column 'prompt'; there are: {', '.join(table.columns) or 'none'}.")
    prompts = []
    for row in table.rows():
        if isinstance(row, Rejected):
            raise BadFile(f"Line {row.line} of {path.name} cannot be used: {row.reason}.")
        prompts.append(as_text(row.values.get(column)))
        if not prompts[-1].strip():
            raise BadFile(f"Line {row.line} of {path.name} has an empty prompt.")
        if len(prompts) > most:
            raise BadFile(f"{path.name} has more than {most:,} prompts: split it.")
    return prompts
