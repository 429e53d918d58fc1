"""chrF of all answers together, 0 to 100 (sacrebleu)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.ngrams import by_set
from studio.evaluation.counting.words import Reference


class Chrf(evaluate.Metric):
    """`compute(predictions, references)` of texts also gives sacrebleu's signature, which makes scores comparable."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Corpus chrF2, 0 to 100.",
            citation="Popović 2015, chrF: character n-gram F-score for automatic MT evaluation",
            inputs_description="predictions: texts; references: a text each, or a list of texts each.",
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, predictions: list[str], references: list[Reference]) -> dict[str, Any]:
        from sacrebleu.metrics import CHRF

        metric = CHRF()
        return {
            "chrf": float(metric.corpus_score(predictions, by_set(references)).score),
            "signature": str(metric.get_signature()),
        }
