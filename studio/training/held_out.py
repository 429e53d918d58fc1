"""What base and tuned model make of each held-out row, as a file of the run: slices are made of it later.

What it leaves out: the slices (studio.data.slices), and the answers themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.held_out import HELD_OUT_FILE
from studio.training.data import Row
from studio.training.loss import RowLoss


def write_held_out(
    run_dir: Path, snapshot: Path, split: str, rows: Sequence[Row], base: Sequence[RowLoss], tuned: Sequence[RowLoss]
) -> None:
    """Write the losses of rows of a split, in nats a target token, as a whole or not at all. Raises OSError."""
    with pq.ParquetFile(snapshot / f"{split}.parquet") as file:
        known = "example_id" in file.schema_arrow.names
        ids = file.read(columns=["example_id"]).column(0).to_pylist() if known else []
    table = pa.table(
        {
            "row": pa.array([row.number for row in rows], pa.int64()),
            "example_id": pa.array([ids[row.number - 1] if known else "" for row in rows], pa.string()),
            "base_loss": pa.array([one.mean for one in base], pa.float64()),
            "tuned_loss": pa.array([one.mean for one in tuned], pa.float64()),
            "target_tokens": pa.array([one.targets for one in tuned], pa.int64()),
        },
        metadata={"split": split},
    )
    path = run_dir / HELD_OUT_FILE
    whole = path.with_suffix(".tmp")
    pq.write_table(table, whole)
    whole.replace(path)
