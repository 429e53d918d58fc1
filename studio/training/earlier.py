"""Held-out rows that an earlier run has already been trained on, where a run goes on from it: told, for their losses
then say less than they seem to.

What it leaves out: rows that the base model itself has read somewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.spec import TrainSpec, read_train_spec
from studio.errors import BadSpec

LONGEST = 50
"""Runs that are followed back, each to the one that it went on from."""


def told_of_earlier(spec: TrainSpec) -> str:
    """A sentence about held-out rows that runs before this one were trained on; '' where there are none."""
    trained: set[str] = set()
    for snapshot in _earlier_snapshots(spec):
        trained.update(_groups(snapshot / "train.parquet"))
    counts = {name: sum(key in trained for key in _groups(spec.snapshot / f"{name}.parquet")) for name in _HELD}
    parts = [f"{count} {name} rows" for name, count in counts.items() if trained and count]
    if not parts:
        return ""
    return (
        f"The run that this one goes on from was trained on {' and '.join(parts)} of this snapshot: their losses and "
        "scores look better than they are."
    )


_HELD = ("validation", "test")


def _earlier_snapshots(spec: TrainSpec) -> Iterator[Path]:
    """The snapshots of the runs before, the newest run first, as far as their folders are still there."""
    seen: set[Path] = set()
    for _ in range(LONGEST):
        if spec.start_from is None or spec.start_from in seen:
            return
        seen.add(spec.start_from)
        try:
            spec = read_train_spec(spec.start_from.parent)
        except BadSpec:
            return
        yield spec.snapshot


def _groups(path: Path) -> list[str]:
    """The key of each row's prompt; nothing where a file has none or is gone."""
    with suppress(pa.ArrowException, OSError), pq.ParquetFile(path) as file:
        if "group" in file.schema_arrow.names:
            return [str(key) for key in file.read(columns=["group"]).column(0).to_pylist() if key]
    return []
