"""The losses of each held-out row: what the file says agrees with the run's own figures."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from studio.contract.held_out import HELD_OUT_FILE
from tests.training.test_recipe import data_of


def test_a_run_leaves_the_losses_of_its_held_out_rows(place, train):
    run = place.run(learning_rate=5e-3)
    done = data_of(train(run)[1], "done")[0]
    table = pq.read_table(run / HELD_OUT_FILE)
    tokens = table["target_tokens"].to_pylist()
    for name in ("base_loss", "tuned_loss"):
        summed = sum(loss * count for loss, count in zip(table[name].to_pylist(), tokens, strict=True))
        assert summed / sum(tokens) == pytest.approx(done[name], rel=1e-6)
    assert len(table) == done["held_out_rows"] and table.schema.metadata[b"split"] == b"test"
    ids = pq.read_table(place.snapshot / "test.parquet")["example_id"].to_pylist()
    assert table["example_id"].to_pylist() == [ids[row - 1] for row in table["row"].to_pylist()]
    assert not list(run.glob("*.tmp"))
