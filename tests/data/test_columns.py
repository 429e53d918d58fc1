"""Which columns are meant, and rows turned into examples."""

from __future__ import annotations

import json

import pytest

from storage.records import Turn
from studio.data.columns import Columns, Draft, Unusable, guess_columns, to_draft

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "ho"}


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["input", "output"], Columns("input", "output")),
        (["Prompt", "Completion"], Columns("Prompt", "Completion")),
        (["id", "prompt", "response"], Columns("prompt", "response")),
        (["question", "context", "answer"], Columns("question", "answer", "context")),
        (["instruction", "input", "output"], Columns("instruction", "output", "input")),
        (["instruction", "output"], Columns("instruction", "output")),
        (["text", "category"], Columns("text", "category")),
        (["text", "label"], Columns("text", "label")),
        (["messages", "split"], Columns("messages")),
        (["question"], Columns("question")),
        (["anything"], Columns("anything")),
        (["a", "b"], None),
        ([], None),
    ],
)
def test_common_names_are_guessed(names: list[str], meant: Columns | None) -> None:
    assert guess_columns(names) == meant


def test_messages_end_in_the_answer() -> None:
    system = {"role": "system", "content": "S"}
    values = {"messages": [system, USER, ANSWER, USER, ANSWER]}
    turns = (Turn("user", "hi"), Turn("assistant", "ho"), Turn("user", "hi"))
    assert to_draft(values, Columns("messages"), "S") == Draft(turns, "", "ho")
    assert to_draft(values, Columns("messages"), "T").prompt == (Turn("system", "S"), *turns)


def test_messages_may_be_json_text_or_sharegpt() -> None:
    text = json.dumps([{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}])
    assert to_draft({"conversations": text}, Columns("conversations")) == Draft((Turn("user", "hi"),), "", "ho")


def test_a_prompt_of_messages_takes_its_answer_from_the_other_column() -> None:
    values = {"prompt": [USER], "completion": "yes"}
    assert to_draft(values, Columns("prompt", "completion")) == Draft((Turn("user", "hi"),), "", "yes")


def test_no_answer_is_an_example_to_label() -> None:
    assert to_draft({"messages": [USER]}, Columns("messages")).response is None
    assert to_draft({"q": "x", "a": "  "}, Columns("q", "a")).response is None
    assert to_draft({"q": "x", "a": 0}, Columns("q", "a")).response == "0"


def test_the_context_of_our_own_export_is_not_doubled() -> None:
    values = {"messages": [{"role": "user", "content": "C\n\nhi"}, ANSWER], "context": "C"}
    assert to_draft(values, Columns("messages", None, "context")) == Draft((Turn("user", "hi"),), "C", "ho")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "no json",
        [ANSWER],
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": None}],
        [USER, {"role": "system", "content": "x"}],
        [{"role": "user", "content": " "}, ANSWER],
        ["text"],
        None,
    ],
)
def test_what_is_no_conversation_is_unusable(messages: object) -> None:
    with pytest.raises(Unusable):
        to_draft({"messages": messages}, Columns("messages"))
