"""Scores, a number a row, and resamples: each held against the library's own figure on the same rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from studio.errors import BadInput
from studio.evaluation.counting.classes import UNMATCHED, class_table, confusion
from studio.evaluation.counting.ngrams import tokenizer_for
from studio.evaluation.counting.texts import common_length
from studio.evaluation.counting.words import words
from studio.evaluation.forms import Form
from studio.evaluation.scoring import MEASURES, metrics_for, scored, scored_by, scored_losses

WORDS = ["the", "dog", "bit", "a", "man", "who", "was", "not", "at", "home,", "again."]
CLASSES = ["red", "green", "blue", "black", "white"]
ROWS = 40


def made(seed: int) -> tuple[list[str], list[str]]:
    """Sentences and their references, some of them empty or very short."""
    draw = np.random.default_rng(seed)
    references = [" ".join(draw.choice(WORDS, draw.integers(1, 12))) for _ in range(ROWS)]
    predictions = [" ".join(word for word in text.split() if draw.random() < 0.8) for text in references]
    return predictions, references


def labelled(seed: int, several: bool = False) -> tuple[list[str], list[str]]:
    """Labels, or lists of up to three of them, predicted rightly about every second time."""
    draw = np.random.default_rng(seed)

    def one() -> str:
        if not several:
            return str(draw.choice(CLASSES, p=[0.4, 0.3, 0.2, 0.09, 0.01]))
        return ", ".join(draw.choice(CLASSES, draw.integers(0, 4), replace=False))

    references = [one() for _ in range(ROWS)]
    return [text if draw.random() < 0.5 else one() for text in references], references


def f1(average: str) -> Callable[[Sequence[str], Sequence[str]], float]:
    """scikit-learn's F1 with its defaults."""
    from sklearn.metrics import f1_score

    return lambda said, wanted: f1_score(wanted, said, average=average, zero_division=0)


def several_f1(average: str) -> Callable[[Sequence[str], Sequence[str]], float]:
    """scikit-learn's F1 of indicator matrices of the labels that occur."""
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    def score(said: Sequence[str], wanted: Sequence[str]) -> float:
        given, true = ([[label for label in text.split(", ") if label] for text in texts] for texts in (said, wanted))
        binarizer = MultiLabelBinarizer().fit([*given, *true])
        return f1_score(binarizer.transform(true), binarizer.transform(given), average=average, zero_division=0)

    return score


def bleu(said: Sequence[str], wanted: Sequence[str]) -> float:
    """sacrebleu's corpus BLEU."""
    from sacrebleu import corpus_bleu

    return corpus_bleu(list(said), [list(wanted)]).score


def chrf(said: Sequence[str], wanted: Sequence[str]) -> float:
    """sacrebleu's corpus chrF."""
    from sacrebleu import corpus_chrf

    return corpus_chrf(list(said), [list(wanted)]).score


@pytest.mark.parametrize(
    ("metric", "data", "library"),
    [
        ("macro_f1", labelled(1), f1("macro")),
        ("weighted_f1", labelled(2), f1("weighted")),
        ("multilabel_micro_f1", labelled(3, True), several_f1("micro")),
        ("multilabel_macro_f1", labelled(4, True), several_f1("macro")),
        ("bleu", made(5), bleu),
        ("chrf", made(6), chrf),
        ("bleu", (["a", "dog", "", "no"], ["a dog", "dog", "x", ""]), bleu),
        ("chrf", (["a", "dog", "", "no"], ["a dog", "dog", "x", ""]), chrf),
    ],
)
def test_a_resample_scores_what_the_library_says_of_its_rows(metric: str, data: Any, library: Any) -> None:
    predictions, references = data
    found = scored(metric, predictions, references)
    drawn = np.random.default_rng(0).integers(0, len(references), (25, len(references)))
    wanted = [library([predictions[at] for at in row], [references[at] for at in row]) for row in drawn]
    assert found.rows is None and found.value == pytest.approx(library(predictions, references))
    assert found.resampled(drawn) == pytest.approx(wanted)


@pytest.mark.parametrize("metric", ["accuracy", "exact_match", "token_f1", "rouge1", "rouge2", "rougeL"])
def test_a_mean_has_its_rows_and_their_resamples(metric: str) -> None:
    found = scored(metric, *(labelled(7) if metric == "accuracy" else made(7)))
    drawn = np.random.default_rng(0).integers(0, ROWS, (10, ROWS - 1))
    assert found.rows is not None and found.value == pytest.approx(found.rows.mean())
    assert found.resampled(drawn) == pytest.approx([found.rows[row].mean() for row in drawn])


@pytest.mark.parametrize(
    ("metric", "several"), [("macro_f1", False), ("multilabel_micro_f1", True), ("accuracy", False)]
)
def test_joined_answers_score_like_all_of_them_at_once(metric: str, several: bool) -> None:
    base, wanted = labelled(8, several)
    tuned = ["purple" if at == 3 else text for at, text in enumerate(labelled(9, several)[0])]
    both = scored(metric, base, wanted).joined(scored(metric, tuned, wanted))
    assert len(both) == 2 * ROWS
    assert both.value == pytest.approx(scored(metric, [*base, *tuned], [*wanted, *wanted]).value)
    swapped = np.arange(ROWS) + ROWS * (np.arange(ROWS) % 2)
    mixed = [(tuned if at % 2 else base)[at] for at in range(ROWS)]
    assert both.resampled(swapped[None])[0] == pytest.approx(scored(metric, mixed, wanted).value)


