"""One score of one model: a metric over predictions and references, its number a row, and its value on any resample.

Texts in, numbers out: intervals, verdicts and slices are made of a `Scored`. The counting is in
studio.evaluation.counting; the same metrics as `evaluate.Metric`, for notebooks and for a project's own, are in
studio.evaluation.metrics, which are not needed here (importing `evaluate` imports torch). What it leaves out: the
answers themselves, and what a difference means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from studio.errors import BadInput
from studio.evaluation.counting import classes, ngrams, texts
from studio.evaluation.counting.parts import Floats, Ints, Means, Parts, Recomputed, Sums
from studio.evaluation.forms import Form, fits
from studio.evaluation.matching import Match, Matches, match, match_several, split_labels


@dataclass(frozen=True)
class Measure:
    """What is said of a metric beside its numbers: its name on screens, the best value it can have (1 for shares, 100),
    whether more is better, and whether answers are matched to labels first."""

    title: str
    best: float = 1.0
    higher: bool = True
    labels: bool = False


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("Accuracy", labels=True),
    "macro_f1": Measure("Macro F1", labels=True),
    "weighted_f1": Measure("Weighted F1", labels=True),
    "subset_accuracy": Measure("All labels right", labels=True),
    "multilabel_micro_f1": Measure("Micro F1", labels=True),
    "multilabel_macro_f1": Measure("Macro F1", labels=True),
    "hamming_loss": Measure("Hamming loss", 0.0, False, labels=True),
    "exact_match": Measure("Exact match"),
    "token_f1": Measure("Token F1"),
    "rouge1": Measure("ROUGE-1"),
    "rouge2": Measure("ROUGE-2"),
    "rougeL": Measure("ROUGE-L"),
    "bleu": Measure("BLEU", 100.0),
    "chrf": Measure("chrF", 100.0),
    "form": Measure("In the expected form"),
    "loss": Measure("Held-out loss", 0.0, False),
    "perplexity": Measure("Perplexity", 1.0, False),
}
"""The metrics that `scored` knows, and the two that `scored_losses` makes."""

_SEVERAL = ("subset_accuracy", "multilabel_micro_f1", "multilabel_macro_f1", "hamming_loss")
_BY_TASK: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "weighted_f1"),
    "rating": ("accuracy", "macro_f1", "weighted_f1"),
    "multi-label": _SEVERAL,
    "question-answering": ("exact_match", "token_f1"),
    "summarisation": ("rouge1", "rouge2", "rougeL"),
    "translation": ("bleu", "chrf"),
    "code": ("exact_match", "chrf"),
    "instruction": ("rougeL", "chrf"),
    "chat": ("rougeL", "chrf"),
    "preference": ("rougeL", "chrf"),
}

_Row = frozenset[str]


@dataclass(frozen=True, eq=False)
class Scored:
    """A metric over n answers: `value` of them all; `each` [n] a number a row to sort by and to call a win by (never
    NaN); `rows` is `each` where the metric is exactly its mean, else None; `higher`: more is better."""

    metric: str
    value: float
    each: Floats
    parts: Parts
    higher: bool = True

    @property
    def rows(self) -> Floats | None:
        """A number a row [n] where the metric is their mean."""
        return self.parts.rows if isinstance(self.parts, Means) else None

    def __len__(self) -> int:
        return len(self.parts)

    def resampled(self, indices: Ints) -> Floats:
        """The metric [B] over rows `indices` [B, m], which may repeat. 2,000 × 2,000: a tenth of a second to one."""
        return self.parts.values(indices)

    def joined(self, other: Scored) -> Self:
        """The 2n rows of these answers and then of others to the same examples; `value` is that of both together."""
        parts = self.parts.joined(other.parts)
        return replace(self, value=_value(parts), each=np.concatenate([self.each, other.each]), parts=parts)


def metrics_for(task: str) -> tuple[str, ...]:
    """The metrics that fit a project's task (storage.projects.TASKS), the first one the one to lead with; the losses
    and `form` come beside them."""
    return _BY_TASK.get(task, _BY_TASK["instruction"])


def scored(
    metric: str,
    predictions: Sequence[str],
    references: Sequence[Any],
    labels: Sequence[str] = (),
    form: Form | None = None,
) -> Scored:
    """A metric of MEASURES over answers and what was expected, row by row.

    `labels`: the project's label set. Answers are matched to it first; without it they are taken as labels as they
    stand (of several: joined by ", "). A reference that is compared as text may be several texts, each of them right.
    `form`: what "form" holds answers against.
    Raises BadInput for an unknown metric, for no rows, for numbers of rows that differ, for "form" without a form or
    with one that cannot be used.
    """
    if metric not in (*_SCORERS, "form"):
        raise BadInput(f"There is no metric '{metric[:60]}'; there are: {', '.join(_SCORERS)}, form.")
    _check(predictions, references)
    if metric == "form":
        parts, each = _form(predictions, form)
    else:
        parts, each = _SCORERS[metric](predictions, references, labels)
    return Scored(metric, _value(parts), each, parts, MEASURES[metric].higher)


def scored_losses(means: Sequence[float], tokens: Sequence[int]) -> tuple[Scored, Scored]:
    """Held-out loss (nats a token over all tokens) and perplexity from each row's mean loss and number of tokens."""
    _check(means, tokens)
    counts = np.asarray(tokens, dtype=np.float64)
    table = np.column_stack([np.asarray(means, dtype=np.float64) * counts, counts])
    each = np.asarray(means, dtype=np.float64)
    loss, perplexity = Sums(table, _loss), Sums(table, _perplexity)
    return (
        Scored("loss", loss.whole(), each, loss, False),
        Scored("perplexity", perplexity.whole(), np.exp(np.minimum(each, 700)), perplexity, False),
    )


