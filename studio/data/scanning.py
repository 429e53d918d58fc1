"""Blocks of a text file that are read at once, where that is sure to give the same rows as reading them one by one.

A block begins where a record begins and is cut where one ends. What is odd in any way (broken quotes, other line ends,
bytes of another encoding, very long lines) gives None, and whoever asked reads that stretch record by record. What it
leaves out: the records themselves (studio.data.delimited, studio.data.jsonfiles).
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from studio.data.rows import ROW_LIMIT

if TYPE_CHECKING:
    import numpy as np

SMALL_BLOCK = 1 << 16
LARGE_BLOCK = 1 << 20
"""Bytes: blocks begin small, so that little is read twice where something is odd, and double while all goes well."""

_QUOTE, _CR, _LF = 34, 13, 10


@dataclass(frozen=True)
class Scanned:
    """Whole records as UTF-8 text: `taken` bytes and `line_count` lines of the file, and the number of the line on
    which each record begins, counted from 0."""

    data: bytes
    taken: int
    line_count: int
    lines: Any


def scan_lines(raw: bytes, at_end: bool, encoding: str) -> Scanned | None:
    """Records of one line each; empty lines are records too."""
    import numpy as np

    cut = len(raw) if at_end else raw.rfind(b"\n") + 1
    data = _as_text(raw[:cut], encoding)
    if data is None:
        return None
    starts = _starts(_positions(data, _LF), data)
    if _longest(starts, data) > ROW_LIMIT // 2:
        return None
    return Scanned(data, cut, len(starts), np.arange(len(starts)))


def scan_quoted(raw: bytes, at_end: bool, encoding: str, delimiter: str) -> Scanned | None:
    """Records whose values may be quoted and then hold delimiters, line ends, and quotes written twice. Empty lines
    between records are none."""
    import numpy as np

    cut = len(raw) if at_end else _last_end(raw)
    data = _as_text(raw[:cut], encoding)
    if data is None or not _ends_whole(data):
        return None
    quotes, line_ends = _positions(data, _QUOTE), _positions(data, _LF)
    if len(quotes) % 2 or not _well_quoted(data, quotes, ord(delimiter)):
        return None
    ends = _outside(line_ends, quotes)
    starts = _starts(ends, data)
    if _longest(starts, data) > ROW_LIMIT // 2:
        return None
    text = np.frombuffer(data, np.uint8)
    filled = starts[(text[starts] != _LF) & (text[starts] != _CR)]
    line_count = len(line_ends) + (not data.endswith(b"\n"))
    return Scanned(data, cut, line_count, np.searchsorted(line_ends, filled))


def pick_lines(lines: Any, first: int) -> pa.Array:
    """Line numbers of a block whose first line has the number `first`."""
    return pa.array(lines + first, pa.int64())


def _as_text(raw: bytes, encoding: str) -> bytes | None:
    """UTF-8; None for nothing, NUL, a byte order mark, bytes of another encoding."""
    if not raw or b"\0" in raw:
        return None
    if not raw.isascii():
        try:
            text = raw.decode(encoding)
            raw = raw if encoding == "utf-8" else text.encode()
        except UnicodeError:
            return None
    return None if raw.startswith(codecs.BOM_UTF8) else raw


def _ends_whole(data: bytes) -> bool:
    """Whether every CR is part of a line end."""
    import numpy as np

    returns = _positions(data, _CR)
    text = np.frombuffer(data, np.uint8)
    return not len(returns) or bool(returns[-1] + 1 < len(data) and (text[returns + 1] == _LF).all())


def _last_end(raw: bytes) -> int:
    """Where the last whole record of well quoted text ends; 0 where none does."""
    ends = _outside(_positions(raw, _LF), _positions(raw, _QUOTE))
    return int(ends[-1]) + 1 if len(ends) else 0


def _well_quoted(data: bytes, quotes: np.ndarray, delimiter: int) -> bool:
    """Whether every first quote of a pair begins a value, and every second one ends it; two in a row, of which one ends
    and one begins, are a quote inside of a value."""
    import numpy as np

    if not len(quotes):
        return True
    # A line end on either side, as the borders of the data are borders of a value too.
    text = np.frombuffer(b"\n" + data + b"\n", np.uint8)
    borders = np.zeros(256, np.bool_)
    borders[[delimiter, _LF, _QUOTE]] = True
    if not borders[text[quotes[0::2]]].all():
        return False
    borders[_CR] = True
    return bool(borders[text[quotes[1::2] + 2]].all())


def _outside(line_ends: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    import numpy as np

    return line_ends[np.searchsorted(quotes, line_ends) % 2 == 0] if len(quotes) else line_ends


def _positions(data: bytes, byte: int) -> np.ndarray:
    import numpy as np

    return np.flatnonzero(np.frombuffer(data, np.uint8) == byte)


def _starts(ends: np.ndarray, data: bytes) -> np.ndarray:
    import numpy as np

    starts = np.concatenate(([0], ends + 1))
    return starts[:-1] if starts[-1] == len(data) else starts


def _longest(starts: np.ndarray, data: bytes) -> int:
    import numpy as np

    return int(np.diff(np.append(starts, len(data))).max())
