"""Accuracy: the share of answers that are the right label (scikit-learn)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.classes import codes, occurring


class Accuracy(evaluate.Metric):
    """`compute(predictions, references)` of labels; a prediction of '' named no label and is wrong."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Share of answers that are the right label, 0 to 1.",
            citation="",
            inputs_description="predictions: labels, '' where an answer names none; references: labels.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        from sklearn.metrics import accuracy_score

        said = [label or None for label in predictions]
        classes = occurring(said, references)
        return {"accuracy": float(accuracy_score(codes(references, classes), codes(said, classes)))}
