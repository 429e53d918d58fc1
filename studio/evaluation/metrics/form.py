"""The share of answers in the expected form: a JSON schema or a regular expression (jsonschema, re)"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from studio.evaluation.forms import SECONDS, Form, fits


class ExpectedForm(evaluate.Metric):
    """`compute(predictions, references, kind, text)`; references are not looked at (give the predictions again)."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Share of answers that fit a JSON schema or a regular expression, 0 to 1.",
            citation="",
            inputs_description="predictions: texts; kind: regex or schema; text: the pattern or the schema.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(
        self, predictions: list[str], references: list[str], kind: Any, text: str, seconds: float = SECONDS
    ) -> dict[str, float]:
        found = fits(Form(kind, text), predictions, seconds)
        return {"form": sum(fit.fits for fit in found) / len(found)}
