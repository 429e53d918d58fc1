"""Where the weights of a run lie: found by run id, checked to be safetensors inside of the run's own folder.

A run folder is data that somebody made: nothing of it is opened before its name, its links and its base are checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from studio.contract.events import newest
from studio.contract.spec import SPEC_FILE, read_train_spec
from studio.errors import BadInput, BadModel, NotFound
from studio.models.folders import check_folder, weight_files
from studio.models.hashes import ADAPTER_WEIGHTS

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER, MODEL = "adapter", "model"
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_FILES = 1000

Stamp = tuple[tuple[str, int, int], ...]
"""Name, modification time (ns) and size of each weight file: other weights have another stamp."""


@dataclass(frozen=True)
class Place:
    """The weights of `run`: a whole model of its own, or an adapter of the base."""

    run: str
    folder: Path
    whole: bool

    @property
    def weights(self) -> list[Path]:
        """The safetensors files."""
        return weight_files(self.folder) if self.whole else [self.folder / ADAPTER_WEIGHTS]

    def stamp(self) -> Stamp:
        """What the files are like now. Raises NotFound when one has just gone."""
        try:
            stats = [(path.name, path.stat()) for path in self.weights]
        except OSError:
            raise NotFound(f"The weights of run '{self.run}' have just been replaced or removed: ask again.") from None
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def find(runs: Path, run: str) -> Place:
    """Where the weights of `run` lie. Raises NotFound (no such run, no weights yet) or BadInput (not to be loaded)."""
    if not _RUN_ID.fullmatch(run):
        raise NotFound("There is no such model: give 'base' or the id of a finished run.")
    adapter, model = runs / run / ADAPTER, runs / run / MODEL
    if (adapter / ADAPTER_WEIGHTS).is_file() and (adapter / ADAPTER_CONFIG).is_file():
        _check_inside(adapter, runs, run)
        return Place(run, adapter, whole=False)
    if (adapter / "adapter_model.bin").exists():
        raise BadInput(f"The adapter of run '{run}' is a pickle (adapter_model.bin); only safetensors are loaded.")
    if (model / "config.json").is_file():
        _check_inside(model, runs, run)
        try:
            check_folder(model, f"run {run}")
        except BadModel as error:
            raise BadInput(str(error)) from None
        return Place(run, model, whole=True)
    raise NotFound(f"Run '{run}' has no weights yet: pick one that has taken all its steps, or resume this one.")


def available(runs: Path, limit: int = 1000) -> list[str]:
    """Run ids that have weights on the disk, sorted, at most `limit`."""
    try:
        names = sorted(path.name for path in runs.iterdir() if _RUN_ID.fullmatch(path.name))
    except OSError:
        return []
    return [name for name in names if _has_weights(runs / name)][:limit]


def check_base(place: Place, base_model: str, base_hash: str) -> None:
    """Raise BadInput unless `place` was trained from this base.

    An adapter is worth nothing on other weights, so the content counts; a whole model only has to say what it began as.
    """
    folder = place.folder.parent
    trained_hash = newest(folder, "base_hash")
    if trained_hash == base_hash:
        return  # the same weights, under whatever name or path
    trained_on = read_train_spec(folder).base_model if (folder / SPEC_FILE).is_file() else base_model
    if trained_on != base_model:
        raise BadInput(f"Run '{place.run}' was trained on '{trained_on}', but this engine holds '{base_model}'.")
    if trained_hash is not None and not place.whole:
        raise BadInput(
            f"Run '{place.run}' was trained on other weights of '{trained_on}' than those loaded now: put the old ones "
            "back, or train the run again."
        )


def _has_weights(folder: Path) -> bool:
    return (folder / ADAPTER / ADAPTER_WEIGHTS).is_file() or (folder / MODEL / "config.json").is_file()


def _check_inside(folder: Path, runs: Path, run: str) -> None:
    home = runs.resolve() / run
    names = sorted(folder.iterdir())
    if len(names) > _MOST_FILES or not all(path.resolve().is_relative_to(home) for path in [folder, *names]):
        raise NotFound(f"Run '{run}' has files outside of its own folder: copy them into it.")
