"""Answers by task: what may be submitted, its one stored form, and when two say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.projects import TASKS
from storage.records import Example, Label, Project, Settings, Turn
from studio.contract.answers import decode_conversation, encode_conversation
from studio.contract.chat import Message
from studio.contract.tools import encode_extra
from studio.errors import BadInput
from studio.labeling.answers import as_text, check_answer, same_answer

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LABELS = (Label("bug", "#000000"), Label("feature", "#111111"), Label("other, mixed", "#222222"))
EXAMPLE = Example("e", "p", 1, (Turn("user", "Hi"),), "", {"a": "one", "b": "two"}, "s", "todo", None, 0, "", None, NOW)


def project(task: str, **settings: Any) -> Project:
    return Project("p", "P", task, "", "", replace(Settings(labels=LABELS), **settings), NOW, None)


def turns(*given: tuple[str, str, bool | None]) -> str:
    return json.dumps({"turns": [{"role": role, "content": text, "train": train} for role, text, train in given]})


TEXTS = [task for task in TASKS if task not in ("classification", "multi-label", "rating", "preference", "chat")]


@pytest.mark.parametrize("task", TEXTS)
def test_text_is_kept_as_it_was_typed_and_a_blank_one_is_refused(task: str) -> None:
    assert check_answer(project(task), EXAMPLE, " a\n b ", "junk") == (" a\n b ", "")
    with pytest.raises(BadInput, match=r"^Write a response first, or skip this one\.$"):
        check_answer(project(task), EXAMPLE, " \n", "")


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_no_answer_and_no_task_takes_what_breaks_files(task: str) -> None:
    for bad in ("", " ", "a\0", "\ud800", "x" * 200_001):
        with pytest.raises(BadInput):
            check_answer(project(task), EXAMPLE, bad, "")
    for value in ("{", "[]", '"A"', "[" * 100_000, '{"turns":"x","choice":[]}', "\0"):
        if task not in TEXTS:
            with pytest.raises(BadInput):
                check_answer(project(task), EXAMPLE, "", value)


def test_a_label_has_to_be_of_the_set() -> None:
    assert check_answer(project("classification"), EXAMPLE, " bug ") == ("bug", "")
    with pytest.raises(BadInput, match="no label 'Bug'"):
        check_answer(project("classification"), EXAMPLE, "Bug")
    with pytest.raises(BadInput, match="no labels yet"):
        check_answer(project("classification", labels=()), EXAMPLE, "bug")


def test_several_labels_are_stored_once_in_the_order_of_the_set() -> None:
    several = project("multi-label")
    assert check_answer(several, EXAMPLE, "other, mixed\nbug\nbug") == ("bug\nother, mixed", "")
    assert as_text(several, "bug\nfeature") == "bug, feature"
    assert same_answer(several, ("bug\nfeature", ""), ("feature\nbug", ""))
    assert not same_answer(several, ("bug", ""), ("feature\nbug", ""))


@pytest.mark.parametrize("given", ["0", "6", "3.5", "-1", "٣", "1e1", "three", "0x1"])
def test_a_rating_is_a_number_of_the_scale(given: str) -> None:
    with pytest.raises(BadInput, match="from 1 to 5"):
        check_answer(project("rating"), EXAMPLE, given)
    assert check_answer(project("rating"), EXAMPLE, " 05 ") == ("5", "")
    assert as_text(project("rating", rating_max=7), "3") == "3 of 7"


def test_a_preference_is_a_choice_with_margin_and_reason() -> None:
    pick = project("preference")
    value = '{"reason": " kinder ", "margin": 2, "choice": "B"}'
    assert check_answer(pick, EXAMPLE, "B", value) == ("B", '{"choice":"B","margin":2,"reason":"kinder"}')
    assert check_answer(pick, EXAMPLE, "tie") == ("tie", '{"choice":"tie","margin":null,"reason":""}')
    assert '"margin":null' in check_answer(pick, EXAMPLE, "", '{"choice":"tie","margin":3}')[1]
    assert as_text(pick, "B", value) == "B is better (clearly):  kinder "
    assert same_answer(pick, ("B", value), ("B", ""))


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("C", ""),
        ("a", ""),
        ("A", '{"choice":"B"}'),
        ("A", '{"choice":"A","margin":4}'),
        ("A", '{"choice":"A","margin":true}'),
        ("A", '{"choice":"A","reason":5}'),
        ("A", '{"choice":"A","reason":"\\u0000"}'),
        ("A", '{"choice":"A","reason":"\\ud800"}'),
    ],
)
def test_what_is_no_choice_is_refused(response: str, value: str) -> None:
    with pytest.raises(BadInput):
        check_answer(project("preference"), EXAMPLE, response, value)


def test_a_conversation_is_stored_whole_with_its_flags() -> None:
    chat = project("chat")
    given = turns(("system", "S", True), ("user", "u", None), ("assistant", "a", True), ("assistant", "b", False))
    response, value = check_answer(chat, EXAMPLE, "ignored", given)
    assert response == "b"
    assert [turn["train"] for turn in json.loads(value)["turns"]] == [False, False, True, False]
    assert check_answer(chat, EXAMPLE, response, value) == (response, value)
    assert as_text(chat, response, value) == "system: S\n\nuser: u\n\nassistant: a\n\nassistant: b"


def test_text_alone_answers_the_conversation_of_the_example() -> None:
    response, value = check_answer(project("chat"), EXAMPLE, "Hello")
    assert [(turn["role"], turn["content"], turn["train"]) for turn in json.loads(value)["turns"]] == [
        ("user", "Hi", False),
        ("assistant", "Hello", True),
    ]
    assert same_answer(project("chat"), (response, value), ("Hello", value.replace("Hello", "Hello ")))
    assert not same_answer(project("chat"), (response, value), ("Hello", value.replace("Hi", "Ho")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (turns(), "end with"),
        (turns(("user", "u", None)), "end with"),
        (turns(("user", "u", None), ("assistant", " ", True)), "empty"),
        (turns(("user", "", None), ("assistant", "a", True)), "A user turn is empty"),
        (turns(("user", "u", None), ("assistant", "a", False)), "train on this"),
        (turns(("assistant", "a", True)), "turn of the user"),
        (turns(("user", "u", None), ("system", "s", None), ("assistant", "a", True)), "first turn"),
        (turns(("critic", "u", None), ("assistant", "a", True)), "role 'critic'"),
        (turns(("user", "u\0", None), ("assistant", "a", True)), "NUL"),
        (turns(("user", "\ud800", None), ("assistant", "a", True)), "half a character"),
        (turns(*[("user", "u" * 2000, None)] * 100, ("assistant", "a", True)), "200,001"),
        (turns(*[("user", "u", None)] * 1000, ("assistant", "a", True)), "1,001 turns"),
        ('{"turns":[{"role":"user","content":1}]}', "no text"),
        ('{"turns":[{"role":"assistant","content":"x","train":"yes"}]}', "neither true nor false"),
    ],
)
def test_a_conversation_that_cannot_be_trained_on_is_refused(given: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_answer(project("chat"), EXAMPLE, "", given)


@given(task=st.sampled_from(list(TASKS)), response=st.text(max_size=30), value=st.text(max_size=30))
def test_whatever_is_sent_is_stored_in_one_form_or_refused_in_a_sentence(task: str, response: str, value: str) -> None:
    try:
        stored = check_answer(project(task), EXAMPLE, response, value)
    except BadInput as refused:
        assert str(refused).endswith((".", "!"))
    else:
        assert check_answer(project(task), EXAMPLE, *stored) == stored
        assert same_answer(project(task), stored, stored)


def test_a_turn_that_only_calls_a_tool_is_an_answer_that_lists_show() -> None:
    extra = encode_extra({"tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]})
    said = [Message("user", "Oslo?", False), Message("assistant", "", True, extra)]
    response, value = check_answer(project("chat"), EXAMPLE, "", encode_conversation(said))
    assert response == "weather({})" and decode_conversation(value)[1].extra == extra
    with pytest.raises(BadInput, match="empty"):
        check_answer(project("chat"), EXAMPLE, "", encode_conversation([said[0], Message("assistant", "")]))
