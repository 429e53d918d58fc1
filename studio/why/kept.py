"""Vectors of training rows kept on disk, so that the next question has only its own to be worked out.

A folder is named by a digest of all that its vectors depend on and holds files of rows, each whole when it has its
name; so what was worked out before a job was stopped counts. A file that cannot be read counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from studio.models.disk import is_disk_full

MOST_BYTES = 4 << 30
"""What all folders together may take; the ones that were not used for longest go first."""

Vectors = npt.NDArray[np.float16]
Numbers = npt.NDArray[np.int64]


class Kept:
    """The vectors of rows, by row number."""

    def __init__(self, cache: Path, **known: object) -> None:
        digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
        self.folder = cache / digest[:40]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.touch()
        _forget_oldest(cache, self.folder)

    def parts(self) -> Iterator[tuple[Numbers, Vectors]]:
        """Row numbers (n,) and their vectors (n, width), file by file; a row may come twice."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                held = load_file(path)
                yield held["rows"], held["vectors"]
            except (OSError, ValueError, KeyError, SafetensorError):
                path.unlink(missing_ok=True)

    def rows(self) -> set[int]:
        """The numbers of the rows that are kept."""
        return {int(row) for rows, _ in self.parts() for row in rows}

    def add(self, rows: Sequence[int], vectors: Any) -> None:
        """Keep the vectors (n, width) of rows. Raises OSError."""
        from safetensors.numpy import save_file

        path = self.folder / f"{secrets.token_hex(8)}.safetensors"
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            numbers, halves = np.asarray(rows, np.int64), np.ascontiguousarray(vectors, np.float16)
            save_file({"rows": numbers, "vectors": halves}, temporary)
            temporary.replace(path)
        except Exception as error:
            if is_disk_full(error) and not isinstance(error, OSError):
                raise OSError(28, "No space left on device", str(path)) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)


def _forget_oldest(cache: Path, keep: Path) -> None:
    folders = [path for path in cache.iterdir() if path.is_dir()]
    sizes = {path: sum(file.stat().st_size for file in path.glob("*.safetensors")) for path in folders}
    total = sum(sizes.values())
    for path in sorted(folders, key=lambda path: path.stat().st_mtime):
        if total <= MOST_BYTES or path == keep:
            continue
        with suppress(OSError):
            shutil.rmtree(path)
            total -= sizes[path]
