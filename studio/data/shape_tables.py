"""Shapes of training files: prompt and completion, Alpaca, ShareGPT, OpenAI messages, preferences, text and label.

Most need no unfolding, for `to_draft` reads messages; what is unfolded here are a system prompt or earlier turns in
columns of their own, OpenAI's nested preferences, and transcripts of "Human:" and "Assistant:".
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from studio.data.columns import LABELS, Columns, guess_columns
from studio.data.rows import as_text
from studio.data.shape_base import Bound, Kind, Look, Values
from studio.data.targets import Unusable
from studio.data.turns import MESSAGES
from studio.errors import BadInput
from studio.language import mark, tr

_TEXT = ("text", "sentence", "input", "document", "review", "content", "utterance")
_PREFERENCE = mark("a preference")
_BETTER = mark("Better answer")
_RATINGS = ("rating", "score", "stars", "grade")
_COMPLETIONS = ("completion", "response")
_SPEAKERS = {"human": "user", "assistant": "assistant"}


def columns_of(look: Look) -> Bound:
    """The columns that the names tell. Raises BadInput where none does."""
    chosen = guess_columns(look.table.columns, look.task)
    if chosen is None:
        told = {"file": look.table.path.name, "names": ", ".join(look.table.columns)}
        if look.task == "preference":
            raise BadInput(tr("Say which column of {file} are the two answers; there are: {names}.", **told))
        raise BadInput(tr("Say which column of {file} is the input; there are: {names}.", **told))
    return Bound(chosen)


def _prompt_completion(look: Look) -> Bound:
    prompt, completion = look.first("prompt"), look.first(*_COMPLETIONS)
    if prompt is None or completion is None or look.task == "preference":
        raise look.lacks(mark("prompt and completion"), mark("the columns prompt and completion"))
    columns = _aside(look, Columns(prompt, completion))
    if not any(isinstance(value, list) for value in look.values(completion)):
        return Bound(columns)

    def read(values: Values) -> Values:
        asked, said = values.get(prompt), values.get(completion)
        turns = asked if isinstance(asked, list) else [{"role": "user", "content": as_text(asked)}]
        return {**values, "messages": [*turns, *(said if isinstance(said, list) else ())]}

    return Bound(replace(columns, input="messages", output=None), read)


def _alpaca(look: Look) -> Bound:
    asked, given, said = look.first("instruction"), look.first("input"), look.first("output", "response")
    if look.task == "multi-label":
        said = look.first("labels") or said
    if asked is None or said is None or look.task == "preference":
        raise look.lacks("Alpaca", mark("the columns instruction, input and output"))
    columns = _aside(look, Columns(asked, said, given))
    system, history = look.first("system"), look.first("history")
    if system is None and history is None:
        return Bound(columns)

    def read(values: Values) -> Values:
        before = _history(values.get(history)) if history else []
        own, context = (as_text(values.get(name)) if name else "" for name in (system, given))
        turns = ([{"role": "system", "content": own}] if own.strip() else []) + before
        if not turns:
            return values
        # With the context in front, as in messages of ours, where it is taken out again.
        question = as_text(values.get(asked))
        question = f"{context}\n\n{question}" if context else question
        return {**values, asked: [*turns, {"role": "user", "content": question}]}

    return Bound(columns, read, ((mark("System"), tr("column {name}", name=system)),) if system else ())


def _history(cell: object) -> list[dict[str, str]]:
    """Earlier questions and answers: a list of two texts each."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.strip() else None
        except (ValueError, RecursionError):
            raise Unusable(tr("its history is not JSON")) from None
    turns = []
    for item in cell if isinstance(cell, list) else ():
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise Unusable(tr("its history is no list of questions with their answers"))
        turns += [{"role": "user", "content": as_text(item[0])}, {"role": "assistant", "content": as_text(item[1])}]
    return turns


def _sharegpt(look: Look) -> Bound:
    return _talk(look, "ShareGPT", mark("a column conversations (or messages) of objects with from and value"))


def _messages(look: Look) -> Bound:
    return _talk(look, mark("messages"), mark("a column messages of objects with role and content"))


