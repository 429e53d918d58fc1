"""Checkpoints that are whole or not there: sealed with sizes and hashes before they get their name.

The content is the Trainer's own; the two newest are kept. A seal that does not fit means a half or damaged checkpoint.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from studio.contract.events import newest
from studio.errors import BadModel, BadSpec
from studio.models.disk import sync
from studio.models.hashes import file_hash
from studio.models.loading import LoadedBase
from studio.training.report import Report
from studio.training.stop import Stop

FOLDER = "checkpoints"
WRITING = ".writing"
KEEP = 2

_SEAL = "seal.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(folder: Path) -> None:
    """Record size and SHA-256 of every file of a finished checkpoint, and force all of it to the disk."""
    files = {path.name: [path.stat().st_size, file_hash([path])] for path in sorted(folder.iterdir()) if path.is_file()}
    (folder / _SEAL).write_text(json.dumps(files), encoding="utf-8")
    sync(folder)


def is_whole(folder: Path) -> bool:
    """True when the checkpoint has its seal and every file is as it was sealed."""
    try:
        files = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        return bool(files) and all(
            (folder / name).stat().st_size == size and file_hash([folder / name]) == digest
            for name, (size, digest) in files.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def step_of(folder: Path) -> int:
    """The optimiser step in a checkpoint's name."""
    match = _NAME.fullmatch(folder.name)
    return int(match.group(1)) if match else 0


def in_order(checkpoints: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest step first."""
    if not checkpoints.is_dir():
        return []
    return sorted((path for path in checkpoints.iterdir() if _NAME.fullmatch(path.name)), key=step_of)


def newest_whole(checkpoints: Path) -> tuple[Path | None, list[Path]]:
    """The newest whole checkpoint, if any, and the damaged ones passed over on the way to it."""
    damaged: list[Path] = []
    for folder in reversed(in_order(checkpoints)):
        if is_whole(folder):
            return folder, damaged
        damaged.append(folder)
    return None, damaged


def publish(checkpoints: Path, name: str) -> Path:
    """Seal the checkpoint just written to `<checkpoints>/.writing/<name>`, give it its place and drop old ones."""
    written, place = checkpoints / WRITING / name, checkpoints / name
    seal(written)
    shutil.rmtree(place, ignore_errors=True)
    written.replace(place)
    for old in in_order(checkpoints)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def to_go_on_from(run_dir: Path, steps: int, base: LoadedBase, report: Report, stop: Stop) -> Path | None:
    """The checkpoint to go on from, with what is damaged moved out of the way. Raises BadSpec or BadModel."""
    folder = run_dir / FOLDER
    clear_unfinished(folder)
    whole, damaged = newest_whole(folder)
    for bad in damaged:
        report.warning(f"{bad.name} is damaged and was passed over.", checkpoint=bad.name)
        shutil.rmtree(bad, ignore_errors=True)
    if whole is None:
        return None
    if step_of(whole) > steps:
        raise BadSpec(f"{whole.name} is beyond this run's {steps} steps: the spec or snapshot has changed.")
    if newest(run_dir, "base_hash") not in (None, base.weights_hash):
        raise BadModel(
            f"'{base.name}' has other weights now than when this run began: put the old ones back, or start a new run."
        )
    stop.saved_step = step_of(whole)
    return whole


def clear_unfinished(checkpoints: Path) -> None:
    """Remove what a killed or failed save left behind."""
    shutil.rmtree(checkpoints / WRITING, ignore_errors=True)
