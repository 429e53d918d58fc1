"""A model's answer to an example as a suggestion in the task's own form; and which sources can answer which task.

A run is asked exactly as it was trained. The starter and an endpoint know nothing of the project, so they are told
what to do, and for labels which ones there are; an answer that is none of them gives no suggestion.
What it leaves out: who is asked (studio.jobs.suggesting), the encoder's labels (studio.labeling.ordering).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from storage.records import Example, Project
from storage.suggestions import NewSuggestion
from studio.contract.answers import TEXT_LIMIT, Preference, encode_conversation, encode_preference, unsafe_text
from studio.contract.chat import Message, Role, conversation

ENCODER, STARTER, ENDPOINT, RUN = "encoder", "starter", "endpoint", "run"
RUN_PREFIX = "run:"

_TOKENS = {"classification": 24, "multi-label": 64, "rating": 6, "preference": 6}
_TEXT_TOKENS = 256


@dataclass(frozen=True)
class Reply:
    """What a model said, with its mean token entropy in nats where it is known."""

    text: str
    entropy: float | None


def sources_for(task: str) -> tuple[str, ...]:
    """Kinds of sources that can suggest an answer to a task, the most useful first.

    A run learns the preferred answer, not to choose between two, so only an endpoint is asked for a preference.
    """
    if task in ("classification", "multi-label"):
        return (ENCODER, RUN, STARTER, ENDPOINT)
    if task == "preference":
        return (ENDPOINT,)
    return (RUN, STARTER, ENDPOINT)


def kind_of(source: str) -> str:
    """The kind of a source: run, starter, encoder or endpoint."""
    return RUN if source.startswith(RUN_PREFIX) else source


def token_limit(task: str) -> int:
    """Tokens that an answer to a task may have."""
    return _TOKENS.get(task, _TEXT_TOKENS)


def messages_for(project: Project, example: Example, source: str) -> tuple[Message, ...] | None:
    """The conversation that a source is asked with; None where there is nothing to answer (no turn of a user's)."""
    turns = [Message(cast(Role, turn.role), turn.content, False) for turn in example.prompt]
    if not turns or turns[-1].role != "user":
        return None
    # As in training (studio.data.prompts): the context before the last turn.
    text = f"{example.context}\n\n{turns[-1].content}" if example.context else turns[-1].content
    system = project.system_prompt
    if kind_of(source) != RUN:
        task = _instruction(project)
        if project.task == "preference":
            text += f"\n\nAnswer A:\n{example.payload.get('a', '')}\n\nAnswer B:\n{example.payload.get('b', '')}"
        if project.task in ("classification", "multi-label", "rating", "preference"):
            text += f"\n\n{task}"
        elif not system:
            system = task
    turns[-1] = Message("user", text, False)
    return tuple(conversation(turns, system))


def suggestion_of(project: Project, example: Example, source: str, reply: Reply) -> NewSuggestion | None:
    """A reply in the task's form; None where it is none of the answers that the task allows."""
    text = reply.text.strip()
    if not text or len(text) > TEXT_LIMIT or unsafe_text(text):
        return None
    response, value = _FORMS.get(project.task, _as_text)(project, example, text)
    return NewSuggestion(example.id, source, response, value, reply.entropy) if response else None


def _instruction(project: Project) -> str:
    settings = project.settings
    names = "\n".join(f"- {label.name}" for label in settings.labels)
    to = settings.target_language or "English"
    source = f" from {settings.source_language}" if settings.source_language else ""
    return {
        "classification": f"Which of these labels fits the text above best?\n{names}\nAnswer with the label alone.",
        "multi-label": f"Which of these labels fit the text above?\n{names}\nAnswer with the labels alone, one a line.",
        "rating": f"Rate the text above from 1 (worst) to {settings.rating_max} (best). Answer with the number alone.",
        "preference": "Which answer is better, A or B? Answer with the letter alone.",
        "summarisation": "Summarise the user's text in a few sentences.",
        "translation": f"Translate the user's text{source} to {to}. Answer with the translation alone.",
        "question-answering": "Answer the user's question from the given text.",
        "code": f"Answer with {settings.code_language or 'code'} alone.",
    }.get(project.task, "")


def match_label(text: str, names: Sequence[str]) -> str:
    """The label that an answer names, or '': its first line as it is, else the one label that occurs in it.

    Case, `_` for a blank, and marks around it do not count.
    """
    plain = {_plain(name): name for name in names}
    if first := plain.get(_plain(text.strip().split("\n")[0])):
        return first
    whole = f" {_plain(text)} "
    found = [key for key in plain if key and f" {key} " in whole]
    inside = [key for key in found if not any(key != other and f" {key} " in f" {other} " for other in found)]
    return plain[inside[0]] if len(inside) == 1 else ""


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w]+|_", " ", text.lower()).split())


def _as_text(project: Project, example: Example, text: str) -> tuple[str, str]:
    return text, ""


def _as_label(project: Project, example: Example, text: str) -> tuple[str, str]:
    return match_label(text, [label.name for label in project.settings.labels]), ""


def _as_labels(project: Project, example: Example, text: str) -> tuple[str, str]:
    names = [label.name for label in project.settings.labels]
    whole = {_plain(name) for name in names}
    # A run was taught "a, b"; but a label may have a comma in it.
    pieces = [piece for line in text.split("\n") for piece in ([line] if _plain(line) in whole else line.split(","))]
    found = {match_label(piece, names) for piece in pieces}
    return "\n".join(name for name in names if name in found), ""


def _as_rating(project: Project, example: Example, text: str) -> tuple[str, str]:
    number = re.match(r"\D{0,20}(\d+)", text)
    inside = number is not None and 1 <= int(number[1][:4]) <= project.settings.rating_max
    return (str(int(number[1])) if number and inside else ""), ""


def _as_choice(project: Project, example: Example, text: str) -> tuple[str, str]:
    letter = re.match(r"\W{0,5}(?:answer\s+)?([AB])\b", text, re.IGNORECASE)
    choice = letter[1].upper() if letter else ""
    return choice, encode_preference(Preference(choice)) if choice else ""


def _as_conversation(project: Project, example: Example, text: str) -> tuple[str, str]:
    turns = [Message(cast(Role, turn.role), turn.content, False) for turn in example.prompt]
    return text, encode_conversation([*turns, Message("assistant", text, True)])


_FORMS: dict[str, Callable[[Project, Example, str], tuple[str, str]]] = {
    "classification": _as_label,
    "multi-label": _as_labels,
    "rating": _as_rating,
    "preference": _as_choice,
    "chat": _as_conversation,
}