def _talk(look: Look, title: str, needs: str) -> Bound:
    names = MESSAGES if title == "messages" else ("conversations", "conversation", "messages")
    talk = look.first(*names)
    if talk is None:
        raise look.lacks(title, needs)
    if look.task == "preference":
        return _preference(look)
    labels = look.first("labels") if look.task == "multi-label" else None
    columns = _aside(look, Columns(talk, labels))
    system = look.first("system", "system_prompt")
    if system is None:
        return Bound(columns)

    def read(values: Values) -> Values:
        own, turns = as_text(values.get(system)), _loaded(values.get(talk))
        if not own.strip() or not isinstance(turns, list):
            return values
        return {**values, talk: [{"role": "system", "content": own}, *turns]}

    return Bound(columns, read, ((mark("System"), tr("column {name}", name=system)),))


def _preference(look: Look) -> Bound:
    if look.has("preferred_output", "non_preferred_output"):
        return _openai_preference(look)
    chosen, rejected = look.first("chosen"), look.first("rejected")
    if look.task != "preference" and not (chosen and rejected):
        raise look.lacks(_PREFERENCE, mark("the columns prompt, chosen and rejected"))
    if chosen and rejected and any(_transcript(value) for value in look.values(chosen)):
        return _transcripts(look, chosen, rejected)
    if chosen and look.task != "preference" and any(isinstance(cell, (list, dict)) for cell in look.values(chosen)):
        return _chosen(look, chosen)
    columns = guess_columns(look.table.columns, look.task)
    if columns is None:
        raise look.lacks(_PREFERENCE, mark("the columns prompt, chosen and rejected, or prompt, a, b and choice"))
    columns = _aside(look, columns)
    sides = [name for name in (columns.a, columns.b) if name]
    if not any(isinstance(value, dict) for name in sides for value in look.values(name)):
        return Bound(columns)

    def read(values: Values) -> Values:
        return {**values, **{name: [values[name]] for name in sides if isinstance(values.get(name), dict)}}

    return Bound(columns, read)


def _chosen(look: Look, chosen: str) -> Bound:
    """The better answer as messages, for a task that takes one answer."""
    asked = look.first(*MESSAGES, "prompt", "question", "instruction", "input")

    def read(values: Values) -> Values:
        found, before = values.get(chosen), _loaded_talk(values.get(asked)) if asked else []
        said = [found] if isinstance(found, dict) else found if isinstance(found, list) else []
        opens = said[0].get("role", said[0].get("from")) if said and isinstance(said[0], dict) else ""
        whole = said if opens in ("system", "user", "human") else [*before, *said]
        return {**values, "messages": whole}

    prompt = tr("column {name}", name=asked) if asked else tr("all turns but the last")
    parts = ((mark("Prompt"), prompt), (mark("Answer"), tr("column {name}", name=chosen)))
    return Bound(_aside(look, Columns("messages")), read, parts)


def _loaded_talk(cell: object) -> list[object]:
    """The turns of a prompt that may be text."""
    return cell if isinstance(cell, list) else [{"role": "user", "content": as_text(cell)}]


def _openai_preference(look: Look) -> Bound:
    def read(values: Values) -> Values:
        asked = values.get("input")
        if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
            raise Unusable(tr("its input has no list of messages"))
        chosen, rejected = values.get("preferred_output"), values.get("non_preferred_output")
        if look.task != "preference":
            turns = [*asked["messages"], *(chosen if isinstance(chosen, list) else ())]
            return {**values, "messages": turns, "tools": asked.get("tools")}
        found = {"messages": asked["messages"], "chosen": chosen, "rejected": rejected, "tools": asked.get("tools")}
        return {**values, **found}

    sides = {"a": "chosen", "b": "rejected"} if look.task == "preference" else {}
    columns = _aside(look, Columns("messages", tools="tools", **sides))
    better, other = (_BETTER, "preferred_output"), (mark("Other"), "non_preferred_output")
    parts = ((mark("Prompt"), "input.messages"), better, other)
    return Bound(columns, read, parts)


def _transcripts(look: Look, chosen: str, rejected: str) -> Bound:
    def read(values: Values) -> Values:
        better, other = (_transcript(values.get(name)) for name in (chosen, rejected))
        if better is None or other is None:
            raise Unusable(tr("it is no transcript of Human: and Assistant: turns"))
        return {**values, "messages": better, "chosen": better[-1:], "rejected": other[-1:]}

    sides = {"a": "chosen", "b": "rejected"} if look.task == "preference" else {}
    better = (_BETTER, tr("column {name}, its last turn", name=chosen))
    parts = ((mark("Prompt"), tr("the turns before the last")), better)
    return Bound(_aside(look, Columns("messages", **sides)), read, parts)


