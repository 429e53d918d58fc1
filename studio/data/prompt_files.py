"""Prompts to ask models, read from a file of any kind that can be imported.

What it leaves out: chats of several turns, and answers (importing has both).
"""

from __future__ import annotations

from pathlib import Path

from studio.data.readers import open_rows
from studio.data.rows import Rejected, as_text
from studio.errors import BadFile
from studio.language import tr

COLUMNS = ("prompt", "input", "question", "instruction", "text")
"""Where prompts are looked for: the first of these that a file has."""


def read_prompts(path: Path, most: int) -> list[str]:
    """The prompts of a file, as they are. Raises BadFile: no such column, an empty prompt, or more than `most`."""
    table = open_rows(path)
    column = next((name for name in COLUMNS if name in table.columns), None)
    if column is None:
        told = {"file": path.name, "names": ", ".join(table.columns) or tr("none")}
        raise BadFile(tr("{file} has no column 'prompt'; there are: {names}.", **told))
    prompts = []
    for row in table.rows():
        if isinstance(row, Rejected):
            unusable = tr(
                "Line {line} of {file} cannot be used: {reason}.", line=row.line, file=path.name, reason=row.reason
            )
            raise BadFile(unusable)
        prompts.append(as_text(row.values.get(column)))
        if not prompts[-1].strip():
            raise BadFile(tr("Line {line} of {file} has an empty prompt.", line=row.line, file=path.name))
        if len(prompts) > most:
            raise BadFile(tr("{file} has more than {most:,} prompts: split it.", file=path.name, most=most))
    return prompts
