"""Made-up codes among the training rows, where a run's spec asks for them (studio.contract.canaries).

They are rendered as any row of the snapshot, by way of a split's file, so they are the same for every family that
learns texts. What it leaves out: classifiers, which never say what they read.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.canaries import canaries
from studio.contract.spec import TrainSpec
from studio.errors import BadSpec
from studio.models.loading import LoadedBase
from studio.training.data import Split
from studio.training.families import FamilyWays


def plant(train: Split, spec: TrainSpec, base: LoadedBase, ways: FamilyWays, max_length: int) -> Split:
    """The training rows with the codes of `spec` behind them.

    Raises BadSpec for a classifier and for preferences.
    """
    if not spec.canaries:
        return train
    if base.family == "encoder" or spec.objective != "sft":
        raise BadSpec("Codes can only be planted for a model that learns to write answers: leave canaries at 0.")
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "train.parquet", spec)
        planted = ways.read(base, spec.model_copy(update={"snapshot": Path(folder)}), "train", max_length)
    last = max((row.number for row in train.rows), default=0)
    return replace(train, rows=[*train.rows, *(replace(row, number=last + row.number) for row in planted.rows)])


def _write(path: Path, spec: TrainSpec) -> None:
    rows = [
        [{"role": turn.role, "content": turn.content} for turn in canary.conversation]
        for canary in canaries(spec.canaries, spec.seed)
    ]
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    columns = {"messages": pa.array(rows, pa.list_(turn)), "tools": pa.nulls(len(rows), pa.string())}
    pq.write_table(pa.table(columns), path)
