"""Exact match of answers but for case, punctuation, articles and white space (SQuAD 1.1)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.texts import exact_rows
from studio.evaluation.counting.words import Reference


class ExactMatch(evaluate.Metric):
    """`compute(predictions, references)` of texts."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Share of answers that equal the reference as the SQuAD 1.1 script compares them, 0 to 1.",
            citation="Rajpurkar et al. 2016, SQuAD: 100,000+ questions for machine comprehension of text",
            inputs_description="predictions: texts; references: a text each, or a list of texts each.",
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, predictions: list[str], references: list[Reference]) -> dict[str, float]:
        return {"exact_match": float(exact_rows(predictions, references).mean())}
