"""A `datasets` folder, as `save_to_disk` writes it, and a .zip of one: its Arrow files read without unpacking anything.

What it leaves out: scripts, pickles and whatever else lies in such a folder; only the files that its state names are
opened, and only inside the folder.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from studio.data.arrowfiles import MAGIC, batch_rows, batches, checked_columns, class_names, open_arrow, unreadable
from studio.data.rows import Rejected, Row, Table
from studio.data.unpacking import Measured, refuse_arrow_bomb, refuse_bomb, skip_file_start
from studio.errors import BadFile
from studio.language import mark, tr

_STATE = "state.json"
_SPLITS = "dataset_dict.json"
STATES = (_SPLITS, _STATE)
"""Files by which such a folder is known."""

_JSON_LIMIT = 16 << 20
_FILES_LIMIT = 100_000
_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError, EOFError, RuntimeError)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError)
WHAT = mark("datasets folder")
_ARCHIVE = mark("ZIP archive")


class DatasetTable(Table):
    """A folder or .zip of a Dataset or DatasetDict; of the latter one `split`, or all with ''. Raises BadFile."""

    encoding = "utf-8"

    def __init__(self, path: Path, split: str = "") -> None:
        super().__init__(path, "datasets")
        self._place = _Zip(path) if path.is_file() else _Folder(path)
        try:
            self.splits = self._splits()
            if split and split not in self.splits:
                raise _no_split(path, split, self.splits)
            chosen = [split] if split else list(self.splits) or [""]
            self._files = [file for name in chosen for file in self._files_of(name)]
            self.size = max(1, sum(self._place.size(file) for file in self._files))
            self._look()
        except (*_ERRORS, *_ZIP_ERRORS) as error:
            raise unreadable(path, error, WHAT) from None
        if len(self.splits) > 1 and not split:
            self.note(all_splits(self.splits))

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        number, before = 0, 0
        try:
            for name in self._files:
                with self._place.opened(name) as file:
                    if isinstance(file, pa.NativeFile):
                        skip_file_start(file, MAGIC)
                    refuse_arrow_bomb(self.path, file)
                with self._place.opened(name) as file:
                    for batch in batches(open_arrow(file)):
                        for values in batch_rows(batch):
                            number += 1
                            yield Rejected(number, values) if isinstance(values, str) else Row(number, values)
                        self.position = min(self.size, before + file.tell())
                before += self._place.size(name)
        except (*_ERRORS, *_ZIP_ERRORS) as error:
            raise unreadable(self.path, error, WHAT) from None
        self.position = self.size

    def _splits(self) -> tuple[str, ...]:
        if not self._place.has(_SPLITS):
            return ()
        found = self._place.json(_SPLITS).get("splits")
        if not isinstance(found, list) or not found:
            raise BadFile(tr("{file} names no splits in its {splits}.", file=self.path.name, splits=_SPLITS))
        return tuple(_plain(self.path, name) for name in found)

    def _files_of(self, split: str) -> list[str]:
        below = f"{split}/" if split else ""
        if not self._place.has(below + _STATE):
            raise BadFile(
                tr(
                    "{file} is no folder that datasets' save_to_disk wrote ({missing} is missing): choose such a "
                    "folder, or one of its files.",
                    file=self.path.name,
                    missing=f"{below}{_STATE}",
                )
            )
        listed = self._place.json(below + _STATE).get("_data_files")
        if not isinstance(listed, list) or len(listed) > _FILES_LIMIT:
            where = f"{below}{_STATE}"
            raise BadFile(tr("{file} does not name its files in {where}.", file=self.path.name, where=where))
        names = [item.get("filename") if isinstance(item, dict) else None for item in listed]
        return [below + _plain(self.path, name) for name in names]

    def _look(self) -> None:
        """Columns and class names, of the first file: the others have the same."""
        if not self._files:
            raise BadFile(tr("{file} has no rows.", file=self.path.name))
        with self._place.opened(self._files[0]) as file:
            schema = open_arrow(file).schema
        self.columns = checked_columns(self.path, schema)
        self.class_names = class_names(schema)


def all_splits(splits: Iterable[str]) -> str:
    """The remark that a file of several splits is read whole."""
    return tr("All splits are read: {splits}. Name one to read it alone.", splits=", ".join(splits))


def _no_split(path: Path, split: str, splits: Sequence[str]) -> BadFile:
    if not splits:
        return BadFile(tr("{file} has no split '{split}'; it has no splits.", file=path.name, split=split))
    there = ", ".join(splits)
    return BadFile(tr("{file} has no split '{split}'; there are: {there}.", file=path.name, split=split, there=there))


class _Folder:
    """Files of a folder, by their path from it; links that lead out of it are refused."""

    def __init__(self, path: Path) -> None:
        self._path, self._root = path, path.resolve()

    def has(self, name: str) -> bool:
        return self._inside(name).is_file()

    def size(self, name: str) -> int:
        return self._inside(name).stat().st_size

    def json(self, name: str) -> dict[str, Any]:
        with self._inside(name).open("rb") as file:
            return _object(file.read(_JSON_LIMIT))

    @contextmanager
    def opened(self, name: str) -> Iterator[Any]:
        with pa.memory_map(str(self._inside(name))) as file:
            yield file

    def _inside(self, name: str) -> Path:
        found = (self._root / name).resolve()
        if not found.is_relative_to(self._root):
            raise BadFile(tr("{file} names a file outside of it.", file=self._path.name))
        return found


class _Zip:
    """The same of an archive, in which the folder may lie in folders of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._sizes = {item.filename: item.file_size for item in archive.infolist()[:_FILES_LIMIT]}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise unreadable(path, error, _ARCHIVE) from None
        tops = [name for name in self._sizes if name.split("/")[-1] in STATES]
        top = min(tops, key=lambda name: (name.count("/"), len(name)), default="")
        self._below = top[: len(top) - len(top.split("/")[-1])]

    def has(self, name: str) -> bool:
        return self._below + name in self._sizes

    def size(self, name: str) -> int:
        return self._sizes[self._below + name]

    def json(self, name: str) -> dict[str, Any]:
        with self.opened(name) as file:
            return _object(file.read(_JSON_LIMIT))

    @contextmanager
    def opened(self, name: str) -> Iterator[Any]:
        with zipfile.ZipFile(self._path) as archive, archive.open(self._below + name) as file:
            found = archive.getinfo(self._below + name)
            refuse_bomb(self._path, found.file_size, max(1, found.compress_size))
            yield Measured(self._path, file)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except RecursionError:
        raise ValueError(tr("its state is nested too deeply")) from None
    if not isinstance(found, dict):
        raise ValueError(tr("its state is no object"))
    return found


def _plain(path: Path, name: object) -> str:
    """A name without a path in it. Raises BadFile."""
    if not isinstance(name, str) or not name or name in (".", "..") or any(mark in name for mark in "/\\:\0"):
        raise BadFile(tr("{file} names a file outside of it.", file=path.name))
    return name
