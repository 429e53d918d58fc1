"""Which class was taken for which, with a column of its own for answers that name no label (scikit-learn)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.classes import confusion


class ConfusionMatrix(evaluate.Metric):
    """`compute(predictions, references)` of labels gives {"labels", "columns", "confusion": rows of counts}."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Counts by true class (rows) and given class (columns, the last one for no label).",
            citation="",
            inputs_description="predictions: labels, '' where an answer names none; references: labels.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str], labels: Any = ()) -> dict[str, Any]:
        found = confusion([label or None for label in predictions], references, labels)
        return {"labels": list(found.labels), "columns": list(found.columns), "confusion": found.counts.tolist()}
