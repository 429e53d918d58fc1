"""Personal data and secrets: what is found, what must not be, and placeholders instead."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from studio.contract.preflight import PreflightSpec
from studio.preflight.personal import check_personal, redact
from studio.preflight.recognisers import personal_spans
from studio.preflight.rows import Rows
from studio.preflight.secrets import secret_spans
from tests.preflight import planted

HARMLESS = [
    "Update to v1.2.3.4, or to version 10.2.3.4, as section 3.4.1.2 says.",
    "My order number 4155552671 and invoice 536-22-1145 are late.",
    "The tracking number is 1Z999AA10123456784, ref AB1234563.",
    "12 + 30 + 1,200 = 1242, and 93000 - 42000 - 3600 = <<93000-42000-3600=47400>>47400.",
    "At 2023-10-15 12:30:45, in 2019 2020 2021 2022.",
    "It listens on 127.0.0.1 and asks 8.8.8.8.",
    "std::vector<int> x; dead::beef; a @ b; @handle",
    "The price is $1,234,567.00 for 10 000 000 people.",
    "ISBN 978-3-16-148410-0, pi is 3.141592653589793",
]
NO_SECRET = [
    "api_key = YOUR_API_KEY",
    "password: ********",
    "token = os.environ['X']",
    "I forgot my password? Reset it: the password is wrong",
    "api_key='<your key here>' and secret: my_long_variable_name",
    "sk-learn is a good library, and the key is under the mat",
]


@pytest.mark.parametrize("seed", [1, 2])
def test_each_format_is_found_whole(seed: int) -> None:
    texts = planted.personal_data(random.Random(seed))
    assert [text for text in texts if len(personal_spans(text)) != 1] == []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_personal_data_is_not_found(text: str) -> None:
    assert [text[start:end] for start, end, _ in personal_spans(text)] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_each_kind_of_key_is_found(seed: int) -> None:
    texts = planted.secret_texts(random.Random(seed))
    assert [text for text in texts if not secret_spans(text)] == []


@pytest.mark.parametrize("text", NO_SECRET)
def test_what_stands_for_a_key_is_none(text: str) -> None:
    assert [text[start:end] for start, end, _ in secret_spans(text)] == []


def test_an_iban_is_no_licence_and_a_phone_no_health_number() -> None:
    assert [kind for _, _, kind in personal_spans("My doctor's IBAN is DE89 3704 0044 0532 0130 00.")] == ["IBAN"]
    assert [kind for _, _, kind in personal_spans("Call the doctor: (415) 555-2671")] == ["PHONE"]


def test_a_value_keeps_its_number_over_all_fields() -> None:
    fields = [("turn:0", "a@x.com, b@x.com"), ("answer", "To B@x.com, not [EMAIL_7]."), ("reason", "none")]
    made = redact([(name, text, personal_spans(text)) for name, text in fields])
    assert [after for _, _, after in made] == ["[EMAIL_8], [EMAIL_9]", "To [EMAIL_9], not [EMAIL_7]."]


def test_both_findings_propose_one_text_without_either(make_rows: Callable[..., Rows]) -> None:
    rows = make_rows([("I am a@x.com, password: hunter2!x", "Fine."), ("Nothing", "here")])
    checked = check_personal(rows, PreflightSpec(models="/m"), lambda done, total: None)
    assert [(one.check, list(one.rows)) for one in checked.found] == [("personal-data", [0]), ("secrets", [0])]
    assert {each.after for one in checked.found for each in one.proposals} == {"I am [EMAIL_1], password: [PASSWORD_1]"}
    assert "a@x.com" not in str(checked.figures) + "".join(one.text + str(one.details) for one in checked.found)


@pytest.mark.parametrize("piece", ["a.", "a-", "1 ", "1.", "ab:", "a@", "key_", "eyJ.", "(at)", "=", "://", "4111 "])
def test_hostile_text_takes_no_time(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    assert len(personal_spans(f"{text} ann@x.org {text}")) >= 1
    assert secret_spans(f"{text} password {text}") is not None


def test_allowed_texts_are_left(make_rows: Callable[..., Rows]) -> None:
    rows = make_rows([("Write to Help@firm.com or +44 20 7946 0958", "Fine.")])
    spec = PreflightSpec(models="/m", allowed=("help@firm.com", "+442079460958"))
    assert check_personal(rows, spec, lambda done, total: None).found == []


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(personal_spans("x@y.co.uk and z@nowhere.invalidsuffix")) == 1