def scored_by(
    name: str,
    score: Callable[[Sequence[Any], Sequence[Any]], float],
    predictions: Sequence[Any],
    references: Sequence[Any],
    higher: bool = True,
) -> Scored:
    """A metric of which only `score` is known, a project's own: where it turns out to be a mean over rows it is taken
    as one, else a resample calls it again, which is as slow as it is.

    Raises BadInput for no rows, numbers of rows that differ, or a score that is not a number.
    """
    _check(predictions, references)
    value = float(score(predictions, references))
    each = np.array([_alone(score, said, wanted) for said, wanted in zip(predictions, references, strict=True)])
    if not np.isfinite(value):
        raise BadInput(f"The metric '{name[:60]}' gives no number for these answers: choose another one.")
    mean = Means(each)
    parts: Parts = mean
    if not _is_mean(mean, value, score, predictions, references):
        parts = Recomputed(lambda said, wanted: float(score(said, wanted)), list(predictions), list(references))
        each = np.nan_to_num(each, posinf=0.0, neginf=0.0)
    return Scored(name, value, each, parts, higher)


def matched(predictions: Sequence[str], labels: Sequence[str]) -> list[Match]:
    """Each answer's label with the reason, for the table of rows."""
    return [match(answer, labels) for answer in predictions]


def matched_several(predictions: Sequence[str], labels: Sequence[str]) -> list[Matches]:
    """The same for answers with several labels."""
    return [match_several(answer, labels) for answer in predictions]


