"""Names for weights: SHA-256 of the safetensors files, remembered so that a large base is read through only once.

The memory is one small file in the studio's own models folder; nothing is ever written beside a user's weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

ADAPTER_WEIGHTS = "adapter_model.safetensors"

_SIDECAR = "hashes.json"


def file_hash(paths: Iterable[Path], cache_dir: Path | None = None) -> str:
    """SHA-256 (hex) of the files' content: of the one file itself, or of the sorted list of names and digests.

    With `cache_dir`, digests are remembered there by path, size and modification time. Raises OSError.
    """
    files = sorted(paths, key=lambda path: path.name)
    known = _read(cache_dir) if cache_dir else {}
    digests = {_key(path): known.get(_key(path)) or _digest(path) for path in files}
    if cache_dir and not digests.items() <= known.items():
        _write(cache_dir, {**known, **digests})
    values = list(digests.values())
    if len(values) == 1:
        return values[0]
    lines = "".join(f"{digest}  {path.name}\n" for path, digest in zip(files, values, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def adapter_hash(adapter_dir: Path) -> str:
    """SHA-256 (hex) of an adapter's weights. Raises OSError when the folder holds none."""
    return file_hash([adapter_dir / ADAPTER_WEIGHTS])


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def _key(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def _read(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / _SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def _write(folder: Path, digests: dict[str, str]) -> None:
    temporary = folder / f".{_SIDECAR}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(digests), encoding="utf-8")
        temporary.replace(folder / _SIDECAR)
    except OSError:
        # Only a memory: without it the weights are read again next time.
        temporary.unlink(missing_ok=True)
