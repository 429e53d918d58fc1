"""What a model is asked, and what its words mean in each task's form."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from storage.projects import TASKS
from storage.records import Example, Label, Project, Settings, Turn
from studio.data.prompts import to_messages
from studio.jobs.drafts import Reply, match_label, messages_for, sources_for, suggestion_of

NAMES = ("card_arrival", "card", "lost card, stolen", "top-up")
SETTINGS = Settings(labels=tuple(Label(name, "#000000") for name in NAMES), rating_max=5, target_language="French")


def project(task: str, system: str = "") -> Project:
    return Project("p", "P", task, system, "", SETTINGS, datetime.now(UTC), None)


def example(*turns: tuple[str, str], context: str = "", **payload: str) -> Example:
    prompt = tuple(Turn(*turn) for turn in turns or (("user", "Hi"),))
    return Example("e", "p", 1, prompt, context, payload, "test", "todo", None, 0, "", None, datetime.now(UTC))


def said(task: str, text: str, one: Example | None = None) -> tuple[str, str] | None:
    made = suggestion_of(project(task), one or example(), "run:a", Reply(text, 0.5))
    return (made.response, made.value) if made else None


def test_a_run_is_asked_as_it_was_trained() -> None:
    one = example(("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), context="Because.")
    for system in ("", "Be brief."):
        expected = to_messages(one.prompt, one.context, system)
        assert messages_for(project("classification", system), one, "run:a") == tuple(expected)


def test_the_starter_is_told_the_labels() -> None:
    asked = messages_for(project("classification", "Be brief."), example(), "starter")
    assert [turn.role for turn in asked] == ["system", "user"]
    assert all(f"- {name}\n" in asked[1].content for name in NAMES)


def test_an_own_system_prompt_wins_over_the_tasks() -> None:
    assert "French" in messages_for(project("translation"), example(), "starter")[0].content
    assert messages_for(project("translation", "Mine."), example(), "starter")[0].content == "Mine."


def test_a_preference_shows_both_answers() -> None:
    asked = messages_for(project("preference"), example(a="First one", b="Second one"), "endpoint")
    assert "Answer A:\nFirst one" in asked[-1].content and "Answer B:\nSecond one" in asked[-1].content


def test_without_a_question_nobody_is_asked() -> None:
    assert messages_for(project("chat"), example(("user", "Hi"), ("assistant", "Hello")), "starter") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("card_arrival", "card_arrival"),
        ("Card arrival.", "card_arrival"),
        ("**top up**\nbecause", "top-up"),
        ("The label is card_arrival", "card_arrival"),  # "card" is only a part of it
        ("card or top-up", ""),
        ("refund", ""),
        ("", ""),
    ],
)
def test_an_answer_is_matched_to_a_label(text: str, name: str) -> None:
    assert match_label(text, NAMES) == name


def test_answers_in_the_form_of_each_task() -> None:
    assert said("instruction", "  Text. ") == ("Text.", "")
    assert said("classification", "top up") == ("top-up", "")
    assert said("multi-label", "top-up, card") == ("card\ntop-up", "")
    assert said("multi-label", "lost card, stolen\ncard_arrival") == ("card_arrival\nlost card, stolen", "")
    assert said("rating", "Rating: 4 of 5") == ("4", "")
    assert said("preference", "B is better")[0] == "B"
    response, value = said("chat", "Sure.", example(("system", "S"), ("user", "Hi")))
    assert response == "Sure."
    assert [(turn["role"], turn["train"]) for turn in json.loads(value)["turns"]] == [
        ("system", False),
        ("user", False),
        ("assistant", True),
    ]


def test_what_is_no_answer_is_no_suggestion() -> None:
    wrong = {"classification": "refund", "multi-label": "none", "rating": "9", "preference": "Both", "chat": " "}
    assert {task: said(task, text) for task, text in wrong.items()} == dict.fromkeys(wrong)
    assert said("instruction", "a\0b") is None


def test_every_task_has_a_source_that_makes_sense() -> None:
    assert all(sources_for(task) for task in TASKS)
    assert sources_for("preference") == ("endpoint",)
    assert "encoder" not in sources_for("rating")


def test_hostile_payloads_are_only_text() -> None:
    one = replace(example(), payload={"a": "<b>", "b": ""})
    assert "<b>" in messages_for(project("preference"), one, "endpoint")[-1].content
