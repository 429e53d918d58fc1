"""The losses of a run on its held-out rows, one row each: what training writes and the app makes slices of.

Columns: `row` (from 1, in the split's file), `example_id`, `base_loss` and `tuned_loss` (mean nats a target token) and
`target_tokens`; the schema's metadata names the `split`.
"""

HELD_OUT_FILE = "held_out.parquet"
"""Its name in the run's folder."""
