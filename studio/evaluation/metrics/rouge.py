"""ROUGE-1, ROUGE-2 and ROUGE-L: the mean F-measure, without stemming (rouge_score)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.texts import rouge_scorer
from studio.evaluation.counting.words import Reference, every

KINDS = ("rouge1", "rouge2", "rougeL")


class Rouge(evaluate.Metric):
    """`compute(predictions, references)` of texts. Words are rouge_score's for English, whole words beyond."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Mean F-measure of ROUGE-1, ROUGE-2 and ROUGE-L, 0 to 1.",
            citation="Lin 2004, ROUGE: a package for automatic evaluation of summaries",
            inputs_description="predictions: texts; references: a text each, or a list of texts each.",
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, predictions: list[str], references: list[Reference]) -> dict[str, float]:
        scorer = rouge_scorer(KINDS)
        rows = [scorer.score_multi(every(wanted), said) for said, wanted in zip(predictions, references, strict=True)]
        return {kind: sum(float(row[kind].fmeasure) for row in rows) / len(rows) for kind in KINDS}
