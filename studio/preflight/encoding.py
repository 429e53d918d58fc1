"""Texts that were read in the wrong encoding: mended where that is certain, named where a character is lost.

What it leaves out: curly quotes, ligatures and other things that are odd but meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from studio.preflight.found import Beat, Checked, Found, Proposal, have, of, proposal
from studio.preflight.rows import Rows

_SUSPECT = re.compile(r"[^\x00-\x7f]")
_LOST = "\ufffd"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


def check_encoding(rows: Rows, beat: Beat) -> Checked:
    """Mojibake, lost characters and control characters; each mended text is proposed as an edit."""
    named: list[int] = []
    proposals: list[Proposal] = []
    lost = 0
    for row, fields in rows.fields():
        if row % 1000 == 0:
            beat(row, len(rows))
        broken = list(_broken(fields))
        if broken:
            named.append(row)
            proposals += [proposal(row, name, text, after) for name, text, after in broken if after != text]
            lost += any(_LOST in text for _, text, _ in broken)
    if not named:
        return Checked()
    text = f"{of(len(named), len(rows))} {have(len(named))} text in a broken encoding, such as Ã© for é."
    mended = len({one.row for one in proposals})
    details = {"mended": mended, "lost_characters": lost}
    return Checked([Found("encoding", "warning", text, named, ("edit", "back", "drop"), details, (), proposals)])


def mend(text: str) -> str:
    """The text with mojibake undone and control characters left out; the same text where nothing is certainly wrong."""
    import ftfy

    if not _SUSPECT.search(text):
        return _CONTROL.sub("", text)
    lines = [ftfy.fix_encoding(line) for line in text.splitlines(keepends=True)]  # one wrong line among right ones
    return _CONTROL.sub("", "".join(lines))


def _broken(fields: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    for name, text in fields:
        if _SUSPECT.search(text) or _CONTROL.search(text):
            after = mend(text)
            if after != text or _LOST in text:
                yield name, text, after
