"""Which run answers to which name now. Another table is taken over while requests run: weights first, then the name.

Requests that run keep the run that they were given; the next ones get the new one. A run that cannot be loaded leaves
its name where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from studio.contract.serving import BASE_NAME, NAMES_FILE, read_names
from studio.errors import BadSpec, StudioError
from studio.serving.keys import Stamp, stamp_of


class NameTable:
    """The names of a server's folder. `load(run)` brings weights into memory and raises where they cannot be used."""

    def __init__(self, folder: Path, load: Callable[[str], object], warn: Callable[[str], object]) -> None:
        self._folder = folder
        self._load = load
        self._warn = warn
        self._stamp: Stamp = None
        self._names: Mapping[str, str] = {}

    @property
    def names(self) -> dict[str, str]:
        """Run ids by name, "" for the base model."""
        return {BASE_NAME: ""} | {name: run for name, run in self._names.items() if name != BASE_NAME}

    def start(self) -> None:
        """Load everything that is named. Raises BadSpec, BadInput, NotFound for the first that cannot be."""
        self._stamp = stamp_of(self._folder / NAMES_FILE)
        wanted = read_names(self._folder).names
        for run in sorted({run for run in wanted.values() if run}):
            self._load(run)
        self._names = dict(wanted)

    def look(self) -> bool:
        """Take over a changed table; whether any name changed. Blocks while weights are loaded."""
        stamp = stamp_of(self._folder / NAMES_FILE)
        if stamp == self._stamp or stamp is None:
            return False
        self._stamp = stamp
        try:
            wanted = read_names(self._folder).names
        except BadSpec as error:
            self._warn(str(error))
            return False
        failed = self._load_all({run for run in wanted.values() if run})
        kept = {name: self._names[name] for name, run in wanted.items() if run in failed and name in self._names}
        before, self._names = (
            self._names,
            {name: run for name, run in wanted.items() if run not in failed} | kept,
        )
        return before != self._names

    def _load_all(self, runs: set[str]) -> set[str]:
        """Those that cannot be loaded."""
        failed = set()
        for run in sorted(runs):
            try:
                self._load(run)
            except StudioError as error:
                failed.add(run)
                self._warn(f"{error} Its names stay where they were.")
        return failed
