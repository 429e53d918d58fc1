"""Answers of generative models matched to labels: what counts as one label, and what counts as none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio.evaluation.matching import match, match_several, split_labels

TONES = ("positive", "negative", "neutral")
BANK = ("card_payment_fee_charged", "card payment", "cash withdrawal", "Refund, not shown")


@pytest.mark.parametrize(
    ("answer", "label", "reason"),
    [
        ("positive", "positive", "exact"),
        (" Positive\n", "positive", "case"),
        ("**Positive.**", "positive", "punctuation"),
        ("'negative'", "negative", "punctuation"),
        ("The sentiment is clearly positive, I think.", "positive", "named"),
        ("Label: neutral", "neutral", "named"),
        ("positive\n\nText: I hate it.\nLabel: negative", "positive", "first line"),
        ("positive or negative", None, "ambiguous: positive, negative"),
        ("positive\nnegative", None, "ambiguous: positive, negative"),
        ("It is not positive.", None, "a label is denied"),
        ("This isn't negative", None, "a label is denied"),
        ("not bad, so positive", "positive", "named"),
        ("positively", None, "names no label"),
        ("I cannot say.", None, "names no label"),
        (" \n", None, "empty"),
        ("(no classifier: the base model was never trained on these labels)", None, "no classifier"),
    ],
)
def test_an_answer_gives_one_label_or_says_why_not(answer: str, label: str | None, reason: str) -> None:
    found = match(answer, TONES)
    assert (found.label, found.reason) == (label, reason)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Card payment fee charged", "card_payment_fee_charged"),
        ("I would call this a card-payment fee charged.", "card_payment_fee_charged"),
        ("The intent is Card Payment.", "card payment"),
        ("refund not shown", "Refund, not shown"),
        ("It is about a refund, not shown in the app", "Refund, not shown"),
        ("card. Payment", "card payment"),
        ("cash", None),
    ],
)
def test_words_of_a_label_may_be_joined_in_another_way(answer: str, label: str | None) -> None:
    assert match(answer, BANK).label == label


@pytest.mark.parametrize(
    ("answer", "labels", "label"),
    [
        ("This is not spam.", ("spam", "not spam"), "not spam"),
        ("c++", ("C", "C++", "C#"), "C++"),
        ("It is written in C#.", ("C", "C++", "C#"), "C#"),
        ("It is C++", ("C", "Java"), None),
        ("C++.", ("C", "Java"), None),
        ("us", ("US", "us"), "us"),
        ("Us", ("US", "us"), None),
        ("No, it is not.", ("yes", "no"), "no"),
        ("这是积极的。", ("积极", "消极"), "积极"),
        ("STRASSE", ("Straße", "Weg"), "Straße"),
        ("👍", ("👍", "👎"), "👍"),
        ("I say 👎!", ("👍", "👎"), "👎"),
        ("anything", (), None),
        ("anything", ("", " "), None),
    ],
)
def test_labels_that_resemble_each_other_are_kept_apart(
    answer: str, labels: tuple[str, ...], label: str | None
) -> None:
    assert match(answer, labels).label == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("4", "4"),
        ("4 out of 5", "4"),
        ("I rate it 4/5.", "4"),
        ("3.5", None),
        ("-1", None),
        ("- 1", "1"),
        ("2 or 3", None),
        ("14", None),
    ],
)
def test_ratings_are_whole_numbers_of_the_scale(answer: str, label: str | None) -> None:
    assert match(answer, ("1", "2", "3", "4", "5")).label == label


def test_several_labels_are_listed_named_or_none() -> None:
    labels = ("red", "green", "blue", "blue, dark")
    assert match_several("green, red", labels).labels == ("red", "green")
    assert match_several("blue, dark, red", labels).labels == ("red", "blue, dark")
    assert match_several("It has green and a Red stripe, but no blue.", labels).labels == ("red", "green")
    assert match_several("- Red\n- Blue", labels).labels == ("red", "blue")
    assert match_several("None.", labels).found and match_several("", labels).found
    assert not match_several("a car", labels).found


def test_a_stored_list_is_split_where_its_labels_end() -> None:
    assert split_labels("a, b, c", ("a", "b, c", "b")) == ("a", "b, c")
    assert split_labels("a, x", ("a",)) is None
    assert split_labels("a, ", ("a",)) is None
    assert split_labels("", ("a",)) == ()


def test_a_long_answer_and_many_labels_are_matched_soon() -> None:
    labels = tuple(f"intent {number} of the bank" for number in range(500))
    assert match("word " * 40_000 + "intent 77 of the bank", labels).label == labels[77]
    assert split_labels(", ".join(["a"] * 60_000) + "!", ("a", "a, a")) is None
    assert match_several(", ".join(["a"] * 60_000), ("a", "a, a")).found


def test_what_an_encoder_without_a_head_answers_is_known_here() -> None:
    heads = Path(__file__).parents[2] / "studio" / "models" / "heads.py"
    said = re.search(r'NO_CLASSIFIER = "(.+)"', heads.read_text("utf-8"))
    assert said and match(said[1], ("no", "base", "model")).reason == "no classifier"
