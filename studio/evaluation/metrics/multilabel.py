"""Answers with several labels: all of them right, micro and macro F1, Hamming loss (scikit-learn)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate


class Multilabel(evaluate.Metric):
    """`compute(predictions, references, labels=())` of lists of labels.

    `labels`: the label set, which Hamming loss is a share of; without it, or beyond it, the labels that occur.
    """

    def _info(self) -> Any:
        texts = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description="Subset accuracy, micro and macro F1, Hamming loss, 0 to 1.",
            citation="",
            inputs_description="predictions, references: a list of labels a row.",
            features=datasets.Features({"predictions": texts, "references": texts}),
        )

    def _compute(self, predictions: list[list[str]], references: list[list[str]], labels: Any = ()) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, f1_score, hamming_loss
        from sklearn.preprocessing import MultiLabelBinarizer

        occurring = sorted({label for row in (*predictions, *references) for label in row})
        every = MultiLabelBinarizer(classes=sorted({*labels, *occurring}) or ["none"]).fit([])
        here = MultiLabelBinarizer(classes=occurring or ["none"]).fit([])
        true, given = here.transform(references), here.transform(predictions)
        return {
            "subset_accuracy": float(accuracy_score(true, given)),
            "multilabel_micro_f1": float(f1_score(true, given, average="micro", zero_division=0)),
            "multilabel_macro_f1": float(f1_score(true, given, average="macro", zero_division=0)),
            "hamming_loss": float(hamming_loss(every.transform(references), every.transform(predictions))),
        }
