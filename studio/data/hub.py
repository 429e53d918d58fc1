"""A data set of the Hugging Face Hub by name, streamed row by row: asked for in so many words, and never a script run.

`hub:OWNER/NAME`, with `/CONFIG` where it has several and `:SPLIT` for one of its splits. A data set's own card says
which files it has: one that names others (of this machine, of another server) is refused before anything is asked for
them. What it leaves out: images and sound, which are passed on as they lie in the files, so are rejected as no text.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.data.arrowfiles import named_classes
from studio.data.datasetfolders import all_splits
from studio.data.rows import Rejected, Row, Table
from studio.errors import BadFile
from studio.language import tr
from studio.models.hub import endpoint, is_hub_id, is_offline, reachable

PREFIX = "hub:"
_WORD = re.compile(r"[\w.@+-]{1,96}", re.ASCII)
_HUB_FILES = "hf://datasets/"
_READERS = frozenset({"arrow", "conll", "csv", "json", "parquet", "text", "xml"})
_ONE_AT_A_TIME = threading.Lock()


class _Foreign(Exception):
    """A data set that names files which are not its own."""


@dataclass(frozen=True)
class HubName:
    """Which data set, which of its configs, which of its splits ('' for the only one, and for all)."""

    repo: str
    config: str = ""
    split: str = ""


class HubTable(Table):
    """Rows of a data set on the Hub; `line` is the number of the row. Raises BadFile in seconds without a Hub."""

    def __init__(self, name: HubName) -> None:
        # Not Table's own: there is no file to measure.
        self.path, self.format, self.encoding = Path(name.repo), "Hub", "utf-8"
        self.notes, self.size, self.position = [], 1, 0
        self._name = name
        self._parts = _opened(name)
        self.splits = tuple(self._parts)
        first = next(iter(self._parts.values()))
        self.columns = tuple(first.column_names or next(iter(first), {}))
        self.class_names = named_classes({key: _as_json(kind) for key, kind in (first.features or {}).items()})
        self.size = max(1, sum(_rows_of(part) for part in self._parts.values()))
        if len(self._parts) > 1:
            self.note(all_splits(self._parts))

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        number = 0
        try:
            for part in self._parts.values():
                for values in part:
                    number += 1
                    self.position = min(self.size, number)
                    yield Row(number, values)
        except Exception as error:  # of the hub's client, of its file readers: they have no nearer common base
            told = {"name": self._name.repo, "row": number + 1, "why": _first_line(error)}
            raise BadFile(tr("Reading '{name}' broke off at row {row} ({why}).", **told)) from error
        self.position = self.size


def parse_hub_name(text: str, split: str = "") -> HubName:
    """`OWNER/NAME[/CONFIG][:SPLIT]`, with or without "hub:" or the Hub's address before it. Raises BadFile."""
    bare = text.strip().removeprefix(PREFIX)
    bare = re.sub(r"^(https?://[^/]+/|hf://)?datasets/", "", bare)
    name, _, own = bare.partition(":")
    parts = name.strip("/").split("/")
    repo, config = "/".join(parts[:2]), "/".join(parts[2:])
    given = split.strip() or own
    words = all(_WORD.fullmatch(word) for word in (config, given) if word)
    if name.startswith("/") or not is_hub_id(repo) or not words:
        told = {"name": text[:80]}
        raise BadFile(tr("'{name}' is no name of a data set: write OWNER/NAME, or OWNER/NAME/CONFIG.", **told))
    return HubName(repo, config, given)


