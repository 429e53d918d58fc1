"""Messages, and the ONE renderer from messages to token ids and a loss mask.

Training, preview and inference all come through here, so what the model is trained on is what it is asked with. The
mask is derived by rendering prefixes of the conversation: most stock templates carry no `{% generation %}` marks. What
it leaves out: images, and templates that rewrite or hide earlier turns (such a turn then carries no loss).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from studio.contract.tools import template_fields

Role = Literal["system", "user", "assistant", "tool"]

PLAIN_TEMPLATE = (
    "{{ bos_token or '' }}{% if tools %}Tools: {{ tools | tojson }}\n\n{% endif %}"
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}\n\n"
    "{% elif m['role'] == 'user' %}User: {{ m['content'] }}\n"
    "{% elif m['role'] == 'tool' %}Tool: {{ m['content'] }}\n"
    "{% else %}Assistant: {{ m['content'] }}{% if m['tool_calls'] %}{{ m['tool_calls'] | tojson }}{% endif %}"
    "{{ eos_token }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}"
)
"""Chat template for base models that come without one (GPT-2 and other pure language models)."""


@dataclass(frozen=True)
class Message:
    """One turn. `train` says whether an assistant turn carries loss. `extra`: what else an OpenAI message of it has
    (tool_calls, tool_call_id, name), as JSON of one object, '' for nothing (see studio.contract.tools)."""

    role: Role
    content: str
    train: bool = True
    extra: str = ""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model sees it. `mask[i]` is True where token `i` carries loss; both have one length."""

    ids: tuple[int, ...]
    mask: tuple[bool, ...]

    @property
    def targets(self) -> int:
        """Number of tokens that carry loss."""
        return sum(self.mask)


class Tokenizer(Protocol):
    """What the renderer needs of a Hugging Face tokenizer."""

    eos_token_id: Any
    chat_template: Any

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...

    def __call__(self, text: Any, **kwargs: Any) -> Any: ...


def conversation(prompt: Sequence[Message], system: str = "", answer: str | None = None) -> list[Message]:
    """The full conversation: the project's system prompt, the example's turns, and the answer if there is one.

    A system turn of the example's own wins over the project's.
    """
    turns = list(prompt)
    if system and not (turns and turns[0].role == "system"):
        turns.insert(0, Message("system", system))
    if answer is not None:
        turns.append(Message("assistant", answer))
    return turns


def prompt_text(tokenizer: Tokenizer, messages: Sequence[Message], tools: str = "") -> str:
    """The text a model is asked with: the template up to where the answer begins."""
    return _text(tokenizer, messages, True, tools)


def prompt_ids(tokenizer: Tokenizer, messages: Sequence[Message], tools: str = "") -> list[int]:
    """Token ids a model is asked with (equal to the first part of `render` of the same turns plus an answer)."""
    return _ids(tokenizer, prompt_text(tokenizer, messages, tools))


def render(tokenizer: Tokenizer, messages: Sequence[Message], tools: str = "") -> Rendered:
    """Token ids and loss mask of a whole conversation; `tools` (JSON of a list, or '') is what the model may call.

    Loss lies on the tokens of each assistant turn with `train`, up to and including its end-of-turn token, and nowhere
    else. The pieces between are tokenised apart, as at inference, where the answer starts on a token of its own.
    Where the generation prompt adds what a finished turn does not show ("<think>" of the reasoning models), the last
    turn is rendered as it is asked for and answered: that prompt, no loss on it, then the answer.
    Raises ValueError when the template refuses the conversation or shows no answer to train on.
    """
    if not any(message.role == "assistant" and message.train for message in messages):
        raise ValueError("there is no answer to train on")
    full = _text(tokenizer, messages, False, tools)
    ids: list[int] = []
    mask: list[bool] = []
    cursor = 0
    for index, message in enumerate(messages):
        if message.role != "assistant" or not message.train:
            continue
        before = _text(tokenizer, messages[:index], True, tools)
        after = _text(tokenizer, messages[: index + 1], False, tools)
        if not (full.startswith(after) and before.startswith(full[:cursor])):
            continue
        start = _answer_start(tokenizer, messages[: index + 1], before, after, tools)
        if start != len(before) and index < len(messages) - 1:
            continue  # later turns are asked with this one as `full` shows it
        if start < cursor or not _shown(message, after[start:]):
            continue
        piece = _ids(tokenizer, before[cursor:])
        ids += piece
        mask += [False] * len(piece)
        piece = _ids(tokenizer, after[start:])
        ids += piece
        mask += _until_end(piece, tokenizer.eos_token_id)
        cursor = len(after)
    if not any(mask):
        raise ValueError("the chat template of this model hides or rewrites the answer, so there is none to train on")
    rest = _ids(tokenizer, full[cursor:])
    return Rendered(tuple(ids + rest), tuple(mask + [False] * len(rest)))


def cut(rendered: Rendered, max_length: int) -> Rendered:
    """The first `max_length` tokens. Compare `targets` before and after to see whether an answer was cut."""
    return Rendered(rendered.ids[:max_length], rendered.mask[:max_length])


def _shown(message: Message, text: str) -> bool:
    """Whether a template shows all of an answer: its words, and the names of the functions that it calls."""
    calls = json.loads(message.extra).get("tool_calls", ()) if message.extra else ()
    names = [str(call.get("function", {}).get("name", "")) for call in calls]
    return message.content.strip() in text and all(name in text for name in names)


def _answer_start(tokenizer: Tokenizer, messages: Sequence[Message], before: str, after: str, tools: str) -> int:
    """Where in `after` (all `messages`) begins what a model asked with `before` has to write."""
    if after.startswith(before):
        return len(before)
    # Another answer in the same place shows where the text of the turn begins, whatever this one begins with.
    other = "b" if messages[-1].content.strip().startswith("a") else "a"
    elsewhere = _text(tokenizer, [*messages[:-1], replace(messages[-1], content=other, extra="")], False, tools)
    shortest = min(map(len, (before, after, elsewhere)))
    return next((at for at in range(shortest) if not before[at] == after[at] == elsewhere[at]), shortest)


def _until_end(piece: list[int], eos: Any) -> list[bool]:
    """True up to the last end-of-turn token of the piece; the line break that templates add behind it is no target."""
    ends = set(eos) if isinstance(eos, (list, tuple)) else {eos}
    last = max((i for i, token in enumerate(piece) if token in ends), default=len(piece) - 1)
    return [i <= last for i in range(len(piece))]


def _text(tokenizer: Tokenizer, messages: Sequence[Message], generation_prompt: bool, tools: str = "") -> str:
    turns = [{"role": m.role, "content": m.content} | template_fields(m.extra) for m in messages]
    kwargs: dict[str, Any] = {} if tokenizer.chat_template else {"chat_template": PLAIN_TEMPLATE}
    if tools:
        kwargs["tools"] = json.loads(tools)
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation_prompt, **kwargs))


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # The template writes the special tokens itself; asking the tokenizer for them too would double the first one.
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
