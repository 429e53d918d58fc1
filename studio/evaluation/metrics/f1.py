"""F1 of labels: the mean over classes, and the mean weighted by how frequent they are (scikit-learn)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.classes import codes, occurring


class F1(evaluate.Metric):
    """`compute(predictions, references)` of labels; a prediction of '' misses its class and counts for none."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Macro and weighted F1 of the classes that occur, 0 to 1.",
            citation="",
            inputs_description="predictions: labels, '' where an answer names none; references: labels.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        from sklearn.metrics import f1_score

        said = [label or None for label in predictions]
        classes = occurring(said, references)
        true, given, places = codes(references, classes), codes(said, classes), range(len(classes))
        return {
            f"{kind}_f1": float(f1_score(true, given, labels=list(places), average=kind, zero_division=0))
            for kind in ("macro", "weighted")
        }
