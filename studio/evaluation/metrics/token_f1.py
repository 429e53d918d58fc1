"""F1 of the words that answer and reference share (SQuAD 1.1)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.texts import token_f1_rows
from studio.evaluation.counting.words import Reference


class TokenF1(evaluate.Metric):
    """`compute(predictions, references)` of texts."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Mean F1 of words as the SQuAD 1.1 script makes them, 0 to 1.",
            citation="Rajpurkar et al. 2016, SQuAD: 100,000+ questions for machine comprehension of text",
            inputs_description="predictions: texts; references: a text each, or a list of texts each.",
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, predictions: list[str], references: list[Reference]) -> dict[str, float]:
        return {"token_f1": float(token_f1_rows(predictions, references).mean())}