def _check(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise BadInput(
            f"There are {len(predictions):,} answers for {len(references):,} references: one for each is needed."
        )
    if not len(references):
        raise BadInput("There is no held-out answer to score: choose a split that has rows.")


def _value(parts: Parts) -> float:
    if isinstance(parts, Sums):
        return parts.whole()
    return float(parts.values(np.arange(len(parts), dtype=np.int64)[None])[0])


_Counts = tuple[Parts, Floats]


def _one_label(
    predictions: Sequence[str], references: Sequence[str], labels: Sequence[str]
) -> tuple[list[_Row], list[_Row], Floats]:
    given = [match(said, labels).label if labels else said for said in predictions]
    right = np.array([said == wanted for said, wanted in zip(given, references, strict=True)], np.float64)
    return (
        [frozenset() if said is None else frozenset({said}) for said in given],
        [frozenset({r}) for r in references],
        right,
    )


def _accuracy(predictions: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> _Counts:
    right = _one_label(predictions, references, labels)[2]
    return Means(right), right


def _f1(predictions: Sequence[str], references: Sequence[str], labels: Sequence[str], of: str) -> _Counts:
    given, true, right = _one_label(predictions, references, labels)
    return classes.class_sums(given, true, of), right


def _label_sets(
    predictions: Sequence[str], references: Sequence[str], labels: Sequence[str]
) -> tuple[list[_Row], list[_Row]]:
    if not labels:
        return [_listed(said) for said in predictions], [_listed(wanted) for wanted in references]
    given = [frozenset(match_several(said, labels).labels) for said in predictions]
    true = [split_labels(wanted, labels) for wanted in references]
    return given, [
        _listed(text) if found is None else frozenset(found) for found, text in zip(true, references, strict=True)
    ]


def _listed(text: str) -> _Row:
    return frozenset(part for part in text.split(", ") if part)


def _subset(predictions: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> _Counts:
    given, true = _label_sets(predictions, references, labels)
    right = np.array([one == other for one, other in zip(given, true, strict=True)], np.float64)
    return Means(right), right


def _hamming(predictions: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> _Counts:
    """Wrong labels of a row as a share of the label set (without one: of the labels that occur)."""
    given, true = _label_sets(predictions, references, labels)
    every = frozenset(labels).union(*true) if labels else frozenset().union(*given, *true)
    wrong = np.array([len(one ^ other) for one, other in zip(given, true, strict=True)], np.float64)
    rows = wrong / max(1, len(every))
    return Means(rows), rows


def _several_f1(predictions: Sequence[str], references: Sequence[str], labels: Sequence[str], of: str) -> _Counts:
    """F1 of all labels; each row's number is its own F1, 1 where it has no label and none was given."""
    given, true = _label_sets(predictions, references, labels)
    each = [
        2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0
        for one, other in zip(given, true, strict=True)
    ]
    return classes.class_sums(given, true, of), np.array(each, np.float64)


def _mean(predictions: Sequence[str], references: Sequence[Any], labels: Sequence[str], rows: Any) -> _Counts:
    found = rows(predictions, references)
    return Means(found), found


def _bleu(predictions: Sequence[str], references: Sequence[Any], labels: Sequence[str]) -> _Counts:
    sums = ngrams.bleu_sums(predictions, references)
    return sums, ngrams.bleu(sums.table, effective=True)


def _chrf(predictions: Sequence[str], references: Sequence[Any], labels: Sequence[str]) -> _Counts:
    sums = ngrams.chrf_sums(predictions, references)
    return sums, ngrams.chrf(sums.table)


def _form(predictions: Sequence[str], form: Form | None) -> _Counts:
    if form is None:
        raise BadInput("This project has no expected form: give it a JSON schema or a regular expression first.")
    rows = np.array([fit.fits for fit in fits(form, predictions)], np.float64)
    return Means(rows), rows


def _loss(sums: Floats) -> Floats:
    return sums[:, 0] / np.maximum(sums[:, 1], 1)


def _perplexity(sums: Floats) -> Floats:
    return np.exp(np.minimum(_loss(sums), 700))


def _alone(score: Callable[[Sequence[Any], Sequence[Any]], float], said: Any, wanted: Any) -> float:
    """The score of one row, NaN where the metric has none for one row alone (a correlation, for instance)."""
    try:
        return float(score([said], [wanted]))
    except Exception:  # a stranger's code
        return float("nan")


def _is_mean(mean: Means, value: float, score: Any, predictions: Sequence[Any], references: Sequence[Any]) -> bool:
    """Whether the metric is the mean of its rows, on all rows and on a few drawn halves."""
    if not np.isfinite(mean.rows).all() or not np.isclose(mean.rows.mean(), value, rtol=1e-9, atol=1e-12):
        return False
    whole = Recomputed(score, list(predictions), list(references))
    halves = np.random.default_rng(0).integers(0, len(mean), (3, max(2, len(mean) // 2)))
    return bool(np.allclose(mean.values(halves), whole.values(halves), rtol=1e-9, atol=1e-12))


_SCORERS: Mapping[str, Callable[[Sequence[str], Sequence[Any], Sequence[str]], _Counts]] = {
    "accuracy": _accuracy,
    "macro_f1": partial(_f1, of="macro"),
    "weighted_f1": partial(_f1, of="weighted"),
    "subset_accuracy": _subset,
    "multilabel_micro_f1": partial(_several_f1, of="micro"),
    "multilabel_macro_f1": partial(_several_f1, of="macro"),
    "hamming_loss": _hamming,
    "exact_match": partial(_mean, rows=texts.exact_rows),
    "token_f1": partial(_mean, rows=texts.token_f1_rows),
    "rouge1": partial(_mean, rows=partial(texts.rouge_rows, kind="rouge1")),
    "rouge2": partial(_mean, rows=partial(texts.rouge_rows, kind="rouge2")),
    "rougeL": partial(_mean, rows=partial(texts.rouge_rows, kind="rougeL")),
    "bleu": _bleu,
    "chrf": _chrf,
}
