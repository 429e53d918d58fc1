"""Files that appear whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from studio.errors import BadFile, DiskFull
from studio.language import tr

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends well.

    Raises DiskFull, or BadFile when the folder cannot be written to; then `path` is as it was.
    """
    temporary = path.with_name(f".{path.name[:100]}.{uuid4().hex[:8]}.part")
    try:
        with sentences(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill that becomes `path` when the block ends well. `path` must not exist.

    Raises DiskFull, BadFile; then nothing of it is left.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with sentences(path):
            temporary.mkdir(parents=True)
            yield temporary
            sync_tree(temporary)
            temporary.rename(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn errors of the file system into DiskFull or BadFile."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or "no space left" in str(error).lower():
            full = tr("The disk is full: {file} was not written. Make room and try again.", file=path.name)
            raise DiskFull(full) from error
        why = error.strerror or error
        raise BadFile(tr("{path} cannot be written: {why}.", path=path, why=why)) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make the names in a folder and in all folders below it last through a power cut."""
    for parent, _, _ in os.walk(folder):
        sync_folder(Path(parent))
