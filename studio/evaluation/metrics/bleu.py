"""BLEU of all answers together, 0 to 100 (sacrebleu)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.counting.ngrams import by_set, tokenizer_for
from studio.evaluation.counting.words import Reference


class Bleu(evaluate.Metric):
    """`compute(predictions, references)` of texts also gives sacrebleu's signature, which makes scores comparable."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Corpus BLEU, 0 to 100.",
            citation="Post 2018, A call for clarity in reporting BLEU scores",
            inputs_description="predictions: texts; references: a text each, or a list of texts each.",
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, predictions: list[str], references: list[Reference]) -> dict[str, Any]:
        from sacrebleu.metrics import BLEU

        metric = BLEU(tokenize=tokenizer_for(references))
        score = metric.corpus_score(predictions, by_set(references)).score
        return {"bleu": float(score), "signature": str(metric.get_signature())}
