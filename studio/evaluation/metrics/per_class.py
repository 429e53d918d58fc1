"""Precision, recall and F1 of each class, with how often it is true and how often it was given (scikit-learn)"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.classes import class_table


class PerClass(evaluate.Metric):
    """`compute(predictions, references)` of labels gives {"per_class": a list of rows as dictionaries}."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Precision, recall, F1, support and number of predictions of each class that occurs.",
            citation="",
            inputs_description="predictions: labels, '' where an answer names none; references: labels.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str], labels: Any = ()) -> dict[str, Any]:
        return {
            "per_class": [
                asdict(row) for row in class_table([label or None for label in predictions], references, labels)
            ]
        }
