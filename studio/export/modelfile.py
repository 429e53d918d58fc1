"""An Ollama Modelfile beside a GGUF: the chat template in Ollama's own language, and what ends an answer.

What each role's turn begins and ends with is found by rendering marked conversations, and held against the tokenizer's
own template on others; a template that cannot be put together so gets no TEMPLATE line. What it leaves out: tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from studio.contract.chat import Message, prompt_text
from studio.export.gguf_file import begins_with_bos

_MARKS = ("Sqx0", "Uqx1", "Aqx2", "Vqx3")
_MOST_CONTEXT = 8192
_QUOTE = '"'


@dataclass(frozen=True)
class Turns:
    """What stands around the words of each role; `alone` stands first where nobody gives a system prompt, and `ask`
    last, where the answer is to begin."""

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    alone: str
    ask: str

    def text(self, messages: Sequence[Message]) -> str:
        """A conversation up to where the answer begins."""
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        told = any(message.role == "system" for message in messages)
        parts = [around[message.role][0] + message.content + around[message.role][1] for message in messages]
        return ("" if told else self.alone) + "".join(parts) + self.ask


def turns_of(tokenizer: Any) -> Turns | None:
    """The parts of a tokenizer's chat template; None where it is not made of such parts."""
    try:
        found = _parts(tokenizer)
        if found is None or not all(found.text(probe) == prompt_text(tokenizer, probe) for probe in _probes()):
            return None
    except (TemplateError, ValueError):
        return None
    return found


def _parts(tokenizer: Any) -> Turns | None:
    s, u, a, v = _MARKS
    system, user, answer, again = (
        Message("system", s),
        Message("user", u),
        Message("assistant", a),
        Message("user", v),
    )
    whole, ask = _shown(tokenizer, [system, user, answer, again])
    ended, _ = _shown(tokenizer, [system, user, answer])
    alone, _ = _shown(tokenizer, [user])
    if not all(text.count(mark) == 1 for text in (whole,) for mark in _MARKS) or alone.count(u) != 1:
        return None
    head, rest = whole.split(s)
    between_su, rest = rest.split(u)
    between_ua, rest = rest.split(a)
    between_av, after_user = rest.split(v)
    after_answer = ended.split(a)[1]
    if not (between_ua.startswith(after_user) and between_av.startswith(after_answer)):
        return None
    before_user = between_av.removeprefix(after_answer)
    first = alone.split(u)[0]
    if not (between_su.endswith(before_user) and first.endswith(before_user)):
        return None
    return Turns(
        system=(head, between_su[: len(between_su) - len(before_user)]),
        user=(before_user, after_user),
        assistant=(between_ua.removeprefix(after_user), after_answer),
        alone=first[: len(first) - len(before_user)],
        ask=ask,
    )


def _shown(tokenizer: Any, messages: Sequence[Message]) -> tuple[str, str]:
    """A conversation as the template shows it, and what it adds where an answer is to begin."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False))
    asked = prompt_text(tokenizer, messages)
    return text, asked.removeprefix(text) if asked.startswith(text) else ""


def _probes() -> list[list[Message]]:
    system, user, answer = Message("system", "Be kind."), Message("user", "Where?"), Message("assistant", "There.")
    asked = [[user], [system, user], [user, answer, user], [system, user, answer, user, answer, user]]
    return asked


def modelfile(file: str, tokenizer: Any, ends: Sequence[int], context: int, system: str) -> tuple[str, bool]:
    """The Modelfile of a GGUF `file`, and whether it has a TEMPLATE line."""
    turns = turns_of(tokenizer)
    template = None if turns is None else _template(turns, _bos(tokenizer))
    lines = [f"FROM ./{file}"]
    if template is None:
        lines.append("# The chat template in the GGUF cannot be said in Ollama's language: see its documentation.")
    else:
        lines.append(f'TEMPLATE """{template}"""')
    if system.strip() and '"""' not in system:
        # A quote at the end would be read as the first of the three that close it.
        lines.append(f'SYSTEM """{system}{" " if system.endswith(_QUOTE) else ""}"""')
    lines += [f"PARAMETER stop {_quoted(text)}" for text in _stops(tokenizer, ends)]
    lines += [
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_ctx {min(context, _MOST_CONTEXT)}",
    ]
    return "\n".join(lines) + "\n", template is not None


def _template(turns: Turns, bos: str) -> str | None:
    """In Go's template language; None where its own marks stand in the parts. `bos` is set by llama.cpp itself."""
    parts = [turns.alone, turns.ask, *turns.system, *turns.user, *turns.assistant]
    if any(mark in part for part in parts for mark in ("{{", "}}", '"""')):
        return None
    alone, head = turns.alone.removeprefix(bos), turns.system[0].removeprefix(bos)
    return (
        f"{{{{ if not .System }}}}{alone}{{{{ end }}}}"
        "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
        f'{{{{ if eq .Role "system" }}}}{head}{{{{ .Content }}}}{turns.system[1]}'
        f'{{{{ else if eq .Role "user" }}}}{turns.user[0]}{{{{ .Content }}}}{turns.user[1]}'
        f'{{{{ else if eq .Role "assistant" }}}}{turns.assistant[0]}{{{{ .Content }}}}'
        f"{{{{ if not $last }}}}{turns.assistant[1]}{{{{ end }}}}{{{{ end }}}}"
        f'{{{{ if and $last (ne .Role "assistant") }}}}{turns.ask}{{{{ end }}}}'
        "{{ end }}"
    )


def _bos(tokenizer: Any) -> str:
    return str(tokenizer.bos_token) if begins_with_bos(tokenizer) else ""


def _stops(tokenizer: Any, ends: Sequence[int]) -> list[str]:
    return [str(tokenizer.convert_ids_to_tokens(int(token))) for token in ends]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
