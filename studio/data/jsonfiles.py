"""JSONL, streamed line by line, and JSON, an array of objects read element by element from one text in memory.

A broken line of JSONL is one rejected row; broken JSON ends the file, for nothing behind the break can be trusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from studio.data.rows import ROW_LIMIT, Block, Rejected, Row, Table
from studio.data.scanning import LARGE_BLOCK, SMALL_BLOCK, Scanned, pick_lines, scan_lines
from studio.data.textfile import Line, decode_line, lines, sniff_encoding
from studio.errors import BadFile
from studio.language import mark, tr

JSON_LIMIT = 256 << 20
"""Bytes of the largest .json file: it has to be in memory as a whole."""

_LOOK_AHEAD = 100  # rows from which the columns are collected
_DEEP = 500  # brackets of a line, of which Python's reader takes almost a thousand inside of each other
_PLAIN = (str, type(None))
_NO_OBJECTS = {list: mark("a list"), str: mark("a text"), type(None): "null", bool: mark("a truth value")}
_NUMBER = mark("a number")
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonLinesTable(Table):
    """A .jsonl file: one object a line, empty lines passed over."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "JSONL")
        self._sniffed = sniff_encoding(path)
        self.encoding = self._sniffed.name
        self.notes += self._sniffed.notes
        self.columns = _collect_columns(self)

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        return self._rows()

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """See Table. Lines that cannot be read at once are read one by one, and so is a file of wide characters."""
        if self._sniffed.wide or not columns:
            yield from super().blocks(columns)
            return
        at, number, size = (3 if self.encoding == "utf-8-sig" else 0), 0, SMALL_BLOCK
        codec = "utf-8" if self.encoding == "utf-8-sig" else self.encoding
        while at < self.size:
            with self.path.open("rb") as file:
                file.seek(at)
                raw = file.read(size)
            if not raw:
                return  # the file has become shorter
            scanned = scan_lines(raw, at + len(raw) >= self.size, codec)
            if scanned:
                self.position = at = at + scanned.taken
                yield _parse_block(scanned, columns, number + 1)
                number, size = number + scanned.line_count, min(2 * size, LARGE_BLOCK)
            elif size > SMALL_BLOCK:
                size = SMALL_BLOCK
            else:
                yield Block(list(self._rows(at, number, at + SMALL_BLOCK)))
                at, number = self.position, self._number

    def _rows(self, position: int = 0, number: int = 0, until: int | None = None) -> Iterator[Row | Rejected]:
        """Rows from a position on behind `number` lines, until one ends behind another position."""
        for line, behind in lines(self.path, self._sniffed, position, number):
            self.position, self._number = behind, line.number
            if line.problem:
                yield Rejected(line.number, line.problem)
            elif line.text.strip():
                yield _parse_line(line)
            if until is not None and behind >= until:
                return


class JsonTable(Table):
    """A .json file: an array of objects, or one object that holds a single list of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "JSON")
        if self.size > JSON_LIMIT:
            told = {"file": path.name, "size": JSON_LIMIT >> 20}
            raise BadFile(tr("{file} is larger than {size} MiB: save it as JSONL, one object a line.", **told))
        sniffed = sniff_encoding(path)
        self.encoding = sniffed.name
        self.notes += sniffed.notes
        self._text = _decode_whole(path, sniffed.name)
        self.columns = _collect_columns(self)

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        scan = _Scan(self.path.name, self._text)
        line = 1
        counted = 0
        for start, value in scan.elements():
            line += self._text.count("\n", counted, start)
            counted = start
            self.position = int(self.size * start / len(self._text))
            yield Row(line, value) if isinstance(value, dict) else Rejected(line, _no_object(value))
        self.position = self.size


class _Scan:
    """A walk over a JSON text that keeps one element in memory at a time."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._decoder = json.JSONDecoder()

    def elements(self) -> Generator[tuple[int, object], None, None]:
        """Elements of the one list, each with its offset. Raises BadFile that names the line of a break."""
        at = self._skip(0)
        if self._text.startswith("[", at):
            at = yield from self._array(at)
        elif self._text.startswith("{", at):
            at = yield from self._object(at)
        else:
            raise BadFile(tr("{file} does not hold a list of objects.", file=self._name))
        if at < len(self._text):
            raise self._broken(at, tr("there is more behind the end of the list"))

    def _array(self, at: int) -> Generator[tuple[int, object], None, int]:
        at = self._skip(at + 1)
        if self._text.startswith("]", at):
            return self._skip(at + 1)
        while True:
            value, end = self._value(at)
            yield at, value
            at = self._skip(end)
            if self._text.startswith("]", at):
                return self._skip(at + 1)
            at = self._skip(self._expect(at, ","))

    def _object(self, at: int) -> Generator[tuple[int, object], None, int]:
        lists = 0
        at = self._skip(at + 1)
        while not self._text.startswith("}", at):
            key, at = self._value(at)
            at = self._skip(self._expect(self._skip(at), ":"))
            if self._text.startswith("[", at):
                lists += 1
                if lists > 1:
                    raise self._several(key)
                at = yield from self._array(at)
            else:
                at = self._skip(self._value(at)[1])
            if not self._text.startswith("}", at):
                at = self._skip(self._expect(at, ","))
        if not lists:
            told = {"file": self._name}
            raise BadFile(tr("{file} holds one object but no list of rows: put the objects between [ and ].", **told))
        return self._skip(at + 1)

    def _value(self, at: int) -> tuple[object, int]:
        try:
            return self._decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            raise self._broken(error.pos, error.msg) from None
        except StopIteration:
            raise self._broken(at, tr("a value is missing")) from None
        except RecursionError:
            raise self._broken(at, tr("it is nested too deeply")) from None
        except ValueError as error:
            raise self._broken(at, str(error)) from None

    def _expect(self, at: int, sign: str) -> int:
        if not self._text.startswith(sign, at):
            raise self._broken(at, tr("'{sign}' is missing", sign=sign))
        return at + 1

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _broken(self, at: int, why: str) -> BadFile:
        told = {"file": self._name, "line": self._text.count("\n", 0, at) + 1, "why": _plain(why)}
        return BadFile(tr("{file} is broken at line {line} ({why}): nothing of it was taken.", **told))

    def _several(self, key: object) -> BadFile:
        told = {"file": self._name, "key": key}
        return BadFile(tr("{file} holds more than one list ('{key}' too): keep the one with the rows.", **told))


