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
from studio.data.rows import Rejected, Row, Table
from studio.errors import BadFile
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
            self.note(f"All splits are read: {', '.join(self._parts)}. Name one to read it alone.")

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
            raise BadFile(
                f"Reading '{self._name.repo}' broke off at row {number + 1} ({_first_line(error)})."
            ) from error
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
        raise BadFile(f"'{text[:80]}' is no name of a data set: write OWNER/NAME, or OWNER/NAME/CONFIG.")
    return HubName(repo, config, given)


def _opened(name: HubName) -> dict[str, Any]:
    """The splits to read, as streams."""
    if is_offline() or not reachable():
        raise BadFile(
            f"The hub ({endpoint()}) cannot be reached, so '{name.repo}' cannot be read: download its files where "
            "there is a network, and import those."
        )
    if Path(name.repo).exists():
        raise BadFile(f"There is a local {name.repo} too: start the studio in another folder to read it from the hub.")
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
        raise BadFile(
            f"It is made of {builder.name} files: data sets of {', '.join(sorted(_READERS))} files can be read."
        )


def _refusal(name: HubName, error: Exception) -> str:
    if isinstance(error, _Foreign):
        return f"'{name.repo}' names files that are not its own: they are not fetched."
    if isinstance(error, BadFile):
        return f"'{name.repo}' cannot be read: {str(error)[:1].lower()}{str(error)[1:]}"
    said = _first_line(error)
    if "scripts are no longer supported" in str(error):
        return f"'{name.repo}' is a script, which is not run: import its Parquet files instead."
    if "gated" in said.lower():
        return f"'{name.repo}' is gated: accept its terms on the hub and set HF_TOKEN, then try again."
    if type(error).__name__ == "DatasetNotFoundError":
        return f"The hub has no public data set '{name.repo}': check the spelling, or set HF_TOKEN for it."
    if "Config name is missing" in str(error) or "BuilderConfig" in str(error):
        listed = re.search(r"\[[^\]]*\]", str(error))
        which = f" ({listed.group()[:200]})" if listed else ""
        return f"'{name.repo}' has several parts{which}: write one behind its name, as {name.repo}/PART."
    if "split" in said.lower():
        return f"'{name.repo}' has no split '{name.split}' ({said})."
    return f"'{name.repo}' cannot be read from the hub ({said})."


def _as_json(kind: object) -> object:
    names = getattr(kind, "names", None)
    return {"_type": "ClassLabel", "names": names} if names else None


def _rows_of(part: Any) -> int:
    found = getattr(getattr(part, "info", None), "splits", None) or {}
    split = found.get(str(getattr(part, "split", "")))
    return int(getattr(split, "num_examples", 0) or 0)


def _first_line(error: BaseException) -> str:
    return ((str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__)[:200]
