"""Text files as lines of bounded size: which encoding, which line ends, and what to do with lines that lie.

A line is never read beyond ROW_LIMIT into memory, and a file whose line does not end within ENORMOUS bytes is given up.
What it leaves out: what the lines mean.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from charset_normalizer import from_bytes

from studio.data.rows import ROW_LIMIT
from studio.errors import BadFile
from studio.language import tr

SAMPLE_BYTES = 1 << 20
ENORMOUS = 64 << 20
"""Bytes of one line after which a file is no table of rows."""

_GUESSES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp932", "gb18030", "euc_kr", "big5", "koi8_r")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Encoding:
    """How a file is read: a codec, whether by characters (`wide`: UTF-16, or lines ended by CR alone), and remarks."""

    name: str
    wide: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One physical line, its line end normalised to LF. `problem` says why its record cannot be taken;
    with `too_long` the text is cut and the record cannot be followed further."""

    number: int
    text: str
    problem: str | None = None
    too_long: bool = False


def sniff_encoding(path: Path) -> Encoding:
    """The encoding of a text file, from its first mebibyte. Raises BadFile when it is not text."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return Encoding(name, name != "utf-8-sig" or _only_cr(sample))
    if guess := _utf16_without_mark(sample):
        note = tr("The file does not say its encoding; it was read as {encoding} (a guess).", encoding=guess)
        return Encoding(guess, True, (note,))
    if _is_binary(sample):
        advice = tr("{file} is not text but binary data: export it as CSV, JSON, JSONL or Parquet.", file=path.name)
        raise BadFile(advice)
    return _ascii_based(sample)


def lines(path: Path, encoding: Encoding, position: int = 0, number: int = 0) -> Iterator[tuple[Line, int]]:
    """Lines with the byte position behind each, from a position on behind which so many lines lie (not where the
    encoding is `wide`). Raises BadFile at a line of more than ENORMOUS bytes."""
    with path.open("rb") as file:
        if encoding.wide:
            yield from _wide_lines(file, path, encoding.name)
        else:
            file.seek(position)
            yield from _byte_lines(file, path, encoding.name, position, number)


def _byte_lines(file: BinaryIO, path: Path, encoding: str, position: int, number: int) -> Iterator[tuple[Line, int]]:
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    while raw := file.readline(ROW_LIMIT + 1):
        number += 1
        position += len(raw)
        if len(raw) > ROW_LIMIT and not raw.endswith(b"\n"):
            position += _skip_bytes(file, path, number)
            yield Line(number, "", tr("it is longer than 1 MiB"), too_long=True), position
            continue
        if number == 1 and encoding == "utf-8-sig":
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield decode_line(number, raw, codec), position


def decode_line(number: int, raw: bytes, codec: str) -> Line:
    """A line as text, or what is wrong with it."""
    if raw.endswith(b"\r\n"):
        raw = raw[:-2] + b"\n"
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        told = {"byte": f"0x{raw[error.start]:02X}", "encoding": codec.upper()}
        problem = tr("byte {byte} is not {encoding} text: the file mixes encodings", **told)
        return Line(number, raw.decode(codec, "replace").replace("\0", "\ufffd"), problem)
    if "\0" in text:
        return Line(number, text.replace("\0", "\ufffd"), tr("it contains NUL bytes"))
    return Line(number, text)


def _skip_bytes(file: BinaryIO, path: Path, number: int) -> int:
    skipped = 0
    while chunk := file.readline(ROW_LIMIT):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            return skipped
        if skipped > ENORMOUS:
            raise _enormous(path, number)
    return skipped


def _wide_lines(file: BinaryIO, path: Path, encoding: str) -> Iterator[tuple[Line, int]]:
    reader = io.TextIOWrapper(file, encoding, errors="replace", newline=None)
    number = 0
    while text := reader.readline(ROW_LIMIT + 1):
        number += 1
        if len(text) > ROW_LIMIT and not text.endswith("\n"):
            _skip_characters(reader, path, number)
            yield Line(number, "", tr("it is longer than 1 MiB"), too_long=True), file.tell()
        elif "\ufffd" in text:
            problem = tr("it is not valid {encoding} text", encoding=encoding.upper())
            yield Line(number, text, problem), file.tell()
        elif "\0" in text:
            yield Line(number, text.replace("\0", "\ufffd"), tr("it contains NUL bytes")), file.tell()
        else:
            yield Line(number, text), file.tell()


def _skip_characters(reader: io.TextIOWrapper, path: Path, number: int) -> None:
    skipped = 0
    while chunk := reader.readline(ROW_LIMIT):
        skipped += len(chunk)
        if chunk.endswith("\n"):
            return
        if skipped > ENORMOUS:
            raise _enormous(path, number)


def _enormous(path: Path, number: int) -> BadFile:
    told = {"line": number, "file": path.name, "size": f"{ENORMOUS >> 20} MiB"}
    return BadFile(tr("Line {line} of {file} is longer than {size}: put each row on a line of its own.", **told))


def _ascii_based(sample: bytes) -> Encoding:
    """UTF-8 if any line with other than ASCII letters is; else a guess, which is said."""
    wide = _only_cr(sample)
    if sample.isascii():
        return Encoding("utf-8", wide)
    whole = sample[: sample.rfind(b"\n") + 1] or sample[:-3]  # a character may be cut at the sample's end
    odd = [line for line in whole.splitlines() if not line.isascii()]
    strange = [line for line in odd if not _is_utf8(line)]
    if len(strange) < len(odd) or not odd:
        notes = (tr("The file mixes encodings: lines that are not UTF-8 are rejected."),) if strange else ()
        return Encoding("utf-8", wide, notes)
    name = _guess(b"\n".join(strange)[:65536])
    said = tr(
        "The file does not say its encoding; it was read as {encoding} (a guess): check letters such as é in the "
        "preview.",
        encoding=name,
    )
    return Encoding(name, wide, (said,))


def _guess(sample: bytes) -> str:
    """The likeliest of the encodings in use; of those that fit equally well the commoner one, so the first."""
    matches = from_bytes(sample, cp_isolation=list(_GUESSES))
    fits = {match.encoding: (-match.chaos, match.coherence) for match in matches}
    return max(_GUESSES, key=lambda name: fits.get(name, (-1.0, 0.0)))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _only_cr(sample: bytes) -> bool:
    return b"\r" in sample and b"\n" not in sample


def _utf16_without_mark(sample: bytes) -> str | None:
    head = sample[:4096]
    if len(head) < 4:
        return None
    half = len(head) // 2
    for name, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > 0.7 * half and letters.count(0) < 0.05 * half:
            return name
    return None


def _is_binary(sample: bytes) -> bool:
    head = sample[:65536]
    controls = sum(head.count(byte) for byte in (*range(0, 9), *range(14, 27), *range(28, 32)))
    return controls > 0.05 * len(head)
