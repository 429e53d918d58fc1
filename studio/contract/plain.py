"""A conversation as one plain text: what models that have no chat template (seq2seq, encoder) are asked with.

Training and inference both come through here. What it leaves out: tools, which such models cannot call.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.contract.chat import Message

_NAMES = {"user": "User", "assistant": "Assistant", "tool": "Tool"}


def one_text(turns: Sequence[Message], system: bool = True) -> str:
    """The turns up to the question as one text.

    One turn is its own words. Of several each begins with who speaks ("User: …"), a line each. The system prompt
    stands first, an empty line behind it; with `system` False it is left out: a classifier is told nothing by it, as
    its labels are its task. A context is part of its turn, as in every conversation of a snapshot.
    """
    told = [turn.content for turn in turns if turn.role == "system"] if system else []
    said = [turn for turn in turns if turn.role != "system"]
    lines = [turn.content if len(said) == 1 else f"{_NAMES[turn.role]}: {turn.content}" for turn in said]
    return "\n\n".join([*told, "\n".join(lines)])


def question_and_answer(turns: Sequence[Message]) -> tuple[list[Message], str]:
    """The turns before the last answer that is trained, and that answer. Raises ValueError when there is none."""
    for index in range(len(turns) - 1, -1, -1):
        if turns[index].role == "assistant" and turns[index].train:
            if not turns[index].content.strip():
                break
            return list(turns[:index]), turns[index].content
    raise ValueError("there is no answer to train on")