def test_answers_are_matched_to_the_labels_and_the_rest_is_wrong_but_nobodys() -> None:
    answers, wanted = ["Red.", "it is green", "red or blue", "blue"], ["red", "green", "blue", "blue"]
    assert scored("accuracy", answers, wanted, CLASSES).each.tolist() == [1, 1, 0, 1]
    assert scored("macro_f1", answers, wanted, CLASSES).value == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert scored("accuracy", answers, wanted).value == 0.25


def test_the_table_of_classes_and_the_confusions_count_answers_without_a_label() -> None:
    given, true = ["red", None, "green", "red"], ["red", "red", "blue", "blue"]
    rows = {row.label: row for row in class_table(given, true, CLASSES)}
    assert list(rows) == ["red", "green", "blue"]
    assert (rows["red"].precision, rows["red"].recall, rows["red"].predicted) == (0.5, 0.5, 2)
    assert (rows["green"].support, rows["green"].predicted, rows["blue"].recall) == (0, 1, 0)
    found = confusion(given, true, CLASSES)
    assert found.columns == ("red", "green", "blue", UNMATCHED)
    assert found.counts.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]]


def test_hamming_loss_is_a_share_of_the_label_set() -> None:
    found = scored("hamming_loss", ["red, blue", ""], ["red", "green"], CLASSES)
    assert found.each.tolist() == [0.2, 0.2] and not found.higher


def test_losses_are_weighted_by_tokens() -> None:
    loss, perplexity = scored_losses([1.0, 3.0], [30, 10])
    assert (loss.value, perplexity.value) == (1.5, pytest.approx(np.exp(1.5)))
    assert loss.resampled(np.array([[1, 1], [0, 0]])).tolist() == [3.0, 1.0]


def test_the_form_of_answers_is_a_share_of_rows() -> None:
    assert scored("form", ["12", "x"], ["", ""], form=Form("regex", r"\d+")).each.tolist() == [1, 0]
    with pytest.raises(BadInput, match="no expected form"):
        scored("form", ["12"], [""])


def test_a_metric_of_ones_own_is_a_mean_only_where_it_is_one() -> None:
    answers, wanted = made(10)
    share = scored_by(
        "same", lambda said, true: float(np.mean([a == b for a, b in zip(said, true, strict=True)])), answers, wanted
    )
    assert share.rows is not None
    longest = scored_by("longest", lambda said, true: float(max(map(len, said))), answers, wanted)
    drawn = np.array([[0, 1, 2], [3, 3, 3]])
    assert longest.rows is None
    assert longest.resampled(drawn).tolist() == [max(len(answers[at]) for at in row) for row in drawn]
    assert longest.joined(longest).value == longest.value


def test_a_metric_that_has_no_value_for_one_row_is_asked_again_for_each_resample() -> None:
    from scipy.stats import pearsonr

    found = scored_by("pearson", lambda said, true: pearsonr(said, true).statistic, [1.0, 2.0, 4.0], [2.0, 1.0, 5.0])
    assert found.rows is None and found.each.tolist() == [0, 0, 0]
    assert found.resampled(np.array([[0, 1, 2]]))[0] == pytest.approx(found.value)


@pytest.mark.parametrize(
    ("metric", "predictions", "says"),
    [("accuracy", [], "1 references"), ("colour", ["a"], "no metric 'colour'"), ("loss", ["a"], "no metric")],
)
def test_what_cannot_be_scored_is_said(metric: str, predictions: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        scored(metric, predictions, ["a"])
    with pytest.raises(BadInput, match="no held-out answer"):
        scored("accuracy", [], [])


def test_every_task_has_metrics_that_are_known() -> None:
    from storage.projects import TASKS

    assert all(metric in MEASURES for task in (*TASKS, "unheard of") for metric in metrics_for(task))


def test_words_of_english_are_those_of_rouge_score_and_other_scripts_keep_theirs() -> None:
    from rouge_score.tokenize import tokenize

    text = "The U.S. don't sell 3,000 snake_case e-mails -- at 50%!\n"
    assert words(text) == tokenize(text, None)
    assert words("Café «Übergröße» हिन्दी") == ["café", "übergröße", "हिन्दी"]
    assert words("我爱Python。") == ["我", "爱", "python"]
    assert scored("rougeL", ["我很爱你"], ["我爱你"]).value == pytest.approx(6 / 7)
    assert scored("token_f1", ["我很爱你"], ["我爱你"]).value == pytest.approx(6 / 7)


def test_bleu_takes_the_tokenizer_that_the_references_need() -> None:
    assert tokenizer_for(["A dog.", "It is 犬."]) == "13a"
    assert tokenizer_for(["我爱你。", "OK"]) == "zh"
    assert tokenizer_for(["犬が好きです。"]) == "char"
    assert scored("bleu", ["我们都很爱你们"], ["我们都爱你们"]).value > 30


def test_the_longest_common_subsequence_is_rouge_scores() -> None:
    from rouge_score.rouge_scorer import _lcs_table

    draw = np.random.default_rng(0)
    for _ in range(50):
        one, other = ([str(word) for word in draw.integers(0, 6, draw.integers(0, 90))] for _ in range(2))
        assert common_length(one, other) == _lcs_table(one, other)[-1][-1]


def test_scoring_needs_no_torch_and_no_evaluate() -> None:
    code = "import sys; from studio.evaluation import scoring; print({'torch', 'evaluate', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_row_has_a_number_to_call_a_win_by_for_every_metric() -> None:
    found = scored("bleu", ["the dog bit a man", "", "no"], ["the dog bit a man", "x", "the dog"])
    assert found.each.tolist() == pytest.approx([100, 0, 0])
    assert np.isfinite(scored("chrf", *made(11)).each).all()
