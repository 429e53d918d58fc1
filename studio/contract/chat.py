"""Messages, and the ONE renderer from messages to token ids and a loss mask.

Training, preview and inference all come through here, so what the model is trained on is what it is asked with. The
mask is derived by rendering prefixes of the conversation: most stock templates carry no `{% generation %}` marks. What
it leaves out: images, and answers that a template does not show whole (such a turn carries no loss).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
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

    def decode(self, token_ids: Any, **kwargs: Any) -> Any: ...

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
    turn is rendered as it is asked for and answered: that prompt, no loss on it, then the answer. An earlier turn that
    the template shows otherwise once others follow it (Qwen3 drops its thoughts) has its loss on what is then shown.
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
        found = _as_asked(tokenizer, messages, index, full, cursor, tools)
        found = found or _as_shown(tokenizer, messages, index, full, cursor, tools)
        if found is None:
            continue
        lead, answer, cursor = found
        piece = _ids(tokenizer, lead)
        ids += piece
        mask += [False] * len(piece)
        piece = _ids(tokenizer, answer)
        ids += piece
        mask += _until_end(piece, tokenizer)
    if not any(mask):
        raise ValueError("the chat template of this model hides or rewrites the answer, so there is none to train on")
    rest = _ids(tokenizer, full[cursor:])
    return Rendered(tuple(ids + rest), tuple(mask + [False] * len(rest)))


def cut(rendered: Rendered, max_length: int) -> Rendered:
    """The first `max_length` tokens. Compare `targets` before and after to see whether an answer was cut."""
    return Rendered(rendered.ids[:max_length], rendered.mask[:max_length])


def shortened(
    tokenizer: Tokenizer, messages: Sequence[Message], over: Callable[[Sequence[Message]], int]
) -> list[Message] | None:
    """The conversation with so much of the oldest text of its prompts cut that `over` (tokens too many) is 0 or less.

    System turns, answers with loss and every turn's place in the template stay whole. None where that is not enough,
    or would leave nothing of the question. Raises what `over` raises.
    """
    turns = list(messages)
    trained = [at for at, turn in enumerate(turns) if turn.role == "assistant" and turn.train]
    question = max(
        (at for at in range(trained[-1] if trained else len(turns)) if turns[at].role != "system"), default=0
    )
    excess = over(turns)
    for at in range(question + 1):
        if turns[at].role == "system" or at in trained:
            continue
        while excess > 0 and turns[at].content:
            turns[at] = replace(turns[at], content=_without_start(tokenizer, turns[at].content, excess))
            excess = over(turns)
    return turns if excess <= 0 and turns[question].content else None


def _without_start(tokenizer: Tokenizer, text: str, tokens: int) -> str:
    """A text without its first tokens."""
    ids = _ids(tokenizer, text)[tokens:]
    # Half a character at the cut decodes to U+FFFD. Never longer than asked: a decoder may add a space.
    kept = str(tokenizer.decode(ids)).lstrip("\ufffd").strip() if ids else ""
    return kept if len(kept) < len(text) else text[tokens:]


_Found = tuple[str, str, int]
"""The text in front of an answer, the answer with its end, and where in the whole text the rest begins."""


def _as_asked(
    tokenizer: Tokenizer, messages: Sequence[Message], index: int, full: str, cursor: int, tools: str
) -> _Found | None:
    """An answer behind the very prompt that it is asked for with; None where later turns do not see it so."""
    before = _text(tokenizer, messages[:index], True, tools)
    after = _text(tokenizer, messages[: index + 1], False, tools)
    if not (full.startswith(after) and before.startswith(full[:cursor])):
        return None
    start = _answer_start(tokenizer, messages[: index + 1], before, after, tools)
    if start != len(before) and index < len(messages) - 1:
        return None
    if start < cursor or not _shown(messages[index], after[start:]):
        return None
    return before[cursor:], after[start:], len(after)


def _as_shown(
    tokenizer: Tokenizer, messages: Sequence[Message], index: int, full: str, cursor: int, tools: str
) -> _Found | None:
    """An answer where the whole conversation shows it; None where it does not show all of it."""
    message = messages[index]
    mark = "\x01" if message.content.strip()[:1] != "\x01" else "\x02"
    swapped = [*messages[:index], replace(message, content=f"{mark}#{mark}", extra=""), *messages[index + 1 :]]
    other = _text(tokenizer, swapped, False, tools)
    start = _alike(full, other)
    end = len(full) - _alike(full[start:][::-1], other[start:][::-1])
    said = full[start:end]
    if start < cursor or not said or not _shown(message, said):
        return None
    # What the template writes in front of it when it is the last turn belongs to the answer.
    alone = _text(tokenizer, messages[: index + 1], False, tools)
    before = _text(tokenizer, messages[:index], True, tools)
    at = alone.rfind(said)
    lead = alone[len(before) : at] if at >= 0 and alone.startswith(before) else ""
    start -= len(lead) if full[cursor:start].endswith(lead) else 0
    ended = len(_closing(tokenizer, full[end : end + _CLOSING]))
    end += ended or (_alike(alone[at + len(said) :], full[end:]) if at >= 0 else 0)
    return full[cursor:start], full[start:end], end


_CLOSING = 100
"""Characters in which an end-of-turn token is looked for."""


def _closing(tokenizer: Tokenizer, text: str) -> str:
    """What ends an answer behind which `text` stands, up to its end-of-turn token; '' where there is none."""
    ids = _ids(tokenizer, text)
    first = next((at for at, token in enumerate(ids) if token in _added(tokenizer)), None)
    if first is None or str(tokenizer.decode(ids[:first])).strip():
        return ""
    closing = str(tokenizer.decode(ids[: first + 1]))
    return closing if text.startswith(closing) else ""


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    shortest = min(len(one), len(other))
    return next((at for at in range(shortest) if one[at] != other[at]), shortest)


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


def _until_end(piece: list[int], tokenizer: Tokenizer) -> list[bool]:
    """True up to the last end-of-turn token of the piece; the line break that templates add behind it is no target."""
    eos = tokenizer.eos_token_id
    ends = frozenset(eos) if isinstance(eos, (list, tuple)) else frozenset({eos})
    last = _last(piece, ends)
    if last is None:
        # Gemma's "<end_of_turn>" is not its end-of-text token: any added token behind which nothing more is said.
        last = _last(piece, _added(tokenizer))
        if last is not None and str(tokenizer.decode(piece[last + 1 :])).strip():
            last = None
    return [last is None or i <= last for i in range(len(piece))]


def _last(piece: list[int], ends: frozenset[Any]) -> int | None:
    return max((i for i, token in enumerate(piece) if token in ends), default=None)


def _added(tokenizer: Any) -> frozenset[Any]:
    """Ids of the tokens that were added to a vocabulary by hand, as all end-of-turn tokens are."""
    return _added_once(tokenizer)  # Gemma has thousands, and asking for them is slow


@lru_cache(maxsize=4)
def _added_once(tokenizer: Any) -> frozenset[Any]:
    return frozenset(getattr(tokenizer, "added_tokens_decoder", {}))


def _text(tokenizer: Tokenizer, messages: Sequence[Message], generation_prompt: bool, tools: str = "") -> str:
    turns = [{"role": m.role, "content": m.content} | template_fields(m.extra) for m in messages]
    kwargs: dict[str, Any] = {} if tokenizer.chat_template else {"chat_template": PLAIN_TEMPLATE}
    if tools:
        kwargs["tools"] = json.loads(tools)
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation_prompt, **kwargs))


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # The template writes the special tokens itself; asking the tokenizer for them too would double the first one.
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
