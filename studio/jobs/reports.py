"""The rows that a preflight's findings name, read from its folder: all of them, or a page with its groups whole."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.preflight import NAMED_FILE
from studio.errors import JobFailed


@dataclass(frozen=True)
class NamedRow:
    """A row of a finding; rows of one group (of duplicates, of a conflict) have one `cluster`, -1 for none."""

    example_id: str
    cluster: int


def read_named(folder: Path) -> dict[int, list[str]]:
    """Every example that each finding names, by the finding's place in the report. Raises JobFailed."""
    table = _read(folder, None)
    found: dict[int, list[str]] = defaultdict(list)
    for finding, example_id in zip(table["finding"].to_pylist(), table["example_id"].to_pylist(), strict=True):
        found[finding].append(example_id)
    return {finding: list(dict.fromkeys(ids)) for finding, ids in found.items()}


def rows_of_finding(folder: Path, finding: int) -> list[NamedRow]:
    """Every row of one finding, those of a group together. Raises JobFailed."""
    table = _read(folder, finding)
    rows = list(dict.fromkeys(zip(table["example_id"].to_pylist(), table["cluster"].to_pylist(), strict=True)))
    first: dict[int, int] = {}
    for at, (_, cluster) in enumerate(rows):
        first.setdefault(cluster, at)
    order = sorted(range(len(rows)), key=lambda at: (first[rows[at][1]] if rows[at][1] >= 0 else at, at))
    return [NamedRow(*rows[at]) for at in order]


def _read(folder: Path, finding: int | None) -> pa.Table:
    path = folder / NAMED_FILE
    if not path.exists():
        return pa.table({"finding": pa.array([], pa.int64()), "example_id": pa.array([], pa.string()),
                         "cluster": pa.array([], pa.int64())})  # fmt: skip
    try:
        filters = [("finding", "=", finding)] if finding is not None else None
        return pq.read_table(path, columns=["finding", "example_id", "cluster"], filters=filters)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise JobFailed("The rows of this preflight cannot be read: run the preflight again.") from error
