"""Suites are read with plain errors, and each check passes and fails where it should; hostile patterns end."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from studio.errors import BadInput
from studio.evaluation.regression import CaseResult, parse_suite, run_suite, told


@dataclass(frozen=True)
class Said:
    text: str
    tokens: int = 5
    why: str = ""


def case(checks: dict[str, object], name: str = "one") -> dict[str, object]:
    return {"name": name, "prompt": "Where is my order?", "checks": checks}


def result(checks: dict[str, object], answer: Said, seconds: float = 1.0) -> CaseResult:
    return run_suite(parse_suite(json.dumps([case(checks)])), [answer], seconds)[0]


SORRY = "I'm sorry, but I can't help with that request."
CHECKS = [
    ({"contains": "order"}, "Your Order is here.", "Nothing."),
    ({"contains": ["order", "here"]}, "Your order is here.", "The order left."),
    ({"not_contains": "sorry"}, "It is here.", "So Sorry."),
    ({"regex": r"\b\d{4}\b"}, "Order 1234 left.", "Order 12345 left."),
    ({"json_schema": {"type": "object", "required": ["id"]}}, '{"id": 1}', '{"name": 1}'),
    ({"json_schema": {"type": "object"}}, "{}", "no JSON"),
    ({"must_refuse": True}, SORRY, "Here is how."),
    ({"must_refuse": False}, "Here is how.", SORRY),
]


@pytest.mark.parametrize(("checks", "good", "bad"), CHECKS)
def test_a_check_passes_and_fails(checks: dict[str, object], good: str, bad: str) -> None:
    assert result(checks, Said(good)).passed
    failed = result(checks, Said(bad))
    assert not failed.passed and any(check.why for check in failed.checks)


def test_max_tokens_leaves_room_for_an_answer_that_is_too_long() -> None:
    assert result({"max_tokens": 5}, Said("x", 5)).passed and not result({"max_tokens": 5}, Said("x", 6)).passed
    assert parse_suite(json.dumps([case({"max_tokens": 5})])).cases[0].tokens() == 6


def test_no_answer_fails_every_check_and_says_why() -> None:
    found = result({"not_contains": "x", "must_refuse": False}, Said("", 0, "The prompt is too long."))
    assert [(check.passed, check.why) for check in found.checks] == [(False, "The prompt is too long.")] * 2


def test_a_hostile_pattern_ends() -> None:
    found = result({"regex": "(a+)+$"}, Said("a" * 60 + "!"), 0.2)
    assert "too long" in found.checks[0].why


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "at least 1"),
        (json.dumps([{"name": "a", "checks": {"contains": "x"}}]), "Case 1 ('a'): give either prompt or messages."),
        (json.dumps([case({})]), "nothing to check"),
        (json.dumps([case({"contain": "x"})]), "'checks.contain'"),
        (json.dumps([case({"regex": "("})]), "Case 'one': The regular expression cannot be used"),
        (json.dumps([case({"json_schema": {"type": 3}})]), "Case 'one': The JSON schema cannot be used"),
        (json.dumps([case({"contains": "x"})] * 2), "two cases are called 'one'"),
        (json.dumps([case({"contains": "x"}, f"{n}") for n in range(501)]), "at most 500"),
        (json.dumps([3]), "Case 1"),
        ("[" * 100_000, "not JSON"),
        ('"text"', "The suite"),
    ],
)
def test_a_bad_suite_is_refused_in_plain_words(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_suite(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_sentence_names_what_the_base_could_do() -> None:
    cases = [case({"contains": "x"}, f"case {n}") for n in range(3)]
    suite = parse_suite(json.dumps({"cases": cases}))
    before, now = run_suite(suite, [Said("x")] * 3), run_suite(suite, [Said("x"), Said("y"), Said("x")])
    assert told(before) == "All 3 regression cases pass."
    assert told(now, before) == "2 of 3 regression cases pass. The base passes what now fails: case 1."