def _transcript(value: object) -> list[dict[str, str]] | None:
    """Turns of a text that begins with a line "Human: …"."""
    if not isinstance(value, str) or not value.lstrip().startswith("Human:"):
        return None
    pieces = re.split(r"(?:^|\n\n)(Human|Assistant):[ ]?", "\n\n" + value.strip())
    named = zip(pieces[1::2], pieces[2::2], strict=True)
    return [{"role": _SPEAKERS[who.lower()], "content": said.strip()} for who, said in named]


def _text_label(look: Look) -> Bound:
    ratings = _RATINGS if look.task == "rating" else ()
    text, label = look.first(*_TEXT), look.first(*ratings, *LABELS, *_RATINGS)
    if text is None or label is None or look.task == "preference":
        raise look.lacks(mark("text and label"), mark("the columns text and label"))
    guessed = guess_columns(look.table.columns, look.task)
    if (
        guessed is not None
        and guessed.output is not None
        and guessed.input == text
        and look.task in ("classification", "multi-label", "rating")
    ):
        return Bound(guessed)
    return Bound(_aside(look, Columns(text, label)))


def _aside(look: Look, columns: Columns) -> Columns:
    """The same with what stands beside, by name: context, priority, group and tools."""
    guessed = guess_columns(("messages", *look.table.columns), "instruction") or columns
    beside = {name: getattr(columns, name) or getattr(guessed, name) for name in ("context", "priority", "group")}
    tools = look.first("tools")
    listed = all(isinstance(cell, list) or as_text(cell).strip()[:1] in ("", "[") for cell in look.values(tools))
    return replace(columns, **beside, tools=columns.tools or (tools if listed else None))


def _loaded(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise Unusable(tr("its messages are not JSON")) from None


def _keys(look: Look, column: str | None) -> set[str]:
    """Keys of the objects in a column of lists."""
    lists = [value if isinstance(value, list) else _quietly(value) for value in look.values(column)]
    return {
        key for value in lists if isinstance(value, list) for turn in value if isinstance(turn, dict) for key in turn
    }


def _quietly(value: object) -> object:
    try:
        return _loaded(value)
    except Unusable:
        return None


def _seems_talk(look: Look, key: str) -> bool:
    talk = look.first(*MESSAGES)
    if talk is None or (look.task == "preference" and guess_columns(look.table.columns, "preference") is None):
        return False
    keys = _keys(look, talk)
    return key in keys or (key == "role" and "from" not in keys)


def _seems_preference(look: Look) -> bool:
    if look.has("preferred_output", "non_preferred_output"):
        return True
    if look.task == "preference":
        return guess_columns(look.table.columns, "preference") is not None
    return look.has("chosen", "rejected")


def _seems_alpaca(look: Look) -> bool:
    listed = look.task == "multi-label" and look.has("labels")  # as our own export lists them beside the output
    return look.has("instruction", "output") and (listed or _answers(look, "output"))


def _seems_prompt(look: Look) -> bool:
    return look.has("prompt") and _answers(look, *_COMPLETIONS)


def _answers(look: Look, *names: str) -> bool:
    """Whether the column of one of these names is the answer of the task: it may look for another one first."""
    guessed = guess_columns(look.table.columns, look.task)
    found = look.first(*names)
    return look.task != "preference" and found is not None and guessed is not None and guessed.output == found


def _seems_label(look: Look) -> bool:
    if look.task == "preference" or look.first(*_TEXT) is None:
        return False
    guessed = guess_columns(look.table.columns, look.task)
    names = (*LABELS, *_RATINGS, "sentiment")
    return guessed is not None and guessed.output is not None and guessed.output.strip().lower() in names


COLUMNS = Kind("columns", mark("Columns"), lambda look: True, columns_of)
TABLE_KINDS = (
    Kind("preference", mark("Preference"), _seems_preference, _preference),
    Kind("sharegpt", "ShareGPT", lambda look: _seems_talk(look, "from"), _sharegpt),
    Kind("messages", mark("Messages"), lambda look: _seems_talk(look, "role"), _messages),
    Kind("alpaca", "Alpaca", _seems_alpaca, _alpaca),
    Kind("prompt-completion", mark("Prompt and completion"), _seems_prompt, _prompt_completion),
    Kind("text-label", mark("Text and label"), _seems_label, _text_label),
)
