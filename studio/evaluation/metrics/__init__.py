"""Each metric as an `evaluate.Metric` in a file of its own, loaded from here without the hub, and a project's own.

`evaluate.load` copies a file into a cache and imports the copy; ours are imported where they stand instead, and what a
Metric keeps for itself goes into a folder that the caller names, so nothing is written under the home directory.
Importing `evaluate` imports transformers and torch (seconds), which is why nothing here does so before it is asked.
What it leaves out: intervals, slices and a number a row (studio.evaluation.scoring, held to the same values by tests).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import BadInput

FILES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "weighted_f1": "f1",
    "per_class": "per_class",
    "confusion": "confusion",
    "subset_accuracy": "multilabel",
    "multilabel_micro_f1": "multilabel",
    "multilabel_macro_f1": "multilabel",
    "hamming_loss": "multilabel",
    "exact_match": "exact_match",
    "token_f1": "token_f1",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "bleu": "bleu",
    "chrf": "chrf",
    "form": "form",
}
"""A metric's name and the file of this folder that computes it; its value stands under its name in what compute() gives
(per_class and confusion give tables)."""


def load_metric(name: str, cache: Path) -> Any:
    """The `evaluate.Metric` behind a name of FILES; what it keeps for itself goes into `cache`.

    Raises BadInput for an unknown name.
    """
    if name not in FILES:
        raise BadInput(f"There is no metric '{name[:60]}'; there are: {', '.join(FILES)}.")
    from evaluate.loading import import_main_class

    made = import_main_class(f"studio.evaluation.metrics.{FILES[name]}")
    return made(cache_dir=str(cache), keep_in_memory=True)
