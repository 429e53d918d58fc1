"""Duplicates within a split, conflicts, leaks across splits, and what is none of them."""

from __future__ import annotations

import random
from collections.abc import Callable

from studio.contract.nearness import is_near, normal
from studio.preflight.duplicates import check_duplicates
from studio.preflight.near import near_clusters
from studio.preflight.rows import Rows
from tests.preflight.planted import Row, clean, edited

Make = Callable[..., Rows]
ASK = "Where can I find the opening hours of the museum?"


def found(rows: Rows) -> dict[str, list[int]]:
    checked = check_duplicates(rows, lambda done, total: None)
    return {one.check: list(one.rows) for one in checked.found}


def test_clean_rows_have_no_finding(make_rows: Make) -> None:
    assert found(make_rows(clean(300))) == {}


def test_all_but_the_first_are_named(make_rows: Make) -> None:
    rows = [
        (ASK, "On the door."),
        *clean(5),
        (ASK, "On the door."),
        (ASK.upper() + "!", "On the door."),
        (ASK, "On the door."),
    ]
    assert found(make_rows(rows)) == {"exact-duplicates": [6, 8], "near-duplicates": [7]}


def test_one_input_with_different_answers(make_rows: Make) -> None:
    rows = [(ASK, "On the door."), (ASK, "on the  DOOR."), (ASK.lower(), "Online."), *clean(5)]
    assert found(make_rows(rows)) == {"conflicts": [0, 1, 2]}


def test_the_training_side_of_a_leak_is_named(make_rows: Make) -> None:
    rows = [(ASK, "Door.", "train"), *clean(5), (f"Hi, {ASK}", "Door.", "test"), (ASK, "Door.", "validation")]
    assert found(make_rows(rows)) == {"leaks": [0, 7]}


def test_other_numbers_are_other_questions(make_rows: Make) -> None:
    rows = [(f"What do we get when we add {n} to the number {n * n}?", f"{n}.") for n in range(60)]
    assert found(make_rows(rows)) == {}


def test_one_instruction_before_all_makes_nothing_near(make_rows: Make) -> None:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(80)]
    rows = [(f"Translate the following into polite French: {word}", f"{word}e.") for word in words]
    assert found(make_rows(rows)) == {}


def test_one_context_with_two_questions_is_no_duplicate(make_rows: Make) -> None:
    passage = "The Rhine rises in the Alps and reaches the sea at Rotterdam. " * 8
    rows = [
        Row("Where does it rise?", "In the Alps.", context=passage),
        Row("Which harbour is meant?", "Rotterdam.", context=passage),
    ]
    assert found(make_rows(rows, "question-answering")) == {}


def test_two_choices_for_one_prompt_are_no_conflict(make_rows: Make) -> None:
    rows = [Row(ASK, "On the door.", rejected="No idea."), Row(ASK, "It is online.", rejected="Ask a guard there.")]
    assert found(make_rows(rows, "preference")) == {}
    assert found(make_rows([rows[0], Row(ASK, "No idea.", rejected="On the door.")], "preference")) == {
        "conflicts": [0, 1]
    }


def test_every_cluster_is_proved(make_rows: Make) -> None:
    draw = random.Random(5)
    texts = [normal(row.prompt) for row in clean(400, 3)]
    texts += [normal(edited(draw, row.prompt, n)) for n, row in enumerate(clean(60, 3))]
    unique = list(dict.fromkeys(texts))
    groups = near_clusters(unique)
    pairs = [(place, first) for place, first in enumerate(groups) if first != place]
    assert len(pairs) >= 45 and all(first < place for place, first in pairs)
    assert all(is_near(unique[place], unique[first]) for place, first in pairs)


def test_texts_without_words_are_near_to_none(make_rows: Make) -> None:
    assert found(make_rows([("???", "One."), ("!!", "Two."), ("...", "Three.")])) == {}
    assert near_clusters(["", "a", "b"]) == [0, 1, 2] and near_clusters([]) == []
