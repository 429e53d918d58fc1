"""What earlier runs were trained on and a later one measures itself by."""

from __future__ import annotations

from studio.contract.spec import read_train_spec
from studio.training.earlier import told_of_earlier
from tests import tiny


def run_on(tmp_path, name, splits, start_from=None):
    """A run folder on a snapshot whose prompts have the given keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    snapshot = tmp_path / f"snapshot-{name}"
    snapshot.mkdir()
    for split, keys in splits.items():
        pq.write_table(pa.table({"group": pa.array(list(keys), pa.string())}), snapshot / f"{split}.parquet")
    fields = {"start_from": str(start_from / "adapter")} if start_from else {}
    return tiny.make_run(tmp_path / name, snapshot, tmp_path, "starter", **fields)


def test_rows_that_an_earlier_run_learnt_are_told_through_all_generations(tmp_path):
    first = run_on(tmp_path, "first", {"train": "abc", "validation": "d", "test": "e"})
    second = run_on(tmp_path, "second", {"train": "de", "validation": "f", "test": "g"}, first)
    third = run_on(tmp_path, "third", {"train": "xyz", "validation": "ad", "test": "bq"}, second)
    assert told_of_earlier(read_train_spec(first)) == ""
    assert told_of_earlier(read_train_spec(second)) == ""
    assert "2 validation rows and 1 test rows" in told_of_earlier(read_train_spec(third))


def test_an_earlier_run_that_is_gone_is_no_error(tmp_path):
    first = run_on(tmp_path, "first", {"train": "a", "validation": "a", "test": "a"}, tmp_path / "gone")
    assert told_of_earlier(read_train_spec(first)) == ""
    (tmp_path / "snapshot-first" / "train.parquet").write_bytes(b"x")
    second = run_on(tmp_path, "second", {"train": "b", "validation": "a", "test": "b"}, first)
    assert told_of_earlier(read_train_spec(second)) == ""