def looks_like_json_lines(path: Path) -> bool:
    """Whether a file called .json holds one object a line: its first line is a whole object and a second one begins."""
    with path.open("rb") as file:
        first = file.readline(ROW_LIMIT + 1).decode("utf-8-sig", "replace").strip()
        second = file.readline(ROW_LIMIT).strip()
    return first.startswith("{") and second.startswith(b"{") and isinstance(_parse_line(Line(1, first)), Row)


def _parse_block(scanned: Scanned, columns: Sequence[str], first: int) -> Block:
    """Lines of a block, the first of which has the number `first`: arrays of those that are objects with text or null
    in the columns, and the rest as rows."""
    if (arrays := _parse_plain(scanned.data, columns)) is not None:
        return Block((), pick_lines(scanned.lines, first), arrays)
    values: list[dict[str, object]] = []
    taken: list[int] = []
    beside: list[Row | Rejected] = []
    for at, raw in enumerate(scanned.data.split(b"\n")):
        value = _load(raw)
        if type(value) is dict and all(type(value.get(name)) in _PLAIN for name in columns):
            values.append(value)
            taken.append(at)
        elif raw.decode().strip():
            end = b"\n" if at + 1 < scanned.line_count or scanned.data.endswith(b"\n") else b""
            beside.append(_parse_line(decode_line(first + at, raw + end, "utf-8")))
    arrays = {name: pa.array([value.get(name) for value in values], pa.string()) for name in columns}
    return Block(beside, pa.array(taken, pa.int64()) + first, arrays)


def _parse_plain(data: bytes, columns: Sequence[str]) -> dict[str, pa.Array] | None:
    """Arrays of the columns where every line is an object with text or null in them, which most files are."""
    import orjson

    raws = data.removesuffix(b"\n").split(b"\n")
    if data.count(b"[") + data.count(b"{") - len(raws) > _DEEP:
        return None
    try:
        values = list(map(orjson.loads, raws))
        return {name: pa.array([value.get(name) for value in values], pa.string()) for name in columns}
    except (ValueError, AttributeError, pa.ArrowException, TypeError):
        return None


def _load(raw: bytes) -> object:
    """JSON text that Python's own reader takes too and reads alike, but for integers beyond 64 bits; else None."""
    import orjson

    if len(raw) > _DEEP and raw.count(b"[") + raw.count(b"{") > _DEEP:
        return None  # orjson goes a little deeper
    try:
        return orjson.loads(raw)
    except ValueError:
        return None


def _parse_line(line: Line) -> Row | Rejected:
    try:
        value = json.loads(line.text)
    except json.JSONDecodeError as error:
        told = {"why": _plain(error.msg), "place": error.colno}
        return Rejected(line.number, tr("it is not JSON ({why}, character {place})", **told))
    except RecursionError:
        return Rejected(line.number, tr("it is nested too deeply"))
    except ValueError as error:
        return Rejected(line.number, tr("it is not JSON ({why})", why=_plain(str(error))))
    return Row(line.number, value) if isinstance(value, dict) else Rejected(line.number, _no_object(value))


def _collect_columns(table: Table) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for number, row in enumerate(table.rows()):
        if isinstance(row, Row):
            names.update(dict.fromkeys(row.values))
        if number + 1 >= _LOOK_AHEAD and names:
            break
        if number + 1 >= 100 * _LOOK_AHEAD:
            break
    table.position = 0
    return tuple(names)


def _decode_whole(path: Path, encoding: str) -> str:
    content = path.read_bytes()
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        told = {"line": line, "file": path.name, "encoding": encoding.upper()}
        raise BadFile(tr("Line {line} of {file} is not {encoding} text: save the file as UTF-8.", **told)) from None


def _no_object(value: object) -> str:
    kind = tr(_NO_OBJECTS.get(type(value), _NUMBER))
    return tr("it is {kind}, not an object with named values", kind=kind)


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:]
