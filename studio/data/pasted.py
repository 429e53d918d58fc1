"""Pasted text kept as a file, so that it is imported as any file is: JSON, JSONL, CSV, TSV, or one input a line.

What it leaves out: reading it (studio.data.readers). Text that is not certainly one of these stays lines, for a comma
in a sentence makes no table.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from uuid import uuid4

from studio.data.columns import KNOWN_NAMES, PROMPTS
from studio.errors import BadInput, DiskFull
from studio.language import tr

PASTED_LIMIT = 20 << 20
"""Characters of the longest pasted text."""

_LINES_READ = 50


def keep_pasted(text: str, folder: Path) -> Path:
    """Write pasted text to a file of its own in `folder`, with the ending of what it is. Raises BadInput, DiskFull."""
    if not text.strip():
        raise BadInput("Paste some text first: CSV, TSV, JSON, JSONL, or one input a line.")
    if len(text) > PASTED_LIMIT:
        size = PASTED_LIMIT >> 20
        raise BadInput(tr("This is more than {size} MiB of text: save it as a file and choose that.", size=size))
    ending, content = recognise(text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    place = Path(folder) / uuid4().hex
    try:
        place.mkdir(parents=True, mode=0o700)
        path = place / f"pasted.{ending}"
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
    except OSError as error:
        told = {"why": error.strerror}
        raise DiskFull(tr("The pasted text cannot be kept ({why}): free some space and try again.", **told)) from None
    return path


def recognise(text: str) -> tuple[str, str]:
    """What a text is, as a file's ending, and the text as that file holds it. Lines end with LF alone."""
    start = text.lstrip()[:1]
    if start in ("{", "[") and (found := _json(text)):
        return found
    if delimiter := _delimiter(text):
        return ("tsv" if delimiter == "\t" else "csv"), text
    lines = text.split("\n")
    name = "input"
    if len(lines) > 1 and lines[0].strip().lower() in PROMPTS:
        name, lines = lines[0].strip(), ["", *lines[1:]]
    # Empty lines stay, so that a row has the number of the line that was pasted.
    return "jsonl", "".join(
        (json.dumps({name: line}, ensure_ascii=False) if line.strip() else "") + "\n" for line in lines
    )


def _json(text: str) -> tuple[str, str] | None:
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and isinstance(_loaded(lines[0]), dict):
        return "jsonl", text
    found = _loaded(text)
    if isinstance(found, dict) and (not _holds_rows(found) or any(name in found for name in KNOWN_NAMES)):
        return "jsonl", json.dumps(found, ensure_ascii=False) + "\n"
    if isinstance(found, dict) or (isinstance(found, list) and any(isinstance(item, dict) for item in found)):
        return "json", text
    # Broken JSON is still meant as JSON where it begins as rows do: its reader says where it breaks.
    return ("json", text) if found is None and text.lstrip().replace(" ", "").replace("\n", "")[:3] == '[{"' else None


def _holds_rows(found: dict[str, object]) -> bool:
    return any(isinstance(value, list) for value in found.values())


def _delimiter(text: str) -> str:
    """What stands between the columns, '' where the text is no table beyond doubt."""
    head = "\n".join(text.split("\n")[:_LINES_READ])
    for mark in ("\t", ",", ";", "|"):
        try:
            rows = [row for row in csv.reader(io.StringIO(head), delimiter=mark) if row]
        except csv.Error:
            continue
        names = [cell.strip().lower() for cell in rows[0]] if rows else []
        if len(rows) < 2 or len(names) < 2 or not all(names) or len({*names}) < len(names):
            continue
        if any(name in KNOWN_NAMES for name in names) or (mark == "\t" and len({*map(len, rows)}) == 1):
            return mark
    return ""


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
