"""Labels that are likely wrong: what a classifier that has not seen a row thinks of its label.

Confident learning (Northcutt, Jiang and Chuang, "Confident Learning", JAIR 2021): a row is doubted when some other
class is at least as likely for it as that class is on average for its own rows. The classifier is a logistic regression
on TF-IDF of words and characters, each row judged by a fold without it. What it leaves out: several labels a row, and
data on which the classifier itself is too weak to judge anybody."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from studio.preflight.found import Beat, Checked, Found, of
from studio.preflight.rows import Rows

LEAST_OF_A_LABEL = 5
"""Rows that a label needs for its rows to be judged."""

_LEAST_ROWS = 50
_FOLDS = 5
_WEAK = 0.5
"""Share of rows on which the classifier has to agree with the labels for its doubts to count."""
_DOUBT = 10.0
"""How many times likelier than its label a row's other class must be."""

_TRAINED_ROWS = 20_000
"""A fold's model, and the brought-down features, are learned from at most so many rows: time stays linear."""
_CHARACTERS = 2000
_TERMS = 20_000
_WORD = r"(?u)\w+"
_DIMENSIONS = 256

Floats = npt.NDArray[np.float64]


def check_flipped(rows: Rows, beat: Beat) -> Checked:
    """Rows of a classification whose label is doubted, the most doubtful first."""
    if rows.task != "classification":
        return Checked()
    counts = Counter(names[0] for names in rows.labels if len(names) == 1)
    classes = sorted(name for name, count in counts.items() if count >= LEAST_OF_A_LABEL)
    number = {name: place for place, name in enumerate(classes)}
    judged = [row for row, names in enumerate(rows.labels) if len(names) == 1 and names[0] in number]
    if len(classes) < 2 or len(judged) < _LEAST_ROWS:
        return Checked()
    given = np.array([number[rows.labels[row][0]] for row in judged])
    likely = out_of_fold([rows.inputs[row][:_CHARACTERS] for row in judged], given, beat)
    agreement = float((likely.argmax(axis=1) == given).mean())
    order, better = doubted(likely, given)
    if agreement < _WEAK or not len(order):
        return Checked()
    named = [judged[place] for place in order]
    text = (
        f"{of(len(named), len(rows))} {'has a label' if len(named) == 1 else 'have labels'} that a model trained on "
        "the others would not give; the most doubtful first."
    )
    likelier = {rows.ids[judged[place]]: classes[better[place]] for place in order[:200]}
    details = {"agreement": round(agreement, 3), "likelier": likelier}
    return Checked([Found("flipped-labels", "warning", text, named, ("back", "drop"), details)])


def doubted(likely: Floats, given: npt.NDArray[np.int64]) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Places of doubted rows, the largest ratio of other class to given label first; and each row's likeliest class.

    `likely`: [rows, classes], each row judged by a model that has not seen it.
    """
    rows = np.arange(len(given))
    own = likely[rows, given]
    usual = np.array([own[given == label].mean() for label in range(likely.shape[1])])
    above = np.where(likely >= usual, likely, 0.0)
    above[rows, given] = 0.0
    best = above.argmax(axis=1)
    ratio = above[rows, best] / np.maximum(own, 1e-9)
    order = np.argsort(-ratio, kind="stable")
    return [int(place) for place in order if ratio[place] >= _DOUBT], best


def out_of_fold(texts: Sequence[str], given: npt.NDArray[np.int64], beat: Beat) -> Floats:
    """How likely each class is for each text [texts, classes], by a model trained on the other folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    features = _features(texts, beat)
    random = np.random.default_rng(0)
    likely = np.zeros((len(texts), int(given.max()) + 1))
    for fold, (known, asked) in enumerate(StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(texts, given)):
        beat(2 + fold, 2 + _FOLDS)
        known = random.permutation(known)[:_TRAINED_ROWS]
        model = LogisticRegression(C=30.0, max_iter=60, tol=1e-3).fit(features[known], given[known])
        likely[np.ix_(asked, model.classes_)] = model.predict_proba(features[asked])
    return likely


def _features(texts: Sequence[str], beat: Beat) -> Any:
    """TF-IDF of words (one and two) and of characters (three and four), brought down to _DIMENSIONS numbers a text."""
    from scipy.sparse import hstack
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    learned = np.random.default_rng(0).permutation(len(texts))[:_TRAINED_ROWS]
    shared: dict[str, Any] = {"sublinear_tf": True, "min_df": 2, "max_features": _TERMS}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, **shared)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), **shared)
    parts = []
    for place, kind in enumerate((words, characters)):
        beat(place, 2 + _FOLDS)
        with contextlib.suppress(ValueError):  # no term occurs twice
            parts.append(kind.fit([texts[row] for row in learned]).transform(texts))
    if not parts:
        return np.zeros((len(texts), 1), dtype=np.float32)
    joined = hstack(parts).tocsr()
    size = min(_DIMENSIONS, joined.shape[1] - 1, len(learned) - 1)
    if size < 2:
        return joined
    model = TruncatedSVD(size, n_iter=1, random_state=0).fit(joined[learned])
    return normalize(model.transform(joined)).astype(np.float32)
