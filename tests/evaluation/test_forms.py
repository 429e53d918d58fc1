"""The expected form of an answer, with patterns and schemas that mean harm."""

from __future__ import annotations

import json

import pytest

from studio.errors import BadInput
from studio.evaluation.forms import TOO_LONG, Form, check_form, fits

SCHEMA = json.dumps({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]})


def test_a_pattern_is_held_against_the_whole_answer() -> None:
    found = fits(Form("regex", r"[A-Z]{2}-\d+"), ["AB-12", " AB-12\n", "see AB-12", ""])
    assert [fit.fits for fit in found] == [True, True, False, False]


def test_a_schema_wants_json_and_says_where_it_does_not_fit() -> None:
    found = fits(
        Form("schema", SCHEMA), ['{"age": 3}', '{"age": "3"}', "{}", "```json\n{}\n```", '{"age": NaN}', "[" * 10**5]
    )
    assert [fit.fits for fit in found] == [True, False, False, False, False, False]
    assert "$.age" in found[1].why and found[3].why == "is not JSON"


def test_one_answer_that_takes_for_ever_only_fails_itself() -> None:
    found = fits(Form("regex", "(a+)+b|ok"), ["ok", "a" * 40, "ok"], seconds=0.2)
    assert [fit.fits for fit in found] == [True, False, True]
    assert found[1].why == TOO_LONG


def test_a_pattern_that_always_takes_for_ever_is_refused() -> None:
    with pytest.raises(BadInput, match="make it simpler"):
        fits(Form("regex", "(a+)+b"), ["a" * 40] * 10, seconds=0.1)


def doubling() -> str:
    """A schema of a few lines that takes 2 to the power of 30 steps."""
    steps = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(30)} | {"s30": {}}
    return json.dumps({"$defs": steps, "$ref": "#/$defs/s0"})


def test_schemas_that_never_end_end() -> None:
    assert fits(Form("schema", doubling()), ["1"], seconds=0.2)[0].why == TOO_LONG
    slow = json.dumps({"pattern": "^(a+)+$"})
    assert fits(Form("schema", slow), [json.dumps("a" * 40 + "!")], seconds=0.2)[0].why == TOO_LONG
    assert fits(Form("schema", '{"$ref": "#"}'), ["1"], seconds=0.5)[0].fits is False


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (Form("regex", "(a"), "no regular expression"),
        (Form("schema", "{"), "not JSON"),
        (Form("schema", '{"type": "strange"}'), r"\$.type"),
        (Form("schema", '["a"]'), "object in braces"),
        (Form("schema", '{"$ref": "http://127.0.0.1:9/secret.json"}'), "refers to http://127.0.0.1:9/secret.json"),
        (Form("schema", '{"$ref": "file:///etc/passwd"}'), "refers to file:///etc/passwd"),
        (Form("schema", '{"patternProperties": {"(": {}}}'), "regular expression|patternProperties"),
        (Form("regex", " "), "needs 1 to"),
        (Form("regex", "a" * 100_001), "needs 1 to"),
    ],
)
def test_a_form_that_cannot_be_used_is_refused_with_the_reason(form: Form, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        fits(form, ["{}"])


def test_a_form_is_checked_before_it_is_kept() -> None:
    check_form(Form("schema", SCHEMA))
    with pytest.raises(BadInput, match="no regular expression"):
        check_form(Form("regex", "*"))


def test_a_schema_may_be_of_an_older_draft() -> None:
    old = json.dumps({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True})
    assert [fit.fits for fit in fits(Form("schema", old), ["3", "4"])] == [False, True]