def _opened(name: HubName) -> dict[str, Any]:
    """The splits to read, as streams."""
    if is_offline() or not reachable():
        raise BadFile(
            tr(
                "The hub ({address}) cannot be reached, so '{name}' cannot be read: download its files where there is "
                "a network, and import those.",
                address=endpoint(),
                name=name.repo,
            )
        )
    if Path(name.repo).exists():
        told = {"name": name.repo}
        raise BadFile(
            tr("There is a local {name} too: start the studio in another folder to read it from the hub.", **told)
        )
    import datasets

    # Its own patience is 20 tries for each piece that breaks off, five seconds apart.
    datasets.config.STREAMING_READ_MAX_RETRIES = 2
    try:
        with _own_files_only():
            builder = datasets.load_dataset_builder(name.repo, name.config or None)
        _refuse_foreign(builder)
        found = builder.as_streaming_dataset(split=name.split or None)
        parts = dict(found) if isinstance(found, dict) else {name.split: found}
        return {split: part.decode(False) for split, part in parts.items()}
    except Exception as error:  # those of datasets and of the hub's client have no nearer common base
        raise BadFile(_refusal(name, error)) from error


@contextmanager
def _own_files_only() -> Iterator[None]:
    """While a data set is looked up, patterns of files count only where they lie below it."""
    from datasets import data_files

    real = data_files.resolve_pattern

    def resolve(pattern: str, base_path: str, *more: Any, **named: Any) -> list[str]:
        if "://" in pattern.removeprefix(_HUB_FILES) or "::" in pattern or Path(pattern).is_absolute():
            raise _Foreign
        return list(real(pattern, base_path, *more, **named))

    with _ONE_AT_A_TIME:
        data_files.resolve_pattern = resolve
        try:
            yield
        finally:
            data_files.resolve_pattern = real


def _refuse_foreign(builder: Any) -> None:
    """Raises _Foreign, and BadFile for files that are read by running what is in them, or hold no text."""
    files = builder.config.data_files or {}
    if not files or any(not str(file).startswith(_HUB_FILES) for part in files.values() for file in part):
        raise _Foreign
    if builder.name not in _READERS:
        told = {"kind": builder.name, "kinds": ", ".join(sorted(_READERS))}
        raise BadFile(tr("It is made of {kind} files: data sets of {kinds} files can be read.", **told))


def _refusal(name: HubName, error: Exception) -> str:
    repo = name.repo
    if isinstance(error, _Foreign):
        return tr("'{name}' names files that are not its own: they are not fetched.", name=repo)
    if isinstance(error, BadFile):
        return tr("'{name}' cannot be read: {why}", name=repo, why=f"{str(error)[:1].lower()}{str(error)[1:]}")
    said = _first_line(error)
    if "scripts are no longer supported" in str(error):
        return tr("'{name}' is a script, which is not run: import its Parquet files instead.", name=repo)
    if "gated" in said.lower():
        return tr("'{name}' is gated: accept its terms on the hub and set HF_TOKEN, then try again.", name=repo)
    if type(error).__name__ == "DatasetNotFoundError":
        return tr("The hub has no public data set '{name}': check the spelling, or set HF_TOKEN for it.", name=repo)
    if "Config name is missing" in str(error) or "BuilderConfig" in str(error):
        return _several_parts(repo, str(error))
    if "split" in said.lower():
        return tr("'{name}' has no split '{split}' ({why}).", name=repo, split=name.split, why=said)
    return tr("'{name}' cannot be read from the hub ({why}).", name=repo, why=said)


def _several_parts(repo: str, error: str) -> str:
    if listed := re.search(r"\[[^\]]*\]", error):
        told = {"name": repo, "parts": listed.group()[:200]}
        return tr("'{name}' has several parts ({parts}): write one behind its name, as {name}/PART.", **told)
    return tr("'{name}' has several parts: write one behind its name, as {name}/PART.", name=repo)


def _as_json(kind: object) -> object:
    names = getattr(kind, "names", None)
    return {"_type": "ClassLabel", "names": names} if names else None


def _rows_of(part: Any) -> int:
    found = getattr(getattr(part, "info", None), "splits", None) or {}
    split = found.get(str(getattr(part, "split", "")))
    return int(getattr(split, "num_examples", 0) or 0)


def _first_line(error: BaseException) -> str:
    return ((str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__)[:200]
