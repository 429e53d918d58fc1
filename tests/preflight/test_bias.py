"""Identity terms: counted, compared with intervals, exchanged without breaking the grammar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from studio.contract.preflight import PreflightSpec
from studio.contract.terms import BUILT_IN, parse_terms
from studio.errors import BadSpec
from studio.preflight.bias import check_bias, difference
from studio.preflight.rows import Rows
from studio.preflight.swaps import swap, swapper
from tests.preflight.planted import Row, clean

SPEC = PreflightSpec(models="/m")


def quiet(done: int, total: int) -> None:
    """No beat."""


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ("She lost her card.", "He lost his card."),
        ("I saw her again, and her mother told her.", "I saw him again, and his father told him."),
        ("His dog is his.", "Her dog is hers."),
        ("HE said Mr. Hill is an actor; a man", "SHE said Mrs. Hill is an actress; a woman"),
        ("The theme of shepherds, he/him.", "The theme of shepherds, she/her."),
    ],
)
def test_gender_is_exchanged_with_its_grammar(text: str, copy: str) -> None:
    swaps = parse_terms("").swaps["gender"]
    finder = swapper(swaps)
    assert finder and swap(text, swaps, finder) == copy


def test_articles_follow_and_phrases_stay() -> None:
    terms = parse_terms("")
    swaps = terms.swaps["nationality"]
    finder = swapper(swaps, terms.never)
    assert (
        finder and swap("An American paid by American Express.", swaps, finder) == "A Mexican paid by American Express."
    )


def test_the_interval_is_newcombes() -> None:
    # 56 of 70 against 48 of 80: the published interval of method 10 is 0.0524 to 0.3339.
    found = difference(56, 70, 48, 80)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert found.effect == pytest.approx(0.442, abs=0.001)


def test_a_group_with_a_label_of_its_own_is_told(make_rows: Callable[..., Rows]) -> None:
    rows = [replace(row, label="ok" if n % 2 else "bad", answer="x") for n, row in enumerate(clean(200))]
    rows += [Row(f"The muslim tenant number {n} called twice.", "bad", label="bad") for n in range(40)]
    checked = check_bias(make_rows(rows, "classification"), SPEC, quiet)
    (found,) = [one for one in checked.found if one.details["group"] == "religion/Muslim"]
    assert list(found.rows) == [*range(200, 240)] and "'" in found.text and "h = " in found.text
    copies = [(one.row, one.copy, one.field, one.after) for one in found.proposals]
    assert copies[0] == (200, 1, "turn:0", "The Christian tenant number 0 called twice.") and len(copies) == 40


def test_a_harsher_tone_is_told_and_even_data_is_not(make_rows: Callable[..., Rows]) -> None:
    even = [
        Row(f"Is {who} coming on day {n}?", "It was a good and happy day.") for n in range(60) for who in ("he", "she")
    ]
    assert check_bias(make_rows(even), SPEC, quiet).found == []
    harsh = [Row(f"Is the immigrant here on day {n}?", "A terrible, dirty liar.") for n in range(30)]
    checked = check_bias(make_rows([*even, *harsh]), SPEC, quiet)
    assert [one.details["group"] for one in checked.found if "harsher" in one.text] == ["nationality/foreign"]


def test_a_list_of_ones_own(make_rows: Callable[..., Rows]) -> None:
    terms = parse_terms("# mine\npets/cats: cat, tom cat\nswap pets: cat = dog\n")
    assert terms.groups == {("pets", "cats"): {"cat", "tom cat"}} and terms.swaps["pets"] == {
        "cat": "dog",
        "dog": "cat",
    }
    assert parse_terms("").groups == parse_terms(BUILT_IN).groups and len(parse_terms("").groups) > 15


@pytest.mark.parametrize("wrong", ["no colon", "a/b:", "swap x: a", "swap x: a = b = c", "a: b"])
def test_a_wrong_line_is_named(wrong: str) -> None:
    with pytest.raises(BadSpec, match="Line 2"):
        parse_terms(f"a/b: c\n{wrong}")
