"""Labels, short answers, languages, encodings, openings: found where they are, and nothing where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from studio.preflight.encoding import check_encoding, mend
from studio.preflight.flipped import check_flipped, doubted
from studio.preflight.found import Checked
from studio.preflight.labels import check_labels
from studio.preflight.languages import check_languages
from studio.preflight.openings import check_openings
from studio.preflight.rows import Rows
from tests.preflight import planted
from tests.preflight.planted import Row, clean

Make = Callable[..., Rows]
SAMPLE = Path(__file__).parents[2] / "studio" / "data" / "sample" / "support_desk.jsonl"
CHECKS = [check_labels, check_languages, check_encoding, check_openings, check_flipped]


def named(checked: Checked) -> dict[str, list[int]]:
    return {one.check: list(one.rows) for one in checked.found}


def quiet(done: int, total: int) -> None:
    """No beat."""


@pytest.mark.parametrize("check", CHECKS)
def test_clean_rows_have_no_finding(make_rows: Make, check: Callable[..., Checked]) -> None:
    assert named(check(make_rows(clean(200)), quiet)) == {}


@pytest.mark.parametrize("check", CHECKS)
def test_the_sample_project_has_no_finding(make_rows: Make, check: Callable[..., Checked]) -> None:
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    assert named(check(make_rows([(row["input"], row["output"]) for row in rows if row.get("output")]), quiet)) == {}


def test_rare_labels_are_named(make_rows: Make) -> None:
    rows = [replace(row, label="b" if n in (4, 9) else "a", answer="a") for n, row in enumerate(clean(60))]
    checked = check_labels(make_rows(rows, "classification"), quiet)
    assert named(checked) == {"imbalance": [4, 9]}
    assert [(one["label"], one["rows"]) for one in checked.figures["labels"]] == [("a", 58), ("b", 2)]


def test_even_labels_and_one_word_labels_are_fine(make_rows: Make) -> None:
    rows = [replace(row, label="ab"[n % 2], answer="ab"[n % 2]) for n, row in enumerate(clean(60))]
    assert named(check_labels(make_rows(rows, "classification"), quiet)) == {}


def test_empty_and_one_word_answers(make_rows: Make) -> None:
    rows = [*clean(30), Row("Why?", " "), Row("Who?", "Me.")]
    assert named(check_labels(make_rows(rows), quiet)) == {"short-answers": [30, 31]}
    assert named(check_labels(make_rows([("What is it?", "Yes.")] * 30), quiet)) == {}


@pytest.mark.parametrize("foreign", planted.FOREIGN)
def test_another_language_is_named(make_rows: Make, foreign: str) -> None:
    checked = check_languages(make_rows([*clean(30), Row(foreign, "I cannot say.")]), quiet)
    assert named(checked) == {"languages": [30]}
    assert checked.figures["languages"][0]["language"] == "en"


def test_a_translation_has_two_languages_and_no_finding(make_rows: Make) -> None:
    rows = [Row(row.prompt, planted.FOREIGN[0] + " " + "abcd"[n % 4] * 3) for n, row in enumerate(clean(20))]
    assert named(check_languages(make_rows(rows, "translation"), quiet)) == {}


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("Le cafÃ© est fermÃ©", "Le café est fermé"),
        ("Itâ€™s fine", "It’s fine"),
        ("a\x00b\x07", "ab"),
        ("Fine “as” it is: café, 北京, naïve – ok…", "Fine “as” it is: café, 北京, naïve – ok…"),
    ],
)
def test_mojibake_is_mended_and_nothing_else(broken: str, whole: str) -> None:
    assert mend(broken) == whole


def test_broken_text_is_named_and_its_mending_proposed(make_rows: Make) -> None:
    checked = check_encoding(make_rows([*clean(5), Row("Und?", "GrÃ¼ÃŸe"), Row("M\ufffdnchen?", "Ja.")]), quiet)
    assert named(checked) == {"encoding": [5, 6]}
    assert [(one.row, one.field, one.after) for one in checked.found[0].proposals] == [(5, "answer", "Grüße")]


def test_refusals(make_rows: Make) -> None:
    refusing = [Row(f"Do {n}", text.format(n)) for n, text in enumerate(planted.REFUSALS)]
    sorry = [
        Row("Late?", "I'm sorry to hear that; I can send a new one today."),
        Row("x?", "You can't do that here, ask Ann."),
    ]
    assert named(check_openings(make_rows([*clean(30), *refusing, *sorry]), quiet)) == {"refusals": [*range(30, 36)]}


def test_openings_that_many_share(make_rows: Make) -> None:
    same = [replace(row, answer=f"Thank you for contacting our team about {row.answer}") for row in clean(20, 7)]
    stock = [replace(row, answer=f"Certainly! {row.answer}") for row in clean(6, 8)]
    checked = check_openings(make_rows([*clean(100), *same, *stock]), quiet)
    assert sorted(named(checked)["boilerplate"]) == [*range(100, 126)]
    assert "thank you for contacting our team about" in checked.found[0].text


def test_the_order_of_doubt() -> None:
    import numpy as np

    likely = np.array([[0.9, 0.1], [0.98, 0.02], [0.03, 0.97], [0.1, 0.9], [0.8, 0.2], [0.001, 0.999]])
    order, better = doubted(likely, np.array([0, 1, 1, 1, 0, 0]))
    assert order == [5, 1] and [int(better[place]) for place in order] == [1, 0]


def test_labels_that_tell_nothing_doubt_nobody(make_rows: Make) -> None:
    rows = [replace(row, label="abc"[sum(map(ord, row.prompt)) % 3]) for row in clean(120)]
    assert named(check_flipped(make_rows(rows, "classification"), quiet)) == {}
